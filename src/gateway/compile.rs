//! The compiler: from all objects to what serves and to what is told of them.
//!
//! It is a function of the objects and the settings; what it keeps from one time to the next only
//! spares work: what a route has come to as long as neither the route nor where its references lead
//! has changed, the order of a listener's matches, parsed Secrets, endpoints.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use super::addresses::assign;
use super::attach::{Attached, Hosts, ListenerId, Parents};
use super::backends::{Backends, User};
use super::compiled::{Compiled, Group, RouteRule, ServedListener, Socket, SocketTls};
use super::endpoints;
use super::grants::Grants;
use super::health::HealthPolicies;
use super::listeners::{Means, Plan, find_collisions, plan};
use super::notes;
use super::objects::{Gateway, Host, HttpRoute, Kind, Name};
use super::own_policies::{self, TargetPolicies};
use super::precedence;
use super::routes::{self, Validity};
use super::secrets::Secrets;
use super::statuses::{Body, Condition, Statuses};
use super::store::Store;
use super::tell;
use super::tls_policies::TlsPolicies;
use super::world::World;

/// What is decided outside of the objects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `gateway.controllerName`: whose classes are ours.
    pub controller: String,
    /// `gateway.addresses`: what is given out.
    pub addresses: Vec<IpAddr>,
    /// Whether the objects are all that there are, as those of files: a class that is not among
    /// them counts as ours, and a route to a Gateway that is not is told so.
    pub is_alone: bool,
    /// On which addresses this node cannot listen.
    pub unusable: BTreeSet<IpAddr>,
    /// Where something else of this node listens; an unspecified address is all of them.
    pub taken: BTreeSet<SocketAddr>,
    /// The version of the CRDs, in a cluster.
    pub bundle: Option<String>,
}

impl Settings {
    fn is_taken(&self, address: SocketAddr) -> bool {
        let is_it = |taken: &SocketAddr| {
            let ip = taken.ip();
            let all = ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4();
            taken.port() == address.port() && (all || ip == address.ip())
        };
        self.taken.iter().any(is_it)
    }
}

/// The compiler, with what it remembers.
#[derive(Debug, Default)]
pub struct Compiler {
    secrets: Secrets,
    routes: routes::Known,
    orders: precedence::Known,
    endpoints: endpoints::Known,
    world: World,
    groups: BTreeMap<Arc<str>, Arc<Group>>,
    /// The Gateways that were ours, with their classes.
    ours: BTreeMap<Name, Arc<str>>,
}

/// What attaches to a listener.
type Attachments = BTreeMap<ListenerId, Vec<(Arc<RouteRule>, Arc<Hosts>)>>;

impl Compiler {
    /// What comes of these objects. A condition keeps its time where its status is the former one.
    pub fn compile(
        &mut self,
        store: &Store,
        settings: &Settings,
        former: &Statuses,
        now: SystemTime,
    ) -> Compiled {
        let mut statuses = Statuses::default();
        let grants = Grants::of(store);
        let plans = self.plan(store, settings, &grants, &mut statuses);
        let tls = TlsPolicies::of(store, &grants);
        let health = HealthPolicies::of(store, &tls, &mut statuses);
        let targets = TargetPolicies::of(store, &mut statuses);
        let tunnels = own_policies::tunnels(store, &self.ours, &mut statuses);
        let is_same = self.world.renew(store);
        let before = self.groups.clone();
        let before = is_same.then_some(&before);
        let backends = Backends::new(store, &grants, &tls, &health, &targets, before);
        let parents = Parents::of(&plans, store, settings.is_alone);
        let mut attachments = Attachments::new();
        let mut counts: Vec<_> = plans
            .iter()
            .map(|plan| vec![0; plan.listeners.len()])
            .collect();
        for route in store.routes.values() {
            let attached = parents.attach(route);
            let accepted = self.route(route, attached, &plans, &backends, &mut statuses);
            for (listener, rules) in accepted {
                counts[listener.0][listener.1] += 1;
                attachments.entry(listener).or_default().extend(rules);
            }
        }
        for (plan, attached) in plans.iter().zip(&counts) {
            tell::gateway(plan, attached, &mut statuses);
        }
        let sockets = self.sockets(&plans, attachments);
        let (mut groups, users) = backends.into_parts();
        for (name, group) in &mut groups {
            let known = self.groups.get(name).filter(|known| known.is(group));
            *group = known.map_or_else(|| Arc::clone(group), Arc::clone);
        }
        tls.tell(&users, &mut statuses);
        statuses.date(former, now);
        let endpoints = self.settle(store, &groups);
        Compiled {
            sockets,
            groups,
            endpoints,
            tunnels,
            notes: notes::of(store, &statuses),
            statuses,
        }
    }

    /// The endpoints of the groups of a Service, when one of its slices has changed and nothing
    /// else.
    pub fn endpoints_of(
        &mut self,
        store: &Store,
        service: &Name,
    ) -> Vec<(Arc<str>, Arc<[SocketAddr]>)> {
        let begin = format!("{service}:");
        let from: Arc<str> = begin.as_str().into();
        let groups = self.groups.range(from..);
        let of_service = groups.take_while(|(name, _)| name.starts_with(&begin));
        let endpoints = &mut self.endpoints;
        let found = of_service.map(|(name, group)| {
            let addresses = endpoints.of(store, group);
            (Arc::clone(name), addresses)
        });
        found.collect()
    }

