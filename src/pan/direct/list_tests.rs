#![allow(clippy::unwrap_used)]
//! The grammar, line by line, and lists as users write them.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::url::UrlFault;
use super::*;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

fn parse(text: &str) -> Result<LinkList, Vec<LineError>> {
    LinkList::parse(text, UNIX_EPOCH + Duration::from_secs(NOW))
}

/// Every node as `path` or `path/`.
fn paths(list: &LinkList) -> Vec<String> {
    fn walk(list: &LinkList, folder: usize, prefix: &str, out: &mut Vec<String>) {
        let Content::Folder(members) = &list.nodes()[folder].content else {
            return;
        };
        for &member in members {
            let node = &list.nodes()[member];
            let path = format!("{prefix}{}", node.name);
            match node.content {
                Content::Folder(_) => {
                    let path = format!("{path}/");
                    out.push(path.clone());
                    walk(list, member, &path, out);
                }
                Content::File(_) => out.push(path),
            }
        }
    }
    let mut out = Vec::new();
    walk(list, 0, "", &mut out);
    out
}

/// Name, size, time, and whether the time may be the size.
fn file(line: &str) -> Result<(String, Option<u64>, Option<i64>, bool), LineFault> {
    let list = parse(line).map_err(|errors| errors[0].fault)?;
    let (_, node, file) = list.files().next().unwrap();
    Ok((node.name.to_string(), file.size, file.modified, file.lone_time))
}

fn error(text: &str) -> (usize, LineFault) {
    let errors = parse(text).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    (errors[0].line, errors[0].fault)
}

#[test]
fn the_four_forms_users_were_told_of_work() {
    let host = "https://vip.123pan.cn/1812000499/123-link-Test";
    let name = "linuxqq_3.2.0-16736.deb".to_owned();
    for (info, size, modified, lone) in [
        ("127451136:1694101621:", Some(127451136), Some(1694101621), false),
        ("134847488:", Some(134847488), None, false),
        ("1694101621:", None, Some(1694101621), true),
        ("", None, None, false),
    ] {
        let line = format!("{info}{host}/{name}");
        assert_eq!(file(&line), Ok((name.clone(), size, modified, lone)), "{line}");
    }
}

#[test]
fn the_named_forms_work_beside_them() {
    for (info, size, modified, lone) in [
        ("n.mp4:", None, None, false),
        ("n.mp4:100:", Some(100), None, false),
        ("n.mp4:1694101621:", None, Some(1694101621), true),
        ("n.mp4:100:1694101621:", Some(100), Some(1694101621), false),
        ("n.mp4: 100 : 1694101621:", Some(100), Some(1694101621), false),
    ] {
        let line = format!("{info}https://h/1/x");
        assert_eq!(file(&line), Ok(("n.mp4".into(), size, modified, lone)), "{line}");
    }
    // With three numbers the first is a name.
    assert_eq!(
        file("100:200:300:https://h/x"),
        Ok(("100".into(), Some(200), Some(300), false))
    );
    // Two numbers are size and time, however they look.
    assert_eq!(
        file("1694101621:5:https://h/x"),
        Ok(("x".into(), Some(1694101621), Some(5), false))
    );
}

#[test]
fn a_lone_number_is_a_time_from_2001_up_to_tomorrow_else_a_size() {
    for (number, is_time) in [
        (0, false),
        (999_999_999, false),
        (1_000_000_000, true),
        (NOW, true),
        (NOW + 86_400, true),
        (NOW + 86_401, false),
        (10_000_000_000, false),
    ] {
        let (_, size, modified, lone) = file(&format!("{number}:https://h/x")).unwrap();
        assert_eq!(lone, is_time, "{number}");
        assert_eq!(size, (!is_time).then_some(number));
        assert_eq!(modified.is_some(), is_time);
    }
}

