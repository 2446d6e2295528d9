//! What is wrong with a configuration file, as the operator reads it: one problem a line, each with
//! its place.
//!
//! A place is the file with line and column, and the path of keys and indices from its top with the
//! names of what is on the way: `forwardingRules[0] "public": httpRules[2] "chat": targetGroup`.
//! The reader notes the path alone; `positions` adds the rest. The path is empty where there is
//! none: a file that cannot be read, or text that is not YAML. Warnings have the same form and stop
//! nothing.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In which file, where it is not the one that includes it.
    pub file: Option<Arc<str>>,
    /// Where in the file, as far as that is known.
    pub position: Option<Position>,
    /// Where: keys and indices from the top of the file. Empty for the file as a whole.
    pub path: String,
    /// What: one line.
    pub message: String,
    /// Whether it is about the key at the end of the path, and not about the value.
    pub(super) is_of_key: bool,
    /// The path of another place, with which the message ends.
    pub(super) other: Option<String>,
}

/// A place in a text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Problem {
    /// What is wrong at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem {
            file: None,
            position: None,
            path: path.into(),
            message: message.into(),
            is_of_key: false,
            other: None,
        }
    }

    /// Has the message end with the other place as it is shown, and its line; with its file where
    /// that is another one.
    pub(super) fn end_with(&mut self, shown: &str, file: Option<&str>, position: Option<Position>) {
        let other = self.other.take().unwrap_or_default();
        let Some(before) = self.message.strip_suffix(&other) else {
            return;
        };
        let place = match (file, position) {
            (Some(file), Some(position)) => format!(" ({file}:{position})"),
            (Some(file), None) => format!(" ({file})"),
            (None, Some(position)) => format!(" (line {})", position.line),
            (None, None) => String::new(),
        };
        self.message = format!("{before}{shown}{place}");
    }

    /// The line for a problem: `FILE:LINE:COLUMN: path: message`. This is the file's name where the
    /// problem names no other.
    pub fn line(&self, file: &str) -> String {
        format!("{}: {self}", self.place(file))
    }

    /// The line for a warning: `FILE:LINE:COLUMN: warning: path: message`.
    pub fn as_warning(&self, file: &str) -> String {
        format!("{}: warning: {self}", self.place(file))
    }

    fn place(&self, file: &str) -> String {
        let file = self.file.as_deref().unwrap_or(file);
        match self.position {
            Some(position) => format!("{file}:{position}"),
            None => file.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// All that is wrong with a file and those that it includes. Displayed as lines,
/// `FILE:LINE:COLUMN: path: message`, without a line end after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, as it was given.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}", problem.line(&self.file))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_a_line_with_file_and_place() {
        let path = "forwardingRules[0].httpRules[2].targetGroup";
        let mut elsewhere = Problem::new("targetGroups[0].name", "is required");
        elsewhere.file = Some("conf.d/a.yaml".into());
        let (line, column) = (3, 5);
        elsewhere.position = Some(Position { line, column });
        let problems = Problems {
            file: "edge.yaml".to_owned(),
            problems: vec![
                Problem::new(path, "no target group named \"chat\""),
                Problem::new("", "the file is empty"),
                elsewhere,
            ],
        };
        assert_eq!(
            problems.to_string(),
            "edge.yaml: forwardingRules[0].httpRules[2].targetGroup: no target \
             group named \"chat\"\n\
             edge.yaml: the file is empty\n\
             conf.d/a.yaml:3:5: targetGroups[0].name: is required"
        );
    }

    #[test]
    fn a_warning_says_that_it_is_one() {
        let mut warning = Problem::new("targetGroups[0]", "no HTTP rule names this group");
        let (line, column) = (7, 3);
        warning.position = Some(Position { line, column });
        assert_eq!(
            warning.as_warning("edge.yaml"),
            "edge.yaml:7:3: warning: targetGroups[0]: no HTTP rule names this group"
        );
    }
}
