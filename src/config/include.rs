//! Files that a file includes: their rules, groups and certificates are added to its own.
//!
//! An included file has these three lists and nothing else, so that what concerns the process is
//! said in one place. What it has comes after what the file has that includes it, in the order of
//! the patterns, and of the names that a pattern finds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};
use serde_json::{Map, Value};

use super::bounded::LARGEST_FILE;
use super::model::{LISTS, Part, Parts};
use super::positions::Text;
use super::problem::Problem;
use super::read::KEYS;
use super::text;
use super::tree::{Findings, Node};

/// How many files may be included.
const MOST_FILES: usize = 1000;
/// A pattern finds what a shell would: no hidden file, and `*` no `/`.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a file includes.
#[derive(Default)]
pub(super) struct Included {
    /// The files, in the order in which they are read.
    pub(super) texts: Vec<Text>,
    /// Which of the lists' entries are whose.
    pub(super) parts: Parts,
    /// What is wrong with them by themselves, each with its file.
    pub(super) problems: Vec<Problem>,
}

/// Reads what a file of this size includes, and adds it to the file's tree. Its paths are those of
/// this folder. What is wrong with `include` is noted in `findings`.
pub(super) fn read(top: &mut Value, folder: Option<&Path>, size: usize) -> Included {
    let mut included = Included::default();
    let findings = Findings::default();
    let files = top.get("include").filter(|include| !include.is_null());
    let files = files.map(|include| files_of(&Node::at(include, "include", &findings), folder));
    let mut left = LARGEST_FILE.saturating_sub(size);
    for file in files.into_iter().flatten() {
        if let Err(problem) = included.add(&file, top, &mut left) {
            included.problems.push(problem);
        }
    }
    included.problems.extend(findings.into_parts().0);
    included
}

/// The files that are named, each once.
fn files_of(include: &Node, folder: Option<&Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for node in include.entries().unwrap_or_default() {
        let Some(folder) = folder else {
            node.problem::<()>("is only for a configuration that is a file");
            continue;
        };
        let Some(pattern) = node.text() else {
            continue;
        };
        for file in matching(&node, folder, pattern).unwrap_or_default() {
            if !files.contains(&file) {
                files.push(file);
            }
            if files.len() > MOST_FILES {
                node.problem::<()>(format!("leads to more than {MOST_FILES} files"));
                return Vec::new();
            }
        }
    }
    files
}

/// The files of a pattern, in the order of their names, or the one that is named.
fn matching(node: &Node, folder: &Path, pattern: &str) -> Option<Vec<PathBuf>> {
    if !pattern.contains(['*', '?', '[']) {
        let file = folder.join(pattern);
        return match fs::metadata(&file) {
            Ok(found) if found.is_file() => Some(vec![file]),
            Ok(_) => node.problem(format!("{} is not a file", file.display())),
            Err(error) => node.problem(format!("{} cannot be read: {error}", file.display())),
        };
    }
    if pattern.contains("**") {
        return node.problem("must not have **: it would search all folders");
    }
    let folder = Pattern::escape(&folder.display().to_string());
    let pattern = Path::new(&folder).join(pattern);
    let found = match glob_with(&pattern.display().to_string(), OPTIONS) {
        Ok(found) => found,
        Err(error) => return node.problem(format!("is not a pattern: {}", error.msg)),
    };
    let mut files = Vec::new();
    for file in found.take(MOST_FILES + 1) {
        let file = file.map_err(|error| (error.path().to_owned(), io::Error::from(error)));
        let kind = file.and_then(|file| match fs::metadata(&file) {
            Ok(found) => Ok((file, found)),
            Err(error) => Err((file, error)),
        });
        match kind {
            // What leads to a folder or a pipe is not meant.
            Ok((file, found)) if found.is_file() => files.push(file),
            Ok(_) => {}
            Err((file, error)) => {
                return node.problem(format!("{} cannot be read: {error}", file.display()));
            }
        }
    }
    Some(files)
}

impl Included {
    fn add(&mut self, file: &Path, whole: &mut Value, left: &mut usize) -> Result<(), Problem> {
        let name = file.display().to_string();
        let of_file = |mut problem: Problem| {
            problem.file = Some(name.as_str().into());
            problem
        };
        let text = text::read(file).map_err(of_file)?;
        let rest = left.checked_sub(text.len());
        let too_large = || Problem::new("", "is too large: all files together have over 16 MiB");
        *left = rest.ok_or_else(|| of_file(too_large()))?;
        let top = text::tree(&text).map_err(of_file);
        let name = name.as_str().into();
        self.texts.push(Text { name, text });
        let Value::Object(lists) = self.checked(top?)? else {
            return Ok(());
        };
        self.parts.0.push(Part {
            file: file.display().to_string().into(),
            places: std::array::from_fn(|_| 0..0),
        });
        self.join(lists, whole);
        Ok(())
    }

    /// The tree of the last file, if it is a mapping of lists. What is wrong in it is noted.
    fn checked(&mut self, top: Value) -> Result<Value, Problem> {
        if top.is_null() {
            // An empty file adds nothing.
            return Ok(top);
        }
        let findings = Findings::default();
        if let Some(mapping) = Node::top(&top, &findings).mapping(KEYS) {
            for key in KEYS.iter().filter(|key| !LISTS.contains(key)) {
                mapping.forbidden(key, "is not for a file that is included");
            }
            for list in LISTS {
                mapping.or(list, (), |node| node.entries().map(drop));
            }
        }
        let (mut problems, _) = findings.into_parts();
        for problem in &mut problems {
            problem.file = self.texts.last().map(|text| text.name.clone());
        }
        let is_sound = problems.is_empty();
        self.problems.extend(problems);
        Ok(if is_sound { top } else { Value::Null })
    }

    /// Adds the lists of the last file to those of the whole.
    fn join(&mut self, mut lists: Map<String, Value>, whole: &mut Value) {
        let (Some(part), Value::Object(whole)) = (self.parts.0.last_mut(), whole) else {
            return;
        };
        for (list, place) in LISTS.iter().zip(&mut part.places) {
            let Some(Value::Array(entries)) = lists.remove(*list) else {
                continue;
            };
            let into = whole.entry(*list).or_insert(Value::Null);
            if into.is_null() {
                *into = Value::Array(Vec::new());
            }
            if let Value::Array(into) = into {
                let begin = into.len();
                into.extend(entries);
                *place = begin..into.len();
            }
        }
    }
}