#[test]
fn names_come_from_the_last_segment_decoded_and_without_query() {
    for (line, name) in [
        ("https://h/1/a/b.txt", "b.txt"),
        ("100:1694101621:https://h/%E6%88%91.txt", "我.txt"),
        ("https://h/1/我.txt", "我.txt"),
        ("https://h/x.bin?auth_key=1", "x.bin"),
        ("https://h/x.bin?to=http://b/y", "x.bin"),
        ("https://h/x.bin?to=a:http://b/y", "x.bin"),
        ("https://h/x.bin#part/y", "x.bin"),
        ("HTTPS://h/x.bin", "x.bin"),
        ("n:HttP://h/x.bin", "n"),
        ("https://h/x:", "x:"),
        ("https://h/a b.txt", "a b.txt"),
        ("https://h/a%2Fb.txt", "a_b.txt"),
        ("https://h/a%00%0Ab.txt", "a__b.txt"),
        ("https://h/%FF.txt", "%FF.txt"),
        ("https://h/a+b", "a+b"),
        ("name:https://h/dir/", "name"),
        ("name:https://h", "name"),
    ] {
        assert_eq!(file(line).map(|f| f.0), Ok(name.into()), "{line}");
    }
}

#[test]
fn bad_lines_say_what_is_wrong() {
    for (line, fault) in [
        ("-5:https://h/x", LineFault::Signed),
        ("n:-5:https://h/x", LineFault::Signed),
        ("+5:https://h/x", LineFault::Signed),
        ("5:-1:https://h/x", LineFault::Signed),
        ("n:12k:https://h/x", LineFault::BadSize),
        ("n:1.5:https://h/x", LineFault::BadSize),
        ("99999999999999999999:https://h/x", LineFault::BadSize),
        ("9223372036854775808:https://h/x", LineFault::BadSize),
        ("5:yesterday:https://h/x", LineFault::BadTime),
        ("5:1694101621000:https://h/x", LineFault::BadTime),
        ("n:5:x:https://h/x", LineFault::BadTime),
        ("a:b:5:6:https://h/x", LineFault::TooManyParts),
        (":https://h/x", LineFault::EmptyPart),
        ("n::https://h/x", LineFault::EmptyPart),
        ("100https://h/x", LineFault::NoColon),
        ("100: https://h/x", LineFault::NoColon),
        ("100https://h/x:", LineFault::NoColon),
        ("ftp://h/x", LineFault::Url(UrlFault::Scheme)),
        ("ftp://h/x:", LineFault::Url(UrlFault::Scheme)),
        ("some words", LineFault::NoUrl),
        ("https://", LineFault::Url(UrlFault::Invalid)),
        ("https://me:pw@h/x", LineFault::Url(UrlFault::UserInfo)),
        ("https://h/a\tb", LineFault::Url(UrlFault::Control)),
        ("https://h/dir/", LineFault::NoName),
        ("https://h", LineFault::NoName),
        ("https://h/a/..", LineFault::NoName),
        ("a/b:https://h/x", LineFault::BadName),
        ("..:https://h/x", LineFault::BadName),
        ("a\u{1}b:https://h/x", LineFault::BadName),
        (":", LineFault::BadName),
        ("..:", LineFault::BadName),
        ("a/b:", LineFault::BadName),
    ] {
        assert_eq!(error(line), (1, fault), "{line}");
    }
}

#[test]
fn all_bad_lines_are_reported_with_their_numbers_and_without_their_urls() {
    let text = "good:\n  https://h/a\n\nbad\n bad/folder:\n   -1:https://h/b?auth_key=secret\n  5:x:https://h/c?auth_key=secret\n";
    let errors = parse(text).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [4, 5, 6, 7]);
    for error in &errors {
        let sentence = error.to_string();
        assert!(
            sentence.starts_with(&format!("line {}: ", error.line)),
            "{sentence}"
        );
        assert!(!sentence.contains("secret"), "{sentence}");
    }
}

#[test]
fn members_of_a_bad_folder_line_are_not_at_fault() {
    assert_eq!(
        error("a/b:\n  https://h/x\n  c:\n    https://h/y"),
        (1, LineFault::BadName)
    );
    assert_eq!(error("\ta:\n    https://h/x"), (1, LineFault::Blank));
}

