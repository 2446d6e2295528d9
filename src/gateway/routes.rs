//! What the rules of a route come to, and what is told of the route.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use uuid::Uuid;

use super::backends::{Backends, Resolved, To, User};
use super::certificates::Fault;
use super::compiled::{
    Action, Changes, Destination, Forward, GroupName, MirrorTo, RouteRule, Share, Sticky,
};
use super::objects::{Backend, Cors, EXCLUSIVE, Filter, HttpRoute, Mirror, Name, Rule, told};
use super::statuses::Condition;
use super::support::{incompatible, unsupported};
use crate::config::model::{SameSite, Stickiness, StickyCookie, StickyHeader};

/// What the rules of a route come to, for Gateways that show the same certificate.
#[derive(Debug)]
pub(super) struct Compiled {
    route: Arc<HttpRoute>,
    /// Where its references lead, in the order in which it has them.
    references: Vec<Vec<Resolved>>,
    /// The groups to which they lead, each once.
    groups: BTreeSet<Arc<GroupName>>,
    /// The Services to which it refers, whatever comes of it.
    services: BTreeSet<Name>,
    /// Its rules, but those that are dropped.
    pub(super) rules: Vec<Arc<RouteRule>>,
}

/// What routes have come to, kept as long as nothing of theirs changes.
#[derive(Debug, Default)]
pub(super) struct Known {
    before: HashMap<(Name, Option<Name>), Arc<Compiled>>,
    now: HashMap<(Name, Option<Name>), Arc<Compiled>>,
}

