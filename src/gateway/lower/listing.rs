//! The HTTP rules of a socket: each match becomes one, in its order, listener after listener.
//! Behind the rules of a listener stands a 404 for its host, so that no other listener sees its
//! requests.
//!
//! What is known of the last time is taken again, as the same object: nobody builds it again then.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::rules::{action, comparison, conditions, fixed, host_is, is};
use crate::config::model::{self, Comparison, Condition, HttpRule, Subject};
use crate::gateway::compiled::{Entry, RouteRule, ServedListener, Socket, Tunnels};
use crate::gateway::objects::Host;

/// What the rules of a socket were made of, and became, the last time.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The listeners, with their hosts.
    shape: Vec<(Arc<str>, Option<Host>)>,
    listeners: HashMap<Arc<str>, Listed>,
    hash: RandomState,
}

/// The rules of a listener.
#[derive(Debug, Default)]
struct Listed {
    /// Those of no route.
    fixed: Vec<Made>,
    /// Those of routes, by where the route's rule is in memory, and which match it is.
    routes: HashMap<(usize, usize), Vec<OfRoute>>,
}

/// A rule of a match, for a host.
#[derive(Debug)]
struct OfRoute {
    host: Option<Host>,
    /// As long as it is there, nothing else has its address.
    of: Arc<RouteRule>,
    made: Made,
}

/// A rule as it became.
#[derive(Debug)]
struct Made {
    /// The hash of its name, before that got a number.
    name: u64,
    /// Which of those of this name it is.
    count: usize,
    rule: Arc<HttpRule>,
}

impl Listing {
    /// The rules of a socket now.
    pub(super) fn list(&mut self, socket: &Socket, tunnels: &Tunnels) -> Vec<Arc<HttpRule>> {
        let listeners = socket.listeners.iter();
        let shape = listeners.map(|one| (Arc::clone(&one.name), one.host.clone()));
        let shape: Vec<_> = shape.collect();
        let has_same_listeners = shape == self.shape;
        self.shape = shape;
        let count = socket.listeners.iter().map(|one| one.entries.len() + 1);
        let mut rules = Rules::with_room_for(count.sum(), &self.hash);
        let mut before = std::mem::take(&mut self.listeners);
        for (place, listener) in socket.listeners.iter().enumerate() {
            let mut known = before.remove(&listener.name).unwrap_or_default();
            if !has_same_listeners {
                known.fixed.clear();
            }
            let own = Own {
                listener,
                socket,
                tunnels,
            };
            let listed = own.list(place, known, &mut rules);
            self.listeners.insert(Arc::clone(&listener.name), listed);
        }
        rules.all
    }
}

/// A listener whose rules are listed.
struct Own<'a> {
    listener: &'a ServedListener,
    socket: &'a Socket,
    tunnels: &'a Tunnels,
}

impl Own<'_> {
    fn list(&self, place: usize, mut known: Listed, rules: &mut Rules) -> Listed {
        let mut listed = Listed::default();
        let mut fixed_before = std::mem::take(&mut known.fixed).into_iter();
        let mut push_fixed = |name: String, conditions, status: u16, rules: &mut Rules| {
            let made = fixed_before.next().filter(|made| rules.again(made));
            let made = made.unwrap_or_else(|| rules.push(name, conditions, fixed(status)));
            listed.fixed.push(made);
        };
        if self.socket.tls.is_some() {
            for conditions in misdirected(self.listener, place, self.socket) {
                let name = format!("{} misdirected", self.listener.name);
                push_fixed(name, conditions, 421, rules);
            }
        }
        listed.routes.reserve(self.listener.entries.len());
        for entry in self.listener.entries.iter() {
            let id = (Arc::as_ptr(&entry.rule).addr(), entry.place);
            let made = known.take(id, entry).filter(|made| rules.again(made));
            let made = made.unwrap_or_else(|| self.push(entry, rules));
            listed.routes.entry(id).or_default().push(OfRoute {
                host: entry.host.clone(),
                of: Arc::clone(&entry.rule),
                made,
            });
        }
        let host = self.listener.host.as_ref();
        let host = host.map(|host| is(host_is(host))).into_iter().collect();
        let name = format!("{} no route", self.listener.name);
        push_fixed(name, host, 404, rules);
        listed
    }

    fn push(&self, entry: &Entry, rules: &mut Rules) -> Made {
        let route = &entry.rule.route.meta.name;
        let policy = self.tunnels.find(route, &self.listener.gateway);
        let action = action(entry, self.socket, policy);
        rules.push(name(entry), conditions(entry), action)
    }
}

