//! Which listeners a route attaches to, and why not to others.

use std::collections::{BTreeMap, BTreeSet};

use super::certificates::Fault;
use super::listeners::{Plan, Planned};
use super::objects::{From, GROUP, Host, HttpRoute, Listener, Name, ParentRef};
use super::store::Store;

/// A listener: the Gateway's place among the plans, and its own in the Gateway.
pub(super) type ListenerId = (usize, usize);

/// The hosts of a route on a listener; `None` are all that the listener takes.
pub(super) type Hosts = Vec<Option<Host>>;

/// What becomes of one parentRef of a route.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) parent: ParentRef,
    /// The Gateway's place among the plans, where there is one.
    pub(super) gateway: Option<usize>,
    /// The listeners, or why there is none.
    pub(super) listeners: Result<Vec<(ListenerId, Hosts)>, Fault>,
}

/// The Gateways of ours, by name.
pub(super) struct Parents<'a> {
    pub(super) plans: &'a [Plan],
    pub(super) by_name: BTreeMap<&'a Name, usize>,
    pub(super) store: &'a Store,
    /// Whether what is in the store is all that there is, so that nobody else can be meant.
    pub(super) is_alone: bool,
}

impl<'a> Parents<'a> {
    pub(super) fn of(plans: &'a [Plan], store: &'a Store, is_alone: bool) -> Self {
        let names = plans.iter().enumerate();
        let names = names.map(|(place, plan)| (&plan.gateway.meta.name, place));
        Parents {
            plans,
            by_name: names.collect(),
            store,
            is_alone,
        }
    }

    /// What becomes of each parentRef of a route that is to a Gateway of ours.
    pub(super) fn attach(&self, route: &HttpRoute) -> Vec<Attached> {
        let mut seen: Vec<&ParentRef> = Vec::new();
        let mut attached = Vec::new();
        for parent in &route.parents {
            if seen.contains(&parent) || !parent.to.is_to(GROUP, "Gateway") {
                continue;
            }
            seen.push(parent);
            let namespace = &route.meta.name.namespace;
            let namespace = parent.to.namespace.as_ref().unwrap_or(namespace);
            let name = Name::new(namespace, &parent.to.name);
            let Some(gateway) = self.by_name.get(&name).copied() else {
                if self.is_alone && !self.store.gateways.contains_key(&name) {
                    let fault = ("NoMatchingParent", format!("there is no Gateway {name}"));
                    attached.push(Attached {
                        parent: parent.clone(),
                        gateway: None,
                        listeners: Err(fault),
                    });
                }
                continue;
            };
            attached.push(Attached {
                parent: parent.clone(),
                gateway: Some(gateway),
                listeners: self.listeners(route, parent, gateway),
            });
        }
        attached
    }

    fn listeners(
        &self,
        route: &HttpRoute,
        parent: &ParentRef,
        gateway: usize,
    ) -> Result<Vec<(ListenerId, Hosts)>, Fault> {
        let plan = &self.plans[gateway];
        let is_meant = |listener: &Listener| {
            let section = parent.to.section.as_ref();
            section.is_none_or(|name| *name == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
        };
        let meant: Vec<_> = plan
            .all()
            .enumerate()
            .filter(|(_, (listener, _))| is_meant(listener))
            .collect();
        if meant.is_empty() {
            let message = "the Gateway has no listener with this sectionName and port";
            return Err(("NoMatchingParent", message.to_owned()));
        }
        let accepted: Vec<_> = meant
            .into_iter()
            .filter(|(_, (_, planned))| plan.is_served() && planned.is_accepted())
            .collect();
        if accepted.is_empty() {
            let message = "no listener that is meant is accepted itself";
            return Err(("NoMatchingParent", message.to_owned()));
        }
        let allowing = accepted.into_iter().filter(|(_, (listener, planned))| {
            self.allows(listener, planned, &plan.gateway.meta.name, route)
        });
        let allowing: Vec<_> = allowing.collect();
        if allowing.is_empty() {
            let namespace = &route.meta.name.namespace;
            let message = format!("no listener allows HTTPRoutes of namespace {namespace}");
            return Err(("NotAllowedByListeners", message));
        }
        let found = allowing.into_iter().filter_map(|(place, (listener, _))| {
            let hosts = common_hosts(listener.host.as_ref(), &route.hosts)?;
            Some(((gateway, place), hosts))
        });
        let found: Vec<_> = found.collect();
        match found.is_empty() {
            false => Ok(found),
            true => Err((
                "NoMatchingListenerHostname",
                "no hostname is one that a listener takes".to_owned(),
            )),
        }
    }

    fn allows(
        &self,
        listener: &Listener,
        planned: &Planned,
        gateway: &Name,
        route: &HttpRoute,
    ) -> bool {
        let namespace = &route.meta.name.namespace;
        let is_from = match &listener.from {
            From::Same => *namespace == gateway.namespace,
            From::All => true,
            From::Nowhere => false,
            From::Selector(selector) => {
                let found = self.store.namespaces.get(&Name::new("", namespace));
                match found {
                    Some(found) => selector.is(&found.meta.labels),
                    // What every namespace of a cluster has, has one of files, too.
                    None => selector.is(&BTreeMap::from([(
                        "kubernetes.io/metadata.name".to_owned(),
                        namespace.to_string(),
                    )])),
                }
            }
        };
        is_from && planned.kinds.contains(&"HTTPRoute")
    }
}

/// What the hosts of a listener and of a route have in common; `None` where that is nothing.
fn common_hosts(listener: Option<&Host>, route: &[Host]) -> Option<Hosts> {
    if route.is_empty() {
        return Some(vec![listener.cloned()]);
    }
    let common = route.iter().filter_map(|host| match listener {
        None => Some(host.clone()),
        Some(listener) => listener.common(host),
    });
    let common: BTreeSet<Host> = common.collect();
    let all: Hosts = common.into_iter().map(Some).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_listener_and_route_are_narrowed_to_what_both_mean() {
        let told = |listener: &str, route: &[&str]| {
            let route: Vec<_> = route.iter().filter_map(|host| Host::parse(host)).collect();
            let hosts = common_hosts(Host::parse(listener).as_ref(), &route)?;
            let shown = hosts.iter().flatten().map(ToString::to_string);
            Some(shown.collect::<Vec<_>>().join(" "))
        };
        for (listener, route, expected) in [
            (
                "a.example.com",
                &["a.example.com", "b.example.com"][..],
                Some("a.example.com"),
            ),
            ("a.example.com", &["*.example.com"], Some("a.example.com")),
            ("*.example.com", &["a.example.com"], Some("a.example.com")),
            (
                "*.example.com",
                &["a.b.example.com"],
                Some("a.b.example.com"),
            ),
            (
                "*.example.com",
                &["*.b.example.com"],
                Some("*.b.example.com"),
            ),
            (
                "*.b.example.com",
                &["*.example.com"],
                Some("*.b.example.com"),
            ),
            ("*.example.com", &["example.com"], None),
            ("*.example.com", &["badexample.com"], None),
            ("a.example.com", &["b.example.com"], None),
            ("*.a.com", &["*.b.com"], None),
            ("*.example.com", &[], Some("*.example.com")),
        ] {
            assert_eq!(
                told(listener, route).as_deref(),
                expected,
                "{listener} {route:?}"
            );
        }
        assert_eq!(
            told("", &["a.example.com"]).as_deref(),
            Some("a.example.com")
        );
    }
}