#[test]
fn indentation_makes_the_tree() {
    let text = "https://h/top\nfilms:\n  old:\n    https://h/m.mkv\n  https://h/n.mkv\n\n      https://h/deep\nmusic:\n  https://h/s.flac\n";
    assert_eq!(
        paths(&parse(text).unwrap()),
        [
            "top",
            "films/",
            "films/old/",
            "films/old/m.mkv",
            "films/n.mkv",
            "films/deep",
            "music/",
            "music/s.flac"
        ]
    );
}

#[test]
fn tabs_odd_indentation_and_indentation_under_nothing_are_errors() {
    for (text, line, fault) in [
        ("a:\n\thttps://h/x", 2, LineFault::Blank),
        ("a:\n  \thttps://h/x", 2, LineFault::Blank),
        ("a:\n\u{3000}https://h/x", 2, LineFault::Blank),
        ("a:\n https://h/x", 2, LineFault::OddIndent),
        ("a:\n   https://h/x", 2, LineFault::OddIndent),
        ("  https://h/x", 1, LineFault::UnderNothing),
        ("https://h/x\n  https://h/y", 2, LineFault::UnderNothing),
        ("a:\nhttps://h/x\n  https://h/y", 3, LineFault::UnderNothing),
    ] {
        assert_eq!(error(text), (line, fault), "{text:?}");
    }
}

#[test]
fn notepad_files_with_bom_crlf_and_blank_lines_work() {
    let text = "\u{feff}films:\r\n \r\n\t\r\n  5:https://h/a.mkv\r\n\r\n  https://h/b.mkv \r\n";
    assert_eq!(
        paths(&parse(text).unwrap()),
        ["films/", "films/a.mkv", "films/b.mkv"]
    );
}

#[test]
fn folders_of_one_name_are_one_folder() {
    let text = "a:\n  https://h/1\nb:\n  a:\n    https://h/2\na:\n  https://h/3\n";
    assert_eq!(
        paths(&parse(text).unwrap()),
        ["a/", "a/1", "a/3", "b/", "b/a/", "b/a/2"]
    );
}

#[test]
fn files_of_one_name_get_numbers_that_nobody_has() {
    let text = "https://h/a.txt\nhttps://g/a.txt\nhttps://h/a%20(2).txt\nhttps://f/a.txt\nx:https://h/1\nx:\n.rc:https://h/2\n.rc:https://h/3";
    let list = parse(text).unwrap();
    assert_eq!(
        paths(&list),
        [
            "a.txt",
            "a (3).txt",
            "a (2).txt",
            "a (4).txt",
            "x (2)",
            "x/",
            ".rc",
            ".rc (2)"
        ]
    );
    assert_eq!(paths(&list), paths(&parse(text).unwrap()));
}

#[test]
fn an_empty_list_is_an_empty_folder() {
    for text in ["", "\n", "\u{feff}", " \r\n"] {
        assert!(paths(&parse(text).unwrap()).is_empty());
    }
}

/// Texts made of what lists are made of, so that many of them parse.
fn list_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "  ",
        " ",
        "\t",
        "\r",
        "\n",
        "\n",
        ":",
        ":",
        "a",
        "名",
        "..",
        "/",
        "\0",
        "%2F",
        "%2e%2e",
        "%00",
        "-5",
        "100",
        "1694101621",
        "?",
        "#",
        "auth_key=1",
        "http://h/",
        "https://h/",
        "HTTP://",
        "\u{feff}",
        "\\",
        "@",
        "b.txt",
        "(2)",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_list_panics_and_every_accepted_name_is_safe(
        text in prop_oneof![list_text(), any::<String>()]
    ) {
        match parse(&text) {
            Ok(list) => {
                for node in &list.nodes()[1..] {
                    prop_assert!(!matches!(&*node.name, "" | "." | ".."));
                    prop_assert!(!node.name.chars().any(|c| c == '/' || c.is_control()));
                }
                for node in list.nodes() {
                    if let Content::Folder(members) = &node.content {
                        let names: HashSet<&str> =
                            members.iter().map(|&m| &*list.nodes()[m].name).collect();
                        prop_assert_eq!(names.len(), members.len());
                    }
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert!(errors.is_sorted_by_key(|e| e.line));
            }
        }
    }
}