    fn plan(
        &mut self,
        store: &Store,
        settings: &Settings,
        grants: &Grants,
        statuses: &mut Statuses,
    ) -> Vec<Plan> {
        let gateways = self.gateways(store, settings, statuses);
        let mut assigned = assign(&gateways, &settings.addresses, &settings.unusable);
        let means = Means {
            store,
            grants,
            secrets: &self.secrets,
        };
        let plans = gateways.iter().map(|gateway| {
            let assigned = assigned.remove(&gateway.meta.name).unwrap_or_default();
            let mut plan = plan(gateway, assigned, &means);
            let class = store.classes.get(&Name::new("", &gateway.class));
            if class.is_some_and(|class| tell::class_fault(class).is_some()) {
                let message = format!("GatewayClass {} is not accepted", gateway.class);
                plan.fault = Some(("Pending", message));
            }
            plan
        });
        let mut plans: Vec<Plan> = plans.collect();
        find_collisions(&mut plans, &|address| settings.is_taken(address));
        plans
    }

    /// The Gateways of ours, the oldest first. One whose class has gone stays ours.
    fn gateways(
        &mut self,
        store: &Store,
        settings: &Settings,
        statuses: &mut Statuses,
    ) -> Vec<Arc<Gateway>> {
        let of_us = |controller: &str| controller == settings.controller;
        for class in store
            .classes
            .values()
            .filter(|class| of_us(&class.controller))
        {
            tell::class(class, settings.bundle.as_deref(), statuses);
        }
        let is_ours = |gateway: &Gateway| {
            let class = store.classes.get(&Name::new("", &gateway.class));
            match class {
                Some(class) => of_us(&class.controller),
                None if settings.is_alone => true,
                None => self.ours.get(&gateway.meta.name) == Some(&gateway.class),
            }
        };
        let all = store.gateways.values();
        let mut ours: Vec<_> = all.filter(|one| is_ours(one)).cloned().collect();
        ours.sort_by(|one, other| one.meta.age().cmp(&other.meta.age()));
        let names = ours.iter();
        let names = names.map(|one| (one.meta.name.clone(), Arc::clone(&one.class)));
        self.ours = names.collect();
        ours
    }

    /// Tells of a route; the rules that it brings to each listener.
    fn route(
        &mut self,
        route: &Arc<HttpRoute>,
        attached: Vec<Attached>,
        plans: &[Plan],
        backends: &Backends,
        statuses: &mut Statuses,
    ) -> Attachments {
        let mut rules = Attachments::new();
        if attached.is_empty() {
            return rules;
        }
        let validity = Validity::of(route);
        let mut parents = Vec::new();
        for one in attached {
            let compiled = one.gateway.map(|place| {
                let plan = &plans[place];
                let own = plan.own.as_ref().and_then(|own| own.as_ref().ok());
                let gateway = &plan.gateway.meta.name;
                self.routes.compile(route, User { gateway, own }, backends)
            });
            let listeners = match &validity.fault {
                Some(fault) => Err(fault.clone()),
                None => one.listeners,
            };
            let mut conditions = vec![match &listeners {
                Ok(_) => Condition::holds("Accepted", "Accepted", "Route is accepted"),
                Err((reason, message)) => Condition::fails("Accepted", reason, message),
            }];
            conditions.extend(compiled.as_ref().map(|compiled| compiled.resolved()));
            conditions.extend(validity.partial.clone());
            parents.push((one.parent, conditions));
            let (Ok(listeners), Some(compiled)) = (listeners, compiled) else {
                continue;
            };
            for (listener, hosts) in listeners {
                let hosts = Arc::new(hosts);
                let own = compiled.rules.iter();
                let own = own.map(|rule| (Arc::clone(rule), Arc::clone(&hosts)));
                rules.entry(listener).or_insert_with(|| own.collect());
            }
        }
        statuses.tell(Kind::HttpRoute, &route.meta, Body::Parents(parents));
        rules
    }

    /// What is listened on.
    fn sockets(&mut self, plans: &[Plan], mut attachments: Attachments) -> Vec<Socket> {
        let mut sockets: BTreeMap<SocketAddr, Socket> = BTreeMap::new();
        for (place, plan) in plans.iter().enumerate() {
            let is_usable = plan.is_served() && plan.assigned.unusable.is_none();
            for (number, (listener, planned)) in plan.all().enumerate() {
                if !is_usable || !planned.is_programmed(listener) {
                    continue;
                }
                let name = format!("{}/{}", plan.gateway.meta.name, listener.name).into();
                let rules = attachments.remove(&(place, number)).unwrap_or_default();
                let entries = self.orders.sort(&name, rules);
                for ip in &plan.assigned.addresses {
                    let address = SocketAddr::new(*ip, listener.port);
                    let clients = planned.clients.clone();
                    let is_tls = &*listener.protocol == "HTTPS";
                    let socket = sockets.entry(address).or_insert_with(|| Socket {
                        address,
                        tls: is_tls.then_some(SocketTls { clients }),
                        listeners: Vec::new(),
                    });
                    socket.listeners.push(ServedListener {
                        name: Arc::clone(&name),
                        gateway: plan.gateway.meta.name.clone(),
                        host: listener.host.clone(),
                        certificates: planned.certificates.clone(),
                        entries: Arc::clone(&entries),
                    });
                }
            }
        }
        let mut sockets: Vec<_> = sockets.into_values().collect();
        for socket in &mut sockets {
            let listeners = &mut socket.listeners;
            listeners.sort_by_key(|one| Reverse(Host::rank(one.host.as_ref())));
        }
        sockets
    }

    fn settle(
        &mut self,
        store: &Store,
        groups: &BTreeMap<Arc<str>, Arc<Group>>,
    ) -> BTreeMap<Arc<str>, Arc<[SocketAddr]>> {
        self.secrets.settle();
        self.routes.settle();
        self.orders.settle();
        self.endpoints.keep(groups);
        self.groups.clone_from(groups);
        let known = &mut self.endpoints;
        let all = groups.iter();
        all.map(|(name, group)| (Arc::clone(name), known.of(store, group)))
            .collect()
    }
}
