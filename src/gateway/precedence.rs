//! Which of several matches takes a request: the order of the specification.
//!
//! The most specific host first; then the path: exact ones, expressions (longer before shorter),
//! prefixes (longer before shorter); then those with a method, with more headers, with more
//! parameters; then the oldest route, then by its name, then in the order of the route.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::attach::Hosts;
use super::compiled::{Entry, RouteRule};
use super::objects::{Host, Name, PathMatch};

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    host: Reverse<(u8, usize)>,
    path: (u8, Reverse<usize>),
    has_method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    age: (bool, Option<SystemTime>, &'a Name),
    place: (usize, usize),
    /// Hosts of the same rank exclude each other; this is for the order to be one.
    tie: Option<&'a Host>,
}

impl<'a> Key<'a> {
    fn of(entry: &'a Entry) -> Self {
        let matched = entry.matched();
        let path = match &matched.path {
            PathMatch::Exact(path) => (0, path.len()),
            PathMatch::Regex(regex) => (1, regex.as_str().len()),
            PathMatch::Prefix(path) => (2, path.len()),
        };
        Key {
            host: Reverse(Host::rank(entry.host.as_ref())),
            path: (path.0, Reverse(path.1)),
            has_method: Reverse(matched.method.is_some()),
            headers: Reverse(matched.headers.len()),
            query: Reverse(matched.query.len()),
            age: entry.rule.route.meta.age(),
            place: (entry.rule.index, entry.place),
            tie: entry.host.as_ref(),
        }
    }
}

/// The matches of these rules, each for each of its hosts, in order.
fn sorted(rules: &[(Arc<RouteRule>, Arc<Hosts>)]) -> Arc<[Entry]> {
    let mut entries = Vec::new();
    for (rule, hosts) in rules {
        let places = rule.route.rules[rule.index].matches.len();
        for place in 0..places {
            entries.extend(hosts.iter().map(|host| Entry {
                host: host.clone(),
                rule: Arc::clone(rule),
                place,
            }));
        }
    }
    entries.sort_by(|one, other| Key::of(one).cmp(&Key::of(other)));
    entries.into()
}

/// The rules of a listener, each with its hosts there.
type Rules = Vec<(Arc<RouteRule>, Arc<Hosts>)>;

/// The entries of listeners, kept as long as their rules stay the same.
#[derive(Debug, Default)]
pub(super) struct Known {
    before: HashMap<Arc<str>, (Rules, Arc<[Entry]>)>,
    now: HashMap<Arc<str>, (Rules, Arc<[Entry]>)>,
}

impl Known {
    /// The entries of the listener of this name.
    pub(super) fn sort(&mut self, listener: &Arc<str>, rules: Rules) -> Arc<[Entry]> {
        let known = self.before.get(listener);
        let known = known.filter(|(known, _)| same(known, &rules));
        let entries = match known {
            Some((_, entries)) => Arc::clone(entries),
            None => sorted(&rules),
        };
        let entry = (rules, Arc::clone(&entries));
        self.now.insert(Arc::clone(listener), entry);
        entries
    }

    /// Forgets what was not asked for since.
    pub(super) fn settle(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

fn same(these: &Rules, those: &Rules) -> bool {
    let mut pairs = these.iter().zip(those);
    these.len() == those.len()
        && pairs.all(|((one, here), (other, there))| Arc::ptr_eq(one, other) && here == there)
}
