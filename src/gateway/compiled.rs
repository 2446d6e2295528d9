//! What comes of the objects: routes for each address and port, in the order of the Gateway API,
//! and the groups that they lead to. It is not the configuration yet; `lower` makes that of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::notes::Note;
use super::objects::{
    Cors, HeaderChanges, HealthCheck, Host, HttpRoute, Match, Name, Redirect, Retry, Rewrite,
    TargetPolicy, TunnelPolicy,
};
use super::statuses::Statuses;
use crate::config::model::{Authorities, Certificate, ClientCertificates, Stickiness, SubjectName};

/// What comes of all objects.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Where is listened, in the order of the addresses.
    pub sockets: Vec<Socket>,
    /// The groups that rules lead to, by name.
    pub groups: BTreeMap<Arc<str>, Arc<Group>>,
    /// The endpoints of each group, by its name: apart, because they change more often.
    pub endpoints: BTreeMap<Arc<str>, Arc<[SocketAddr]>>,
    /// Which TunnelPolicy holds for what.
    pub tunnels: Tunnels,
    /// What is told of each object.
    pub statuses: Statuses,
    /// What is wrong and told by no condition.
    pub notes: Vec<Note>,
}

/// Which TunnelPolicy holds for which Gateway, and for which route.
#[derive(Debug, Clone, Default)]
pub struct Tunnels {
    /// By Gateway.
    pub gateways: BTreeMap<Name, Arc<TunnelPolicy>>,
    /// By HTTPRoute: they come before those of Gateways.
    pub routes: BTreeMap<Name, Arc<TunnelPolicy>>,
}

impl Tunnels {
    /// The policy for a route on a Gateway.
    pub fn find(&self, route: &Name, gateway: &Name) -> Option<&TunnelPolicy> {
        let of_route = self.routes.get(route);
        of_route
            .or_else(|| self.gateways.get(gateway))
            .map(Arc::as_ref)
    }

    /// Whether they are the same.
    pub(super) fn is(&self, other: &Tunnels) -> bool {
        let same = |one: &BTreeMap<Name, Arc<TunnelPolicy>>, other: &BTreeMap<_, _>| {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(one.1, other.1))
        };
        same(&self.gateways, &other.gateways) && same(&self.routes, &other.routes)
    }
}

/// An address and port.
#[derive(Debug, Clone)]
pub struct Socket {
    /// Where is listened.
    pub address: SocketAddr,
    /// What clients must show; `None` without TLS.
    pub tls: Option<SocketTls>,
    /// The listeners there, the most specific host first.
    pub listeners: Vec<ServedListener>,
}

/// TLS of a socket.
#[derive(Debug, Clone, Default)]
pub struct SocketTls {
    /// Who vouches for clients.
    pub clients: Option<Arc<ClientCertificates>>,
}

/// A listener of a Gateway.
#[derive(Debug, Clone)]
pub struct ServedListener {
    /// `namespace/gateway/listener`
    pub name: Arc<str>,
    /// Its Gateway.
    pub gateway: Name,
    /// The hosts that it takes; all where it names none.
    pub host: Option<Host>,
    /// What it shows to clients; the first is the default.
    pub certificates: Vec<Arc<Certificate>>,
    /// Its matches, the first that holds is taken.
    pub entries: Arc<[Entry]>,
}

/// One match of one rule, for one host.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The host; any of the listener where there is none.
    pub host: Option<Host>,
    /// The rule.
    pub rule: Arc<RouteRule>,
    /// Which of its matches.
    pub place: usize,
}

impl Entry {
    /// What a request must be.
    pub fn matched(&self) -> &Match {
        &self.rule.route.rules[self.rule.index].matches[self.place]
    }
}

