//! What was asked for, and what came of it. Clients ask for it by the Location of an answer, also
//! after a restart, and of a node that the answer did not come from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::object::Stamp;
use super::path::ResourcePath;

/// How many are kept.
const MOST: usize = 10_000;

/// A write, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// When it came, and from whom.
    pub created: Stamp,
    /// `POST`
    pub method: String,
    /// What it was about.
    pub target: ResourcePath,
    /// Why it failed; `None` where it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Which write it was.
    #[serde(default)]
    pub revision: u64,
}

/// How far a write is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not all nodes serve it yet.
    Running,
    /// It serves.
    Done,
    /// It does not serve, and why.
    Failed(String),
}

impl Progress {
    /// What clients are told.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Progress::Running => "RUNNING",
            Progress::Done => "DONE",
            Progress::Failed(_) => "FAILED",
        }
    }
}

/// The last requests. A copy has those that come later, too.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<Last>>);

#[derive(Debug, Default)]
struct Last {
    by_id: HashMap<String, Arc<Request>>,
    /// From the oldest to the newest.
    order: VecDeque<Arc<Request>>,
}

impl Requests {
    /// Keeps one; the oldest goes where there are too many.
    pub fn keep(&self, request: Arc<Request>) {
        let mut last = self.0.lock();
        if last.order.len() >= MOST
            && let Some(oldest) = last.order.pop_front()
        {
            last.by_id.remove(&oldest.id);
        }
        last.order.push_back(Arc::clone(&request));
        last.by_id.insert(request.id.clone(), request);
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Request>> {
        self.0.lock().by_id.get(id).cloned()
    }

    /// All of them, from the oldest to the newest.
    pub fn all(&self) -> Vec<Arc<Request>> {
        self.0.lock().order.iter().cloned().collect()
    }

    /// All of them, from the newest to the oldest.
    pub fn newest(&self) -> Vec<Arc<Request>> {
        self.0.lock().order.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let requests = Requests::default();
        let request = |id: usize| Request {
            id: id.to_string(),
            created: Stamp::now("test"),
            method: "POST".into(),
            target: ResourcePath::of(Kind::TargetGroup, None, "g"),
            failure: None,
            revision: id as u64,
        };
        for id in 0..MOST + 2 {
            requests.keep(Arc::new(request(id)));
        }
        assert_eq!(requests.all().len(), MOST);
        assert!(requests.get("1").is_none() && requests.get("2").is_some());
        assert_eq!(requests.all()[0].id, "2");
    }
}
