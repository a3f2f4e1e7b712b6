//! One table of the file, read key by key, with all its problems collected.
//!
//! serde stops at the first wrong value; a person who writes a configuration wants to see every slip
//! at once. So the text is parsed into TOML's own spanned tree, and each table is read through a
//! [`Section`], which knows its name and lines: a getter that finds something wrong notes it in the
//! [`Reader`] and answers `None`, and reading goes on with the default.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units;

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// Dotted name of the key, such as `mount.strategy`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong and what was expected.
    pub sentence: String,
}

/// A value with its line.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// Line of the file, from 1.
    pub line: usize,
    /// The value.
    pub value: T,
}

/// What all sections of one file share.
pub struct Reader<'a> {
    /// Relative paths begin here: the folder of the file.
    dir: PathBuf,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    holds_secret: Cell<bool>,
}

impl<'a> Reader<'a> {
    /// A reader of `text`, which stands in the file `path`.
    pub fn new(text: &str, path: &Path, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            dir: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            environment,
            starts: std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect(),
            problems: RefCell::default(),
            holds_secret: Cell::new(false),
        }
    }

    /// The line, from 1, of a byte.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Notes a problem.
    pub fn problem(&self, line: usize, key: impl Into<String>, sentence: impl Into<String>) {
        let problem = Problem {
            line,
            key: key.into(),
            sentence: sentence.into(),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// All problems, by line.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }

    /// A path as written, relative to the folder of the file.
    pub fn path(&self, written: &str) -> PathBuf {
        self.dir.join(written)
    }

    /// A variable of the environment.
    pub fn environment(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// Remembers that the file itself holds a secret.
    pub fn note_secret(&self) {
        self.holds_secret.set(true);
    }

    /// Whether the file itself holds a secret.
    pub fn holds_secret(&self) -> bool {
        self.holds_secret.get()
    }
}

/// One table of the file.
pub struct Section<'r> {
    /// What all sections share.
    pub reader: &'r Reader<'r>,
    /// Dotted name, such as `mount.endpoints`; empty for the file itself.
    name: String,
    /// Line of the header, or where the table would be missed.
    pub line: usize,
    slots: BTreeMap<String, At<DeValue<'r>>>,
}

impl<'r> Section<'r> {
    /// A table with its values.
    pub fn new(reader: &'r Reader<'r>, name: &str, line: usize, table: DeTable<'r>) -> Self {
        let slots = table.into_iter().map(|(key, value)| {
            let line = reader.line(key.span().start);
            (
                key.into_inner().into_owned(),
                At {
                    line,
                    value: value.into_inner(),
                },
            )
        });
        Self {
            reader,
            name: name.to_owned(),
            line,
            slots: slots.collect(),
        }
    }

    /// The full name of a key.
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Whether the key is in the file, right or wrong, taken already or not.
    pub fn has(&self, key: &str) -> bool {
        self.slots.contains_key(key)
    }

    /// Line of a key, or of the section where it is absent.
    pub fn line_of(&self, key: &str) -> usize {
        self.slots.get(key).map_or(self.line, |slot| slot.line)
    }

    /// Notes a problem with a key, at its line.
    pub fn problem(&self, key: &str, sentence: impl Into<String>) {
        self.reader.problem(self.line_of(key), self.full(key), sentence);
    }

    /// The keys of the file that are in none of the lists.
    pub fn others(&self, known: &[&[&str]]) -> Vec<String> {
        let is_other = |key: &&String| !known.iter().any(|list| list.contains(&key.as_str()));
        self.slots.keys().filter(is_other).cloned().collect()
    }

    /// Notes every key that is not in `known`.
    pub fn refuse_others(&self, known: &[&str]) {
        for key in self.others(&[known]) {
            self.problem(
                &key,
                format!("unknown key; expected {}", or(known.iter().copied())),
            );
        }
    }

    /// Notes the key as missing where it is. `why` follows "missing; ".
    pub fn require(&self, key: &str, why: &str) {
        if !self.has(key) {
            self.problem(key, format!("missing; {why}"));
        }
    }

    fn take(&mut self, key: &str) -> Option<At<DeValue<'r>>> {
        let slot = self.slots.get_mut(key)?;
        let value = std::mem::replace(&mut slot.value, DeValue::Boolean(false));
        Some(At {
            line: slot.line,
            value,
        })
    }

    fn wrong_type(&self, line: usize, key: &str, expected: &str, found: &DeValue<'_>) {
        let sentence = format!("expected {expected}, found {}", a_type(found));
        self.reader.problem(line, self.full(key), sentence);
    }

    /// A string that is not empty.
    pub fn text(&mut self, key: &str, expected: &str) -> Option<At<String>> {
        let At { line, value } = self.take(key)?;
        match value {
            DeValue::String(text) if text.trim().is_empty() => {
                self.problem(key, format!("empty; expected {expected}"));
                None
            }
            DeValue::String(text) => Some(At {
                line,
                value: text.into_owned(),
            }),
            other => {
                self.wrong_type(line, key, expected, &other);
                None
            }
        }
    }

    /// A string that `parse` accepts.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key, expected)?.value;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problem(
                key,
                format!("{} is not understood; expected {expected}", quoted(&text)),
            );
        }
        parsed
    }

    /// One of a few words. `noun` is what they are.
    pub fn choice<T: Copy>(&mut self, key: &str, noun: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(name, _)| quoted(name)).collect();
        let expected = or(names.iter().map(String::as_str));
        let text = self.text(key, &expected)?.value;
        let chosen = words.iter().find(|(name, _)| *name == text);
        if chosen.is_none() {
            self.problem(
                key,
                format!("unknown {noun} {}; expected {expected}", quoted(&text)),
            );
        }
        chosen.map(|(_, value)| *value)
    }

    /// A duration.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parsed(key, units::DURATION, units::duration)
    }

    /// A size in bytes.
    pub fn size(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, units::SIZE, units::size)
    }

    /// An integer of at least `least`.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        let expected = match (least, most) {
            (0, i64::MAX) => "a whole number, 0 or more".to_owned(),
            (_, i64::MAX) => format!("a whole number, {least} or more"),
            _ => format!("a whole number from {least} to {most}"),
        };
        let At { line, value } = self.take(key)?;
        let DeValue::Integer(number) = &value else {
            self.wrong_type(line, key, &expected, &value);
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix());
        let within = parsed.ok().filter(|number| (least..=most).contains(number));
        if within.is_none() {
            self.problem(key, format!("{number} is out of range; expected {expected}"));
        }
        within
    }

    /// A number above 0, with or without a fraction.
    pub fn factor(&mut self, key: &str) -> Option<f64> {
        const EXPECTED: &str = "a number above 0, such as 1.0";
        let At { line, value } = self.take(key)?;
        let written = match &value {
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Integer(number) => number.to_string(),
            other => {
                self.wrong_type(line, key, EXPECTED, other);
                return None;
            }
        };
        let within = written
            .parse::<f64>()
            .ok()
            .filter(|number| *number > 0.0 && number.is_finite());
        if within.is_none() {
            self.problem(key, format!("{written} is out of range; expected {EXPECTED}"));
        }
        within
    }

    /// One string, or a list of them with at least one.
    pub fn texts(&mut self, key: &str, expected: &str) -> Option<Vec<At<String>>> {
        let At { line, value } = self.take(key)?;
        let items = match value {
            DeValue::String(text) => vec![At {
                line,
                value: text.into_owned(),
            }],
            DeValue::Array(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let line = self.reader.line(item.span().start);
                    match item.into_inner() {
                        DeValue::String(text) => texts.push(At {
                            line,
                            value: text.into_owned(),
                        }),
                        other => self.wrong_type(line, key, expected, &other),
                    }
                }
                texts
            }
            other => {
                self.wrong_type(line, key, expected, &other);
                return None;
            }
        };
        if items.is_empty() {
            self.problem(key, format!("empty; expected {expected}"));
            return None;
        }
        Some(items)
    }

    /// A table below this one; `None` where it is absent or no table.
    pub fn table(&mut self, key: &str) -> Option<Section<'r>> {
        let name = self.full(key);
        self.table_such_as(key, &format!("one table [{name}]"))
    }

    /// The same; `expected` says what it looks like.
    pub fn table_such_as(&mut self, key: &str, expected: &str) -> Option<Section<'r>> {
        let name = self.full(key);
        let At { line, value } = self.take(key)?;
        let found = match value {
            DeValue::Table(table) => return Some(Section::new(self.reader, &name, line, table)),
            DeValue::Array(_) => "[[…]] or a list",
            other => a_type(&other),
        };
        self.reader
            .problem(line, name, format!("expected {expected}, found {found}"));
        None
    }

    /// A table below this one; one without keys where it is absent or no table, so that reading it gives defaults.
    pub fn table_or_empty(&mut self, key: &str) -> Section<'r> {
        let empty = Section {
            reader: self.reader,
            name: self.full(key),
            line: 1,
            slots: BTreeMap::new(),
        };
        self.table(key).unwrap_or(empty)
    }

    /// The tables `[[…]]` of that name, in their order.
    pub fn tables(&mut self, key: &str) -> Vec<Section<'r>> {
        let name = self.full(key);
        let expected = format!("[[{name}]], in double brackets, once for each");
        let (line, items) = match self.take(key) {
            None => return Vec::new(),
            Some(At {
                line,
                value: DeValue::Array(items),
            }) => (line, items),
            Some(At { line, value }) => {
                self.wrong_type(line, key, &expected, &value);
                return Vec::new();
            }
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let line = self.reader.line(item.span().start).max(line);
            match item.into_inner() {
                DeValue::Table(table) => tables.push(Section::new(self.reader, &name, line, table)),
                other => self.wrong_type(line, key, &expected, &other),
            }
        }
        tables
    }
}

