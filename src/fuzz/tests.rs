//! The properties with the seeds and with mutations of them: some seconds in all.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// Longest input that is tried.
const LONGEST: usize = 4096;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// Names of what is in a folder, without their extensions.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder("seeds").join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no seeds");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// The words of a dictionary of libFuzzer: one in quotes in each line.
fn words(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(folder("words").join(format!("{name}.dict"))).unwrap_or_default();
    let quoted = text.lines().filter(|line| !line.starts_with('#'));
    let words = quoted.filter_map(|line| Some(unescaped(line.split_once('"')?.1.strip_suffix('"')?)));
    words
        .chain([b"\0".to_vec(), b" ".to_vec(), b"\n".to_vec()])
        .collect()
}

/// `\\`, `\"` and `\xAB`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', high, low, more @ ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                rest = more;
            }
            (b'\\', [other, more @ ..]) => {
                bytes.push(*other);
                rest = more;
            }
            (plain, _) => bytes.push(*plain),
        }
    }
    bytes
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(Index, usize),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize, usize),
    /// What follows is another seed's end.
    Cross(Index, Vec<u8>, Index),
}

fn edit(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 1_usize..16).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), select(words)).prop_map(|(at, word)| Edit::Insert(at, word)),
        (at(), 1_usize..32, 1_usize..16).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        (at(), select(seeds), at()).prop_map(|(at, other, from)| Edit::Cross(at, other, from)),
    ]
}

fn edited(mut input: Vec<u8>, edits: Vec<Edit>) -> Vec<u8> {
    for edit in edits {
        let place = |at: Index| at.index(input.len() + 1);
        match edit {
            Edit::Remove(at, length) => {
                let at = place(at);
                input.drain(at..(at + length).min(input.len()));
            }
            Edit::Set(at, byte) => {
                let at = place(at);
                if let Some(there) = input.get_mut(at) {
                    *there = byte;
                }
            }
            Edit::Insert(at, word) => {
                let at = place(at);
                input.splice(at..at, word);
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at);
                let piece = input[at..(at + length).min(input.len())].repeat(times);
                input.splice(at..at, piece);
            }
            Edit::Cross(at, other, from) => {
                input.truncate(place(at));
                input.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
        }
        input.truncate(LONGEST);
    }
    input
}

/// All seeds as they are, then mutations of them.
fn holds(name: &str, property: fn(&[u8]), cases: u32) {
    let seeds = seeds(name);
    for seed in &seeds {
        property(seed);
    }
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let edits = vec(edit(seeds.clone(), words(name)), 1..6);
    let inputs = (select(seeds), edits).prop_map(|(seed, edits)| edited(seed, edits));
    let run = TestRunner::new(config).run(&inputs, |input| {
        property(&input);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{name}: {failure}");
    }
}

macro_rules! properties {
    ($($name:ident: $cases:literal,)+) => {
        $(
            #[test]
            fn $name() {
                holds(stringify!($name), super::$name, $cases);
            }
        )+

        #[test]
        fn every_property_has_its_seeds_and_its_fuzzer() {
            let all: BTreeSet<String> = [$(stringify!($name)),+].map(str::to_owned).into();
            assert_eq!(names(&folder("targets")), all);
            assert_eq!(names(&folder("seeds")), all);
            let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
            for name in all {
                assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

properties! {
    answers: 2000,
    config: 1000,
    depth: 1000,
    destination: 1000,
    forwarded: 2000,
    if_header: 1000,
    import_file: 1000,
    links: 1000,
    paths: 2000,
    range: 2000,
    requests: 300,
    share_link: 2000,
    sign_in: 500,
    xml: 500,
}