impl Known {
    /// What a route comes to for the Gateway of this user. Where all that routes refer to is as
    /// before, its references are not looked up again.
    pub(super) fn compile(
        &mut self,
        route: &Arc<HttpRoute>,
        user: User,
        backends: &Backends,
    ) -> Arc<Compiled> {
        let key = (
            route.meta.name.clone(),
            user.own.map(|_| user.gateway.clone()),
        );
        let known = self.now.get(&key).or_else(|| self.before.get(&key));
        let known = known.filter(|known| Arc::ptr_eq(&known.route, route));
        if let Some(known) = known
            && backends.reuse(&known.groups, &known.services, user)
        {
            let known = Arc::clone(known);
            self.now.insert(key, Arc::clone(&known));
            return known;
        }
        let references = references(route, user, backends);
        let known = self.now.get(&key).or_else(|| self.before.get(&key));
        let known = known
            .filter(|known| Arc::ptr_eq(&known.route, route) && known.references == references);
        let compiled = match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(Compiled::of(route, references)),
        };
        self.now.insert(key, Arc::clone(&compiled));
        compiled
    }

    /// Forgets what was not asked for since.
    pub(super) fn settle(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

fn references(route: &HttpRoute, user: User, backends: &Backends) -> Vec<Vec<Resolved>> {
    let namespace = &route.meta.name.namespace;
    let of_rule = |(index, rule): (usize, &Rule)| {
        let sticky = sticky(route, index);
        let own = rule.backends.iter();
        let own = own.map(|backend| {
            let (port, sticky) = (backend.port, sticky.as_ref());
            backends.resolve(namespace, &backend.to, To { port, sticky }, user)
        });
        let mirrors = all_mirrors(rule).map(|mirror| {
            let (port, sticky) = (mirror.port, None);
            backends.resolve(namespace, &mirror.to, To { port, sticky }, user)
        });
        own.chain(mirrors).collect()
    };
    route.rules.iter().enumerate().map(of_rule).collect()
}

/// What keeps clients of a rule at their endpoints. A cookie without a name has one that no other
/// rule has.
fn sticky(route: &HttpRoute, index: usize) -> Option<Sticky> {
    let rule = &route.rules[index];
    let session = rule.session.as_ref()?;
    let own = rule.name.as_ref().map(ToString::to_string);
    let own = own.unwrap_or_else(|| index.to_string());
    let text = format!("{}/{own}", route.meta.name);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
    let name = format!("culvert-{:08x}", id.as_fields().0);
    let name = session.name.clone().unwrap_or(name);
    let (duration, lifetime) = match session.is_permanent {
        true => (session.longest, None),
        false => (None, session.longest),
    };
    let by = match session.is_header {
        true => Stickiness::Header(StickyHeader {
            name: HeaderName::try_from(name).ok()?,
            lifetime,
        }),
        false => Stickiness::Cookie(StickyCookie {
            name,
            duration,
            lifetime,
            same_site: SameSite::Lax,
        }),
    };
    Some(Sticky {
        rule: text.into(),
        by,
    })
}

fn services(route: &HttpRoute) -> BTreeSet<Name> {
    let own = |rule: &Rule| {
        let backends = rule.backends.iter().map(|backend| backend.to.clone());
        let mirrors = all_mirrors(rule).map(|mirror| mirror.to.clone());
        backends.chain(mirrors).collect::<Vec<_>>()
    };
    let all = route.rules.iter().flat_map(own);
    let services = all.filter(|to| to.is_to("", "Service"));
    let names = services.map(|to| {
        let namespace = to.namespace.as_ref().unwrap_or(&route.meta.name.namespace);
        Name::new(namespace, &to.name)
    });
    names.collect()
}

impl Compiled {
    fn of(route: &Arc<HttpRoute>, references: Vec<Vec<Resolved>>) -> Self {
        let used = route.rules.iter().enumerate();
        let used = used.filter(|(_, rule)| fault(rule).is_none());
        let rules = used.map(|(index, rule)| {
            Arc::new(RouteRule {
                route: Arc::clone(route),
                index,
                action: action(rule, &references[index]),
            })
        });
        let groups = references.iter().flatten();
        let groups = groups.filter_map(|resolved| match resolved {
            Resolved::Group(group) => Some(Arc::clone(group)),
            Resolved::Nowhere(..) | Resolved::Unsafe => None,
        });
        Compiled {
            route: Arc::clone(route),
            rules: rules.collect(),
            groups: groups.collect(),
            services: services(route),
            references,
        }
    }

    /// `ResolvedRefs`: the first reference that leads nowhere is told.
    pub(super) fn resolved(&self) -> Condition {
        let faults = self.references.iter().flatten();
        let mut faults = faults.filter_map(|resolved| match resolved {
            Resolved::Nowhere(reason, message) => Some((*reason, message.clone())),
            Resolved::Group(_) | Resolved::Unsafe => None,
        });
        let extension = self.route.rules.iter().find_map(extension);
        match faults.next().or(extension) {
            Some((reason, message)) => Condition::fails("ResolvedRefs", reason, message),
            None => Condition::holds("ResolvedRefs", "ResolvedRefs", "All references are there"),
        }
    }
}

/// Why a rule is dropped.
fn fault(rule: &Rule) -> Option<Fault> {
    let is_exclusive = rule.flaws.iter().any(|flaw| flaw.message == EXCLUSIVE);
    if let Some(message) = incompatible(rule).filter(|_| rule.flaws.is_empty()) {
        return Some(("IncompatibleFilters", message));
    }
    let reason = match is_exclusive {
        true => "IncompatibleFilters",
        false => "UnsupportedValue",
    };
    let message = told(&rule.flaws).or_else(|| unsupported(rule));
    message.map(|message| (reason, message))
}

fn extension(rule: &Rule) -> Option<Fault> {
    let own = rule.backends.iter().flat_map(|backend| &backend.filters);
    let mut all = rule.filters.iter().chain(own);
    all.find_map(|filter| match filter {
        Filter::Extension(to) => {
            let message = format!("filter {}/{} {} is not known", to.group, to.kind, to.name);
            Some(("InvalidKind", message))
        }
        _ => None,
    })
}

/// Whether a route is accepted, as far as that is a question of its own; and whether a part of it
/// is left out.
#[derive(Debug)]
pub(super) struct Validity {
    /// Why it is not accepted at all.
    pub(super) fault: Option<Fault>,
    /// Which rules are dropped.
    pub(super) partial: Option<Condition>,
}

impl Validity {
    pub(super) fn of(route: &HttpRoute) -> Self {
        let mut validity = Validity {
            fault: route.meta.fault().map(|fault| ("UnsupportedValue", fault)),
            partial: None,
        };
        let faults: Vec<_> = route.rules.iter().map(fault).collect();
        let dropped: Vec<_> = faults
            .iter()
            .enumerate()
            .filter_map(|(place, fault)| Some((place, fault.clone()?)))
            .collect();
        let Some((place, (reason, message))) = dropped.first() else {
            return validity;
        };
        if dropped.len() == route.rules.len() {
            validity.fault = validity.fault.or(Some((*reason, message.clone())));
            return validity;
        }
        let more = match dropped.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let message = format!("Dropped Rule {place}: {message}{more}");
        validity.partial = Some(Condition::holds(
            "PartiallyInvalid",
            "UnsupportedValue",
            message,
        ));
        validity
    }
}

/// What is done with a request that meets a rule without flaws.
fn action(rule: &Rule, references: &[Resolved]) -> Action {
    let has_unknown = rule
        .filters
        .iter()
        .any(|filter| matches!(filter, Filter::Extension(_) | Filter::Unknown));
    if has_unknown {
        return Action::Fail(500);
    }
    let mut redirects = rule.filters.iter().filter_map(|filter| match filter {
        Filter::Redirect(redirect) => Some(redirect.clone()),
        _ => None,
    });
    if let Some(redirect) = redirects.next() {
        return Action::Redirect(redirect, cors(&rule.filters));
    }
    let (own, mut rest) = references.split_at(rule.backends.len());
    let own_mirrors = mirrors(&rule.filters, &mut rest);
    let pairs = rule.backends.iter().zip(own);
    let shares = pairs.map(|(backend, resolved)| share(backend, resolved, &mut rest));
    let shares: Vec<_> = shares.filter(|share| share.weight > 0).collect();
    if shares.is_empty() {
        return Action::Fail(500);
    }
    Action::Forward(Box::new(Forward {
        shares,
        changes: changes(&rule.filters),
        mirrors: own_mirrors,
        cors: cors(&rule.filters),
        request_timeout: some(rule.request_timeout),
        backend_timeout: some(rule.backend_timeout),
        retry: rule.retry.clone(),
    }))
}

/// Zero is none.
fn some(timeout: Option<Duration>) -> Option<Duration> {
    timeout.filter(|timeout| !timeout.is_zero())
}

/// `mirrors` begins with where the copies of this share go, which is taken away.
fn share(backend: &Backend, resolved: &Resolved, mirrors: &mut &[Resolved]) -> Share {
    let is_known = |filter: &Filter| !matches!(filter, Filter::Extension(_) | Filter::Unknown);
    let redirect = backend.filters.iter().find_map(|filter| match filter {
        Filter::Redirect(redirect) => Some(redirect),
        _ => None,
    });
    let to = match (resolved, redirect) {
        _ if !backend.filters.iter().all(is_known) => Destination::Status(500),
        (Resolved::Nowhere(..) | Resolved::Unsafe, _) => Destination::Status(500),
        (Resolved::Group(_), Some(redirect)) => Destination::Redirect(redirect.clone()),
        (Resolved::Group(group), None) => Destination::Group(Arc::clone(group)),
    };
    Share {
        weight: backend.weight,
        to,
        changes: changes(&backend.filters),
        cors: cors(&backend.filters),
        mirrors: self::mirrors(&backend.filters, mirrors),
    }
}

fn cors(filters: &[Filter]) -> Option<Cors> {
    filters.iter().find_map(|filter| match filter {
        Filter::Cors(cors) => Some(cors.clone()),
        _ => None,
    })
}

fn changes(filters: &[Filter]) -> Changes {
    let mut changes = Changes::default();
    for filter in filters {
        match filter {
            Filter::Request(request) => changes.request = request.clone(),
            Filter::Response(response) => changes.response = response.clone(),
            Filter::Rewrite(rewrite) => changes.rewrite = rewrite.clone(),
            Filter::Redirect(_)
            | Filter::Mirror(_)
            | Filter::Cors(_)
            | Filter::Extension(_)
            | Filter::Unknown => {}
        }
    }
    changes
}

/// Those among these filters, which is where `references` begins to lead; the rest is left there.
fn mirrors(filters: &[Filter], references: &mut &[Resolved]) -> Vec<MirrorTo> {
    let all: Vec<_> = mirrors_of(filters).collect();
    let (own, rest) = references.split_at(all.len().min(references.len()));
    *references = rest;
    let pairs = all.into_iter().zip(own);
    let found = pairs.filter_map(|(mirror, resolved)| match resolved {
        Resolved::Group(group) => Some(MirrorTo {
            group: Arc::clone(group),
            share: mirror.share,
        }),
        Resolved::Nowhere(..) | Resolved::Unsafe => None,
    });
    found.collect()
}

fn mirrors_of(filters: &[Filter]) -> impl Iterator<Item = &Mirror> {
    filters.iter().filter_map(|filter| match filter {
        Filter::Mirror(mirror) => Some(mirror),
        _ => None,
    })
}

/// Those of a rule, and then those of its backends.
fn all_mirrors(rule: &Rule) -> impl Iterator<Item = &Mirror> {
    let own = rule.backends.iter();
    let own = own.flat_map(|backend| mirrors_of(&backend.filters));
    mirrors_of(&rule.filters).chain(own)
}