/// Parses the text into TOML's tree, or notes every error of syntax.
///
/// The messages of the parser are taken without the excerpt that it would print: the line may hold a password.
pub fn document<'r>(reader: &'r Reader<'r>, text: &'r str) -> Option<Section<'r>> {
    let (root, errors): (Spanned<DeTable<'r>>, _) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = reader.line(error.span().map_or(0, |span| span.start));
        let written = text.lines().nth(line - 1).unwrap_or_default();
        let sentence = format!(
            "not valid TOML: {}{}",
            error.message(),
            hint(error.message(), written)
        );
        reader.problem(line, "", sentence);
    }
    errors
        .is_empty()
        .then(|| Section::new(reader, "", 1, root.into_inner()))
}

/// What helps with a slip of syntax, from what the parser says and what kind of characters the line holds.
fn hint(message: &str, line: &str) -> &'static str {
    let code = line.split('#').next().unwrap_or_default();
    let unquoted_colon = || !code.contains('=') && code.contains(':');
    if code.contains(['“', '”', '‘', '’', '＂', '＇', '＝', '：', '［', '］', '【', '】']) {
        "; the line holds typographic or full-width characters: type the plain ones, as in key = \"value\""
    } else if message.contains("escape") || message.contains("unicode") {
        "; within \"…\" a backslash begins an escape: write it twice, or take single quotes, as in 'C:\\certs\\cert.pem'"
    } else if message.contains("must be quoted") || message.contains("basic string") {
        "; text stands between straight quotes, as in key = \"value\""
    } else if unquoted_colon() {
        "; a key and its value are joined by =, as in key = \"value\""
    } else {
        ""
    }
}

/// The words as a sentence has them: `a, b or c`.
pub fn or<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, head)) => format!("{} or {last}", head.join(", ")),
        None => String::new(),
    }
}

/// A value in quotes, cut where it is long.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
    }
}

fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
