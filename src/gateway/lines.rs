//! What is told of the objects, a line for each condition.

use std::fmt;

use super::objects::{Kind, Place};
use super::statuses::{Condition, Statuses, Truth};

/// Conditions that are good where they do not hold.
const BETTER_FALSE: [&str; 3] = ["Conflicted", "OverlappingTLSConfig", "PartiallyInvalid"];

/// A condition of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where the object is written.
    pub place: Place,
    /// Its kind.
    pub kind: Kind,
    /// `Gateway infra/edge: listener http`
    pub object: String,
    /// The condition.
    pub condition: Condition,
}

impl Line {
    /// Whether somebody should look at it.
    pub fn is_bad(&self) -> bool {
        let is_false = self.condition.status == Truth::False;
        is_false != BETTER_FALSE.contains(&self.condition.kind)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition {
            kind,
            status,
            reason,
            message,
            ..
        } = &self.condition;
        let status = status.word();
        let object = &self.object;
        self.place.begin(f)?;
        write!(f, "{object}: {kind} {status} ({reason})")?;
        match message.is_empty() {
            true => Ok(()),
            false => write!(f, ": {message}"),
        }
    }
}

impl Statuses {
    /// All conditions, in the order of kinds and names.
    pub fn lines(&self) -> Vec<Line> {
        let all = self.0.iter().flat_map(|((kind, name), status)| {
            let conditions = status.body.conditions().into_iter();
            conditions.map(move |(part, condition)| {
                let object = match part.is_empty() {
                    true => format!("{} {name}", kind.as_str()),
                    false => format!("{} {name}: {part}", kind.as_str()),
                };
                Line {
                    place: status.place.clone(),
                    kind: *kind,
                    object,
                    condition: condition.clone(),
                }
            })
        });
        all.collect()
    }
}
