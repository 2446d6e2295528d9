//! What is told of each object: conditions, as `kubectl` would print them.
//!
//! A condition keeps its time as long as its status stays what it was: for this the statuses of
//! before are looked at, when new ones are finished.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::objects::{GROUP, Kind, Meta, Name, ParentRef, Place};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
}

impl Truth {
    /// `True`
    pub fn word(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
        }
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `type`
    pub kind: &'static str,
    /// `status`
    pub status: Truth,
    /// `reason`
    pub reason: &'static str,
    /// `message`
    pub message: String,
    /// `lastTransitionTime`: when `status` became what it is.
    pub since: SystemTime,
}

impl Condition {
    /// One that holds.
    pub fn holds(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition {
            kind,
            status: Truth::True,
            reason,
            message: message.into(),
            since: SystemTime::UNIX_EPOCH,
        }
    }

    /// One that does not.
    pub fn fails(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition {
            status: Truth::False,
            ..Condition::holds(kind, reason, message)
        }
    }
}

/// What is told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is written.
    pub place: Place,
    /// `observedGeneration`
    pub generation: i64,
    /// The rest.
    pub body: Body,
}

/// What belongs to a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Of a GatewayClass; and which features there are.
    Class(Vec<Condition>, &'static [&'static str]),
    /// Of a Gateway.
    Gateway {
        /// `addresses`
        addresses: Vec<Arc<str>>,
        /// `conditions`
        conditions: Vec<Condition>,
        /// `listeners`
        listeners: Vec<ListenerStatus>,
    },
    /// `parents` of a route: ours.
    Parents(Vec<(ParentRef, Vec<Condition>)>),
    /// `ancestors` of a policy: Gateways of ours, or what its `targetRefs` name.
    Ancestors(Vec<(ParentRef, Vec<Condition>)>),
    /// `conditions`
    Conditions(Vec<Condition>),
}

/// An entry of `listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// `name`
    pub name: Arc<str>,
    /// `supportedKinds`
    pub kinds: Vec<&'static str>,
    /// `attachedRoutes`
    pub attached: usize,
    /// `conditions`
    pub conditions: Vec<Condition>,
}

/// What is told of all objects of which anything is. What is told again is the same object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses(pub BTreeMap<(Kind, Name), Arc<Status>>);

impl Statuses {
    pub(super) fn tell(&mut self, kind: Kind, meta: &Meta, body: Body) {
        let status = Status {
            place: meta.place.clone(),
            generation: meta.generation,
            body,
        };
        self.0.insert((kind, meta.name.clone()), Arc::new(status));
    }

    /// What is told of an object.
    pub fn of(&self, kind: Kind, name: &Name) -> Option<&Status> {
        self.0.get(&(kind, name.clone())).map(Arc::as_ref)
    }

    /// Dates each condition: from before where its status has not changed, from now where it has.
    pub(super) fn date(&mut self, former: &Statuses, now: SystemTime) {
        for (key, status) in &mut self.0 {
            let former = former.0.get(key);
            for (part, conditions) in Arc::make_mut(status).body.parts_mut() {
                let before = former.and_then(|former| former.body.part(&part));
                for condition in conditions {
                    condition.since = since(condition, before, now);
                }
            }
            if let Some(former) = former.filter(|former| *former == status) {
                *status = Arc::clone(former);
            }
        }
    }

    /// All of them, in the order of kinds and names.
    pub fn to_json(&self, controller: &str) -> Vec<Value> {
        let all = self.0.iter();
        all.map(|((kind, name), status)| status.to_json(*kind, name, controller))
            .collect()
    }
}

fn since(condition: &Condition, before: Option<&Vec<Condition>>, now: SystemTime) -> SystemTime {
    let mut before = before.into_iter().flatten();
    let same = before.find(|one| one.kind == condition.kind && one.status == condition.status);
    same.map_or(now, |one| one.since)
}

/// Conditions, each with this name.
fn named(name: String, conditions: &[Condition]) -> Vec<(String, &Condition)> {
    let all = conditions.iter();
    all.map(|one| (name.clone(), one)).collect()
}

/// Which conditions of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Whole,
    Listener(Arc<str>),
    Parent(ParentRef),
    Ancestor(ParentRef),
}

impl Body {
    fn parts_mut(&mut self) -> Vec<(Part, &mut Vec<Condition>)> {
        match self {
            Body::Class(conditions, _) | Body::Conditions(conditions) => {
                vec![(Part::Whole, conditions)]
            }
            Body::Gateway {
                conditions,
                listeners,
                ..
            } => {
                let listeners = listeners.iter_mut();
                let listeners = listeners.map(|listener| {
                    let name = Part::Listener(Arc::clone(&listener.name));
                    (name, &mut listener.conditions)
                });
                let whole = [(Part::Whole, conditions)];
                whole.into_iter().chain(listeners).collect()
            }
            Body::Parents(parents) => {
                let parents = parents.iter_mut();
                parents
                    .map(|(to, conditions)| (Part::Parent(to.clone()), conditions))
                    .collect()
            }
            Body::Ancestors(ancestors) => {
                let ancestors = ancestors.iter_mut();
                ancestors
                    .map(|(to, conditions)| (Part::Ancestor(to.clone()), conditions))
                    .collect()
            }
        }
    }

