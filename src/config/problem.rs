//! What is wrong with a configuration file, as the operator reads it: one problem a line, each with
//! its place.
//!
//! A place is the path of keys and indices from the top of the file,
//! `forwardingRules[0].httpRules[2].targetGroup`. It is empty where there is none: a file that
//! cannot be read, or text that is not YAML (line and column are then in the message). Warnings
//! have the same form and stop nothing.

use std::fmt;

/// One thing that is wrong, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: keys and indices from the top of the file. Empty for the file as a whole.
    pub path: String,
    /// What: one line.
    pub message: String,
}

impl Problem {
    /// The line for a warning: `FILE: warning: path: message`.
    pub fn as_warning(&self, file: &str) -> String {
        format!("{file}: warning: {self}")
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

/// All that is wrong with one file. Displayed as lines, `FILE: path: message`, without a line end
/// after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, as it was given.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// A file with a single problem that has no place in it.
    pub(super) fn whole_file(file: &str, message: impl Into<String>) -> Self {
        let problem = Problem {
            path: String::new(),
            message: message.into(),
        };
        Problems {
            file: file.to_owned(),
            problems: vec![problem],
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}: {problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(path: &str, message: &str) -> Problem {
        Problem {
            path: path.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn each_problem_is_a_line_with_file_and_place() {
        let problems = Problems {
            file: "edge.yaml".to_owned(),
            problems: vec![
                problem(
                    "forwardingRules[0].httpRules[2].targetGroup",
                    "no target group named \"chat\"",
                ),
                problem("", "the file is empty"),
            ],
        };
        assert_eq!(
            problems.to_string(),
            "edge.yaml: forwardingRules[0].httpRules[2].targetGroup: no target \
             group named \"chat\"\n\
             edge.yaml: the file is empty"
        );
    }

    #[test]
    fn a_warning_says_that_it_is_one() {
        let warning = problem("targetGroups[0]", "no HTTP rule names this group");
        assert_eq!(
            warning.as_warning("edge.yaml"),
            "edge.yaml: warning: targetGroups[0]: no HTTP rule names this group"
        );
    }
}