/// A rule of a route, with what is done.
#[derive(Debug)]
pub struct RouteRule {
    /// The route.
    pub route: Arc<HttpRoute>,
    /// Which of its rules.
    pub index: usize,
    /// What is done.
    pub action: Action,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Action {
    /// It is sent elsewhere, which pages of other sites may be told.
    Redirect(Redirect, Option<Cors>),
    /// It is forwarded.
    Forward(Box<Forward>),
    /// It is answered with this status.
    Fail(u16),
}

/// To whom a request is forwarded, and how.
#[derive(Debug)]
pub struct Forward {
    /// At least one with a weight.
    pub shares: Vec<Share>,
    /// What is changed on the way, whichever share it is.
    pub changes: Changes,
    /// To whom copies go.
    pub mirrors: Vec<MirrorTo>,
    /// `CORS`
    pub cors: Option<Cors>,
    /// How long all of it may take; never zero.
    pub request_timeout: Option<Duration>,
    /// How long one try may take; never zero.
    pub backend_timeout: Option<Duration>,
    /// `retry`
    pub retry: Option<Retry>,
}

/// A share of the requests.
#[derive(Debug)]
pub struct Share {
    /// Its part of the sum of all.
    pub weight: u32,
    /// Where it goes.
    pub to: Destination,
    /// What is changed for this share, after what the rule changes.
    pub changes: Changes,
    /// What holds for this share in the place of the rule's `CORS`.
    pub cors: Option<Cors>,
    /// To whom copies of this share go, beside those of the rule.
    pub mirrors: Vec<MirrorTo>,
}

/// Where a share goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// To the endpoints of this group.
    Group(Arc<GroupName>),
    /// It is answered with this status: its backend cannot be resolved.
    Status(u16),
    /// It is sent elsewhere.
    Redirect(Redirect),
}

/// What is changed on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Of requests.
    pub request: HeaderChanges,
    /// Of answers.
    pub response: HeaderChanges,
    /// Host and path.
    pub rewrite: Rewrite,
}

/// To whom copies of requests go.
#[derive(Debug, Clone)]
pub struct MirrorTo {
    /// The group.
    pub group: Arc<GroupName>,
    /// How many of how many requests.
    pub share: (u32, u32),
}

/// What a group is called and made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName {
    /// `namespace/service:port`, of which Gateway, where that shows a certificate, and for which
    /// rule, where that keeps clients at their endpoints.
    pub text: Arc<str>,
    /// The Service.
    pub service: Name,
    /// Its port.
    pub port: u16,
    /// The Gateway whose certificate is shown.
    pub gateway: Option<Name>,
}

impl GroupName {
    /// That of this port of a Service.
    pub(super) fn of(
        service: &Name,
        port: u16,
        gateway: Option<&Name>,
        sticky: Option<&Sticky>,
    ) -> Self {
        let mut text = format!("{service}:{port}");
        if let Some(gateway) = gateway {
            text = format!("{text} of {gateway}");
        }
        if let Some(sticky) = sticky {
            text = format!("{text} for {}", sticky.rule);
        }
        GroupName {
            text: text.into(),
            service: service.clone(),
            port,
            gateway: gateway.cloned(),
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `sessionPersistence` of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The rule: `namespace/route/rule`.
    pub rule: Arc<str>,
    /// By what a client stays with its endpoint.
    pub by: Stickiness,
}

/// How the endpoints of a port of a Service are spoken to.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: Arc<GroupName>,
    /// What the port is called in the Service, and in its slices.
    pub port_name: Arc<str>,
    /// Whether they speak HTTP/2 without TLS.
    pub h2c: bool,
    /// TLS towards them.
    pub tls: Option<GroupTls>,
    /// How they are checked. Without it those that are ready are healthy.
    pub health: Option<HealthCheck>,
    /// How they share what is new.
    pub policy: Option<Arc<TargetPolicy>>,
    /// How a client stays with its endpoint.
    pub sticky: Option<Sticky>,
}

/// TLS towards endpoints.
#[derive(Debug, Clone)]
pub struct GroupTls {
    /// Who is asked for (SNI), and whom the certificate is for without `alternatives`.
    pub host: Arc<str>,
    /// Who vouches for them; the system's where there is none.
    pub authorities: Option<Authorities>,
    /// Whom the certificate must be for instead.
    pub alternatives: Vec<SubjectName>,
    /// What is shown to them.
    pub own: Option<Arc<Certificate>>,
}

impl Group {
    /// Whether the same is said of it.
    pub(super) fn is(&self, other: &Group) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let policy = |group: &Group| group.policy.as_ref().map(Arc::as_ptr);
        let plain = |group: &Group| (group.h2c, Arc::clone(&group.port_name), policy(group));
        self.name == other.name
            && plain(self) == plain(other)
            && self.health == other.health
            && self.sticky == other.sticky
            && same_tls
    }
}

impl GroupTls {
    fn is(&self, other: &GroupTls) -> bool {
        let authorities = |tls: &GroupTls| {
            let found = tls.authorities.as_ref();
            found.map(|found| found.certificates.clone())
        };
        let own = |tls: &GroupTls| tls.own.as_ref().map(Arc::as_ptr);
        self.host == other.host
            && self.alternatives == other.alternatives
            && authorities(self) == authorities(other)
            && own(self) == own(other)
    }
}