    /// All conditions, with what of the object each is about, in words; nothing where it is all.
    pub(super) fn conditions(&self) -> Vec<(String, &Condition)> {
        match self {
            Body::Class(conditions, _) | Body::Conditions(conditions) => {
                named(String::new(), conditions)
            }
            Body::Gateway {
                conditions,
                listeners,
                ..
            } => {
                let mut all = named(String::new(), conditions);
                for listener in listeners {
                    let name = format!("listener {}", listener.name);
                    all.extend(named(name, &listener.conditions));
                }
                all
            }
            Body::Parents(parents) => {
                let parents = parents.iter();
                let all = parents
                    .flat_map(|(to, conditions)| named(format!("to {}", shown(to)), conditions));
                all.collect()
            }
            Body::Ancestors(ancestors) => {
                let ancestors = ancestors.iter();
                let all = ancestors
                    .flat_map(|(to, conditions)| named(format!("at {}", shown(to)), conditions));
                all.collect()
            }
        }
    }

    fn part(&self, part: &Part) -> Option<&Vec<Condition>> {
        match (self, part) {
            (Body::Class(conditions, _) | Body::Conditions(conditions), Part::Whole)
            | (Body::Gateway { conditions, .. }, Part::Whole) => Some(conditions),
            (Body::Gateway { listeners, .. }, Part::Listener(name)) => {
                let mut listeners = listeners.iter();
                let found = listeners.find(|listener| listener.name == *name);
                found.map(|listener| &listener.conditions)
            }
            (Body::Parents(parents), Part::Parent(to)) => {
                let mut parents = parents.iter();
                let found = parents.find(|(parent, _)| parent == to);
                found.map(|(_, conditions)| conditions)
            }
            (Body::Ancestors(ancestors), Part::Ancestor(to)) => {
                let mut ancestors = ancestors.iter();
                let found = ancestors.find(|(ancestor, _)| ancestor == to);
                found.map(|(_, conditions)| conditions)
            }
            _ => None,
        }
    }
}

impl Status {
    /// The object with its status, as `kubectl` would print it.
    pub fn to_json(&self, kind: Kind, name: &Name, controller: &str) -> Value {
        let version = match kind {
            Kind::HealthCheckPolicy => format!("{}/v1", kind.group()),
            Kind::TunnelPolicy | Kind::TargetPolicy => format!("{}/v1alpha1", kind.group()),
            _ => format!("{GROUP}/v1"),
        };
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(&*name.name));
        if kind.has_namespaces() {
            metadata.insert("namespace".to_owned(), json!(&*name.namespace));
        }
        metadata.insert("generation".to_owned(), json!(self.generation));
        json!({
            "apiVersion": version,
            "kind": kind.as_str(),
            "metadata": metadata,
            "status": self.status(controller),
        })
    }

    /// `status` alone.
    pub fn status(&self, controller: &str) -> Value {
        let conditions = |conditions: &[Condition]| self.conditions(conditions);
        match &self.body {
            Body::Class(all, features) => {
                let features = features.iter().map(|name| json!({"name": name}));
                json!({
                    "conditions": conditions(all),
                    "supportedFeatures": features.collect::<Vec<_>>(),
                })
            }
            Body::Gateway {
                addresses,
                conditions: all,
                listeners,
            } => {
                let addresses = addresses.iter();
                let addresses =
                    addresses.map(|value| json!({"type": "IPAddress", "value": &**value}));
                let listeners = listeners.iter().map(|listener| {
                    let kinds = listener.kinds.iter();
                    let kinds = kinds.map(|kind| json!({"group": GROUP, "kind": kind}));
                    json!({
                        "name": &*listener.name,
                        "supportedKinds": kinds.collect::<Vec<_>>(),
                        "attachedRoutes": listener.attached,
                        "conditions": conditions(&listener.conditions),
                    })
                });
                json!({
                    "addresses": addresses.collect::<Vec<_>>(),
                    "conditions": conditions(all),
                    "listeners": listeners.collect::<Vec<_>>(),
                })
            }
            Body::Parents(parents) => {
                let parents = parents.iter().map(|(to, all)| {
                    json!({
                        "parentRef": parent_ref(to),
                        "controllerName": controller,
                        "conditions": conditions(all),
                    })
                });
                json!({"parents": parents.collect::<Vec<_>>()})
            }
            Body::Ancestors(ancestors) => {
                let ancestors = ancestors.iter().map(|(to, all)| {
                    json!({
                        "ancestorRef": parent_ref(to),
                        "controllerName": controller,
                        "conditions": conditions(all),
                    })
                });
                json!({"ancestors": ancestors.collect::<Vec<_>>()})
            }
            Body::Conditions(all) => json!({"conditions": conditions(all)}),
        }
    }

    fn conditions(&self, conditions: &[Condition]) -> Vec<Value> {
        let one = |condition: &Condition| {
            let since = humantime::format_rfc3339_seconds(condition.since);
            json!({
                "type": condition.kind,
                "status": condition.status.word(),
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": self.generation,
                "lastTransitionTime": since.to_string(),
            })
        };
        conditions.iter().map(one).collect()
    }
}

/// `namespace/name section`
fn shown(parent: &ParentRef) -> String {
    let to = &parent.to;
    let name = match &to.namespace {
        Some(namespace) => format!("{namespace}/{}", to.name),
        None => to.name.to_string(),
    };
    match &to.section {
        Some(section) => format!("{name} {section}"),
        None => name,
    }
}

fn parent_ref(parent: &ParentRef) -> Value {
    let to = &parent.to;
    let mut fields = Map::new();
    fields.insert("group".to_owned(), json!(&*to.group));
    fields.insert("kind".to_owned(), json!(&*to.kind));
    if let Some(namespace) = &to.namespace {
        fields.insert("namespace".to_owned(), json!(&**namespace));
    }
    fields.insert("name".to_owned(), json!(&*to.name));
    if let Some(section) = &to.section {
        fields.insert("sectionName".to_owned(), json!(&**section));
    }
    if let Some(port) = parent.port {
        fields.insert("port".to_owned(), json!(port));
    }
    Value::Object(fields)
}
