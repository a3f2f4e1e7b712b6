//! The whole list: lines to a table of folders and files.
//!
//! A line belongs to the nearest folder above it that is less indented. Folders of one name in one folder are
//! one folder; of files with one name the first keeps it and the others get ` (2)`, ` (3)`… before the
//! extension, never a name that another line has. Node numbers are in the order of first appearance, so the
//! same list gives the same numbers. Every bad line is reported, not only the first.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::{self, Line, LineFault};
use super::url::DirectUrl;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A parsed list. Node 0 is the root, a folder.
#[derive(Debug, Clone)]
pub struct LinkList {
    nodes: Vec<Node>,
}

/// A folder or file of the list.
#[derive(Debug, Clone)]
pub struct Node {
    /// Not empty, not `.` or `..`, without `/` and control characters; empty for the root alone.
    pub name: Box<str>,
    /// What it is.
    pub content: Content,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub enum Content {
    /// Numbers of the members, in list order.
    Folder(Vec<usize>),
    /// A link.
    File(Box<FileLine>),
}

/// A file's line.
#[derive(Debug, Clone)]
pub struct FileLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// The unsigned URL.
    pub url: DirectUrl,
    /// Bytes, where the list says so.
    pub size: Option<u64>,
    /// Unix seconds, where the list says so.
    pub modified: Option<i64>,
    /// `modified` was a lone number that looks like a time, but may be the size.
    pub lone_time: bool,
}

/// A bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: LineFault,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl LinkList {
    /// Reads a list. `now` bounds what can be a time among lone numbers (up to a day later).
    ///
    /// # Errors
    /// All bad lines, in their order.
    pub fn parse(text: &str, now: SystemTime) -> Result<Self, Vec<LineError>> {
        let tomorrow = now
            .checked_add(DAY)
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |t| t.as_secs());
        let mut builder = Builder::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.split('\n').enumerate() {
            let line_error = |fault| LineError {
                line: index + 1,
                fault,
            };
            if let Err(fault) = builder.line(line, index + 1, tomorrow) {
                builder.errors.push(line_error(fault));
            }
        }
        if !builder.errors.is_empty() {
            return Err(builder.errors);
        }
        let mut list = Self { nodes: builder.nodes };
        list.part_namesakes();
        Ok(list)
    }

    /// All nodes; the root is number 0.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All files with their numbers.
    pub fn files(&self) -> impl Iterator<Item = (usize, &Node, &FileLine)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(number, node)| match &node.content {
                Content::File(file) => Some((number, node, file.as_ref())),
                Content::Folder(_) => None,
            })
    }

    /// Gives files whose name is taken in their folder another one.
    fn part_namesakes(&mut self) {
        for folder in 0..self.nodes.len() {
            let Content::Folder(members) = &self.nodes[folder].content else {
                continue;
            };
            let members = members.clone();
            // Folders first: a file's name gives way to a folder's, wherever they stand.
            let (folders, files): (Vec<usize>, Vec<usize>) = members
                .into_iter()
                .partition(|&n| matches!(self.nodes[n].content, Content::Folder(_)));
            let mut taken: HashSet<Box<str>> = HashSet::new();
            let mut late = Vec::new();
            for number in folders.into_iter().chain(files) {
                if !taken.insert(self.nodes[number].name.clone()) {
                    late.push(number);
                }
            }
            let mut next: HashMap<Box<str>, usize> = HashMap::new();
            for number in late {
                let name = self.nodes[number].name.clone();
                let count = next.entry(name.clone()).or_insert(2);
                let free = loop {
                    let candidate = numbered(&name, *count);
                    *count += 1;
                    if taken.insert(candidate.clone()) {
                        break candidate;
                    }
                };
                self.nodes[number].name = free;
            }
        }
    }
}

/// What has been read so far.
struct Builder {
    nodes: Vec<Node>,
    /// Folders that may still get members, each with its level, the innermost last.
    open: Vec<(usize, usize)>,
    /// Folders by parent and name.
    folders: HashMap<(usize, Box<str>), usize>,
    errors: Vec<LineError>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: vec![Node {
                name: "".into(),
                content: Content::Folder(Vec::new()),
            }],
            open: Vec::new(),
            folders: HashMap::new(),
            errors: Vec::new(),
        }
    }
}

impl Builder {
    fn line(&mut self, line: &str, number: usize, tomorrow: u64) -> Result<(), LineFault> {
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(());
        }
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        let spaces = indent.bytes().filter(|b| *b == b' ').count();
        let blanks = indent.chars().count() - spaces;
        let level = spaces / 2 + blanks;
        self.open.retain(|(_, open)| *open < level);
        let parent = self.open.last().map_or(0, |(folder, _)| *folder);
        let looks_like_folder = text.ends_with(':') && !text.contains("://");
        let result = if blanks > 0 {
            Err(LineFault::Blank)
        } else if spaces % 2 == 1 {
            Err(LineFault::OddIndent)
        } else if level > 0 && self.open.is_empty() {
            Err(LineFault::UnderNothing)
        } else {
            line::parse(text, tomorrow)
        };
        match result {
            Ok(Line::Folder(name)) => {
                let folder = self.folder(parent, name.into());
                self.open.push((folder, level));
                Ok(())
            }
            Ok(Line::File {
                name,
                url,
                size,
                modified,
                lone_time,
            }) => {
                let file = FileLine {
                    line: number,
                    url,
                    size,
                    modified,
                    lone_time,
                };
                self.add(parent, name.into(), Content::File(Box::new(file)));
                Ok(())
            }
            Err(fault) => {
                // The members of a bad folder line are not at fault: they find a folder here.
                if looks_like_folder {
                    self.open.push((parent, level));
                }
                Err(fault)
            }
        }
    }

    fn folder(&mut self, parent: usize, name: Box<str>) -> usize {
        let key = (parent, name);
        if let Some(folder) = self.folders.get(&key) {
            return *folder;
        }
        let folder = self.add(parent, key.1.clone(), Content::Folder(Vec::new()));
        self.folders.insert(key, folder);
        folder
    }

    fn add(&mut self, parent: usize, name: Box<str>, content: Content) -> usize {
        let number = self.nodes.len();
        self.nodes.push(Node { name, content });
        if let Content::Folder(members) = &mut self.nodes[parent].content {
            members.push(number);
        }
        number
    }
}

/// `a (2).txt`; a leading dot begins no extension.
fn numbered(name: &str, count: usize) -> Box<str> {
    match name.rfind('.') {
        Some(dot) if dot > 0 => format!("{} ({count}){}", &name[..dot], &name[dot..]),
        _ => format!("{name} ({count})"),
    }
    .into()
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