impl Listed {
    /// What became of this match the last time.
    fn take(&mut self, id: (usize, usize), entry: &Entry) -> Option<Made> {
        let known = self.routes.get_mut(&id)?;
        let is_it = |one: &OfRoute| one.host == entry.host && Arc::ptr_eq(&one.of, &entry.rule);
        let place = known.iter().position(is_it)?;
        Some(known.swap_remove(place).made)
    }
}

/// Rules with names of their own.
struct Rules<'a> {
    all: Vec<Arc<HttpRule>>,
    /// How often each name has come, by its hash.
    names: HashMap<u64, usize>,
    hash: &'a RandomState,
}

impl<'a> Rules<'a> {
    fn with_room_for(count: usize, hash: &'a RandomState) -> Self {
        Rules {
            all: Vec::with_capacity(count),
            names: HashMap::with_capacity(count),
            hash,
        }
    }

    fn push(&mut self, name: String, conditions: Vec<Condition>, action: model::Action) -> Made {
        let hash = self.hash.hash_one(&name);
        let count = self.names.entry(hash).or_default();
        *count += 1;
        let own = match *count {
            1 => name,
            count => format!("{name} ({count})"),
        };
        let rule = Arc::new(HttpRule {
            name: own,
            conditions,
            action,
        });
        self.all.push(Arc::clone(&rule));
        Made {
            name: hash,
            count: *count,
            rule,
        }
    }

    /// Takes a rule as it became, if it would be called the same now. Tells whether it would.
    fn again(&mut self, made: &Made) -> bool {
        let count = self.names.entry(made.name).or_default();
        let is_same = *count + 1 == made.count;
        if is_same {
            *count += 1;
            self.all.push(Arc::clone(&made.rule));
        }
        is_same
    }
}

/// `namespace/route/rule`, and which match and host where there are several.
fn name(entry: &Entry) -> String {
    let route = &entry.rule.route;
    let rule = &route.rules[entry.rule.index];
    let mut name = match &rule.name {
        Some(own) => format!("{}/{own}", route.meta.name),
        None => format!("{}/{}", route.meta.name, entry.rule.index),
    };
    if rule.matches.len() > 1 {
        name = format!("{name}/{}", entry.place);
    }
    match &entry.host {
        Some(host) if route.hosts.len() > 1 => format!("{name} {host}"),
        _ => name,
    }
}

/// What comes for this listener over a connection that was made for another, which is answered with
/// 421.
fn misdirected(listener: &ServedListener, place: usize, socket: &Socket) -> Vec<Vec<Condition>> {
    let host = listener.host.as_ref();
    let own: Vec<Condition> = host.map(|host| is(host_is(host))).into_iter().collect();
    let mut all = Vec::new();
    if let Some(host) = host {
        let other = Condition {
            subject: Subject::ServerName(comparison(host)),
            negate: true,
        };
        let named = is(Subject::ServerName(Comparison::Exists));
        all.push([own.clone(), vec![named, other]].concat());
    }
    // Those before it are more specific: what is meant for them is not meant for this one.
    let before = socket.listeners[..place].iter();
    for other in before.filter_map(|other| other.host.as_ref()) {
        let is_within = host.is_none_or(|host| host.common(other).as_ref() == Some(other));
        if is_within {
            let for_other = is(Subject::ServerName(comparison(other)));
            all.push([own.clone(), vec![for_other]].concat());
        }
    }
    all
}
