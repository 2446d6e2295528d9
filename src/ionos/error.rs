//! What is wrong with a request, in the shape that IONOS' clients show.

use serde_json::{Value, json};

use super::path::ResourcePath;

/// Something that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place in the object, `properties.targets[0].port`; empty for the whole of it.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The status.
    pub status: u16,
    /// What is said: a code of IONOS' and a text each.
    pub messages: Vec<(&'static str, String)>,
    /// The objects that cannot be served, where that is why, each with its reason.
    pub culprits: Vec<(ResourcePath, String)>,
}

/// An attribute is missing or not valid.
pub(super) const INVALID: &str = "100";
/// There is no such object.
pub(super) const UNKNOWN: &str = "309";
/// Why nothing is written for a moment.
pub(super) const TAKEN_OVER: &str = "a new process takes over";
/// Another rule has the listener.
pub(super) const TAKEN: &str = "371";

impl Problem {
    /// A problem of a property.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Problem { path, message }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages: Vec<&str> = self
            .messages
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        f.write_str(&messages.join("; "))
    }
}

impl ApiError {
    /// With one message.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let messages = vec![(code, message.into())];
        ApiError {
            status,
            messages,
            culprits: Vec::new(),
        }
    }

    /// What is asked for is not there.
    pub fn unknown(what: &str) -> Self {
        ApiError::new(404, UNKNOWN, format!("{what} does not exist"))
    }

    /// Nothing has been done: it is to be tried again in a moment.
    pub fn later(why: &str) -> Self {
        ApiError::new(429, INVALID, format!("try again: {why}"))
    }

    /// An object is not valid.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let text = |problem: Problem| match problem.path.is_empty() {
            true => format!("[(root)] {}", problem.message),
            false => format!("[(root).{}] {}", problem.path, problem.message),
        };
        let messages = problems.into_iter().map(|problem| (INVALID, text(problem)));
        ApiError {
            status: 422,
            messages: messages.collect(),
            culprits: Vec::new(),
        }
    }

    /// The same about an object that is inside another, at this place of its body.
    pub fn inside(mut self, place: &str) -> Self {
        for (_, message) in &mut self.messages {
            if let Some(rest) = message.strip_prefix("[(root)") {
                *message = format!("[(root).{place}{rest}");
            }
        }
        self
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let message = |(code, text): &(&str, String)| json!({"errorCode": code, "message": text});
        let messages: Vec<Value> = self.messages.iter().map(message).collect();
        json!({"httpStatus": self.status, "messages": messages})
    }
}
