//! Which of several matches takes a request: the order of the specification.
//!
//! The most specific host first; then the path: exact ones, expressions (longer before shorter),
//! prefixes (longer before shorter); then those with a method, with more headers, with more
//! parameters; then the oldest route, then by its name, then in the order of the route.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
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
fn sorted<'a>(rules: impl Iterator<Item = &'a (Arc<RouteRule>, Arc<Hosts>)>) -> Vec<Entry> {
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
    entries
}

/// What is in order, with what has come and without what has gone. `None` where that is so much
/// that all is better sorted anew.
fn changed(before: &Rules, entries: &[Entry], now: &Rules) -> Option<Arc<[Entry]>> {
    let (old, new) = (by_rule(before), by_rule(now));
    let is_in = |all: &HashMap<_, &Hosts>, (rule, hosts): &(Arc<RouteRule>, Arc<Hosts>)| {
        all.get(&Arc::as_ptr(rule)) == Some(&&**hosts)
    };
    let come: Vec<_> = now.iter().filter(|rule| !is_in(&old, rule)).collect();
    if come.len() > now.len() / 8 {
        return None;
    }
    let gone = before.iter().filter(|rule| !is_in(&new, rule));
    let gone: HashSet<_> = gone.map(|(rule, _)| Arc::as_ptr(rule)).collect();
    let stays = |entry: &&Entry| !gone.contains(&Arc::as_ptr(&entry.rule));
    let kept: Vec<&Entry> = entries.iter().filter(stays).collect();
    let mut rest = &kept[..];
    let mut merged = Vec::with_capacity(entries.len());
    for entry in sorted(come.into_iter()) {
        let key = Key::of(&entry);
        let (before, after) = rest.split_at(rest.partition_point(|kept| Key::of(kept) < key));
        merged.extend(before.iter().copied().cloned());
        rest = after;
        merged.push(entry);
    }
    merged.extend(rest.iter().copied().cloned());
    Some(merged.into())
}

fn by_rule(rules: &Rules) -> HashMap<*const RouteRule, &Hosts> {
    let pairs = rules.iter();
    pairs
        .map(|(rule, hosts)| (Arc::as_ptr(rule), &**hosts))
        .collect()
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
        let entries = match self.before.get(listener) {
            Some((known, entries)) if same(known, &rules) => Arc::clone(entries),
            Some((known, entries)) => {
                changed(known, entries, &rules).unwrap_or_else(|| sorted(rules.iter()).into())
            }
            None => sorted(rules.iter()).into(),
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
