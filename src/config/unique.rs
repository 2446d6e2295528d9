//! Names and addresses that may occur only once.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use super::tree::Node;

/// Things that may occur only once, each with the place of its first occurrence.
pub(super) struct Unique<K> {
    what: &'static str,
    first: HashMap<K, String>,
}

impl<K: Eq + Hash + Debug> Unique<K> {
    /// `what` is the word for such a thing in a message.
    pub(super) fn new(what: &'static str) -> Self {
        let first = HashMap::new();
        Unique { what, first }
    }

    /// Notes a problem at `node` if `thing` has been here before.
    pub(super) fn enter(&mut self, thing: K, node: &Node) {
        if let Some(first) = self.first.get(&thing) {
            let message = format!("duplicate {} {thing:?}, also at", self.what);
            node.problem_beside::<()>(&message, first);
            return;
        }
        self.first.insert(thing, node.path().to_owned());
    }
}
