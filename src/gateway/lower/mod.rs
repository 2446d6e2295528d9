//! From the compiled form to values of the configuration: forwarding rules with their HTTP rules in
//! order, target groups, certificates. What has not changed since the last time is the same object.

mod certificates;
mod defaults;
mod groups;
mod listing;
mod rules;

pub(super) use self::rules::{address_of, name_of};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use self::listing::Listing;
use super::compiled::{Compiled, Group, Socket, Tunnels};
use super::listeners::same_clients;
use crate::config::model::{Certificate, ForwardingRule, Source, TargetGroup};
use crate::config::objects::Others;

/// A group, its endpoints, and what came of both.
type Known = (Arc<Group>, Arc<[SocketAddr]>, Arc<TargetGroup>);

/// Lowers, again and again.
#[derive(Debug, Default)]
pub struct Lowerer {
    rules: BTreeMap<SocketAddr, (Socket, Arc<ForwardingRule>, Listing)>,
    tunnels: Tunnels,
    groups: BTreeMap<Arc<str>, Known>,
}

impl Lowerer {
    /// What serves: the rules in the order of the addresses, the rest in that of the names.
    /// `source` is who has said so, by the name of a forwarding rule or group.
    pub fn lower(&mut self, compiled: &Compiled, source: &dyn Fn(&str) -> Source) -> Others {
        if !self.tunnels.is(&compiled.tunnels) {
            self.rules.clear();
            self.tunnels = compiled.tunnels.clone();
        }
        let mut certificates = BTreeMap::new();
        let mut forwarding_rules = Vec::new();
        let mut rules = BTreeMap::new();
        for socket in &compiled.sockets {
            let shown = certificates::of(socket, &mut certificates);
            let known = self.rules.remove(&socket.address);
            let (rule, listing) = match known {
                Some((known, rule, listing)) if same(&known, socket) => (rule, listing),
                known => {
                    // What redirects say of it depends on whether it speaks TLS.
                    let known =
                        known.filter(|(known, ..)| known.tls.is_some() == socket.tls.is_some());
                    let mut listing = known.map(|(_, _, listing)| listing).unwrap_or_default();
                    let http_rules = listing.list(socket, &self.tunnels);
                    let rule = rules::forwarding_rule(socket, shown, http_rules, source);
                    (Arc::new(rule), listing)
                }
            };
            forwarding_rules.push(Arc::clone(&rule));
            rules.insert(socket.address, (socket.clone(), rule, listing));
        }
        self.rules = rules;
        let mut groups = BTreeMap::new();
        for (name, group) in &compiled.groups {
            let own = group.tls.as_ref().and_then(|tls| tls.own.as_ref());
            if let Some(own) = own {
                certificates.insert(own.name.clone(), Certificate::clone(own));
            }
            let endpoints = &compiled.endpoints[name];
            let lowered = self.group(group, endpoints, source);
            groups.insert(
                Arc::clone(name),
                (Arc::clone(group), Arc::clone(endpoints), lowered),
            );
        }
        self.groups = groups;
        let target_groups = self.groups.values();
        Others {
            forwarding_rules,
            target_groups: target_groups.map(|(_, _, one)| Arc::clone(one)).collect(),
            certificates: certificates.into_values().collect(),
        }
    }

    /// A group that has these endpoints now, when nothing else has changed; `None` where no such
    /// group was lowered before.
    pub fn with_endpoints(
        &mut self,
        name: &str,
        endpoints: &Arc<[SocketAddr]>,
    ) -> Option<Arc<TargetGroup>> {
        let (group, known, lowered) = self.groups.get_mut(name)?;
        if !Arc::ptr_eq(known, endpoints) {
            *lowered = Arc::new(groups::with_endpoints(group, lowered, endpoints));
            *known = Arc::clone(endpoints);
        }
        Some(Arc::clone(lowered))
    }

    fn group(
        &self,
        group: &Arc<Group>,
        endpoints: &Arc<[SocketAddr]>,
        source: &dyn Fn(&str) -> Source,
    ) -> Arc<TargetGroup> {
        match self.groups.get(&group.name.text) {
            Some((before, at, lowered)) if Arc::ptr_eq(before, group) => {
                match Arc::ptr_eq(at, endpoints) {
                    true => Arc::clone(lowered),
                    false => Arc::new(groups::with_endpoints(group, lowered, endpoints)),
                }
            }
            _ => Arc::new(groups::target_group(group, endpoints, source)),
        }
    }
}

/// Whether the same comes of both.
fn same(one: &Socket, other: &Socket) -> bool {
    let tls = match (&one.tls, &other.tls) {
        (None, None) => true,
        (Some(one), Some(other)) => same_clients(one.clients.as_deref(), other.clients.as_deref()),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let mut pairs = one.listeners.iter().zip(&other.listeners);
    tls && one.listeners.len() == other.listeners.len()
        && pairs.all(|(one, other)| {
            let shown = |one: &super::compiled::ServedListener| {
                let all = one.certificates.iter();
                all.map(|one| Arc::as_ptr(&one.key)).collect::<Vec<_>>()
            };
            one.name == other.name
                && one.host == other.host
                && Arc::ptr_eq(&one.entries, &other.entries)
                && shown(one) == shown(other)
        })
}
