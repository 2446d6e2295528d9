//! Our own policies, for what the specification has no word for: TunnelPolicy and TargetPolicy
//! (`culvert.dev`). Their keys are those of the configuration file, and are read as there.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::meta::Meta;
use super::words::Reference;
use crate::config::model::{Action, Forward, Source, TargetGroup};
use crate::config::objects;
use crate::config::problem::Problem;

/// The group of these policies.
pub(in super::super) const OWN_GROUP: &str = "culvert.dev";

/// A TunnelPolicy: what bounds the tunnels of a Gateway, or of a route.
#[derive(Debug)]
pub struct TunnelPolicy {
    /// What all objects have.
    pub meta: Meta,
    /// `targetRefs`: Gateways and HTTPRoutes of its namespace.
    pub targets: Vec<Reference>,
    /// The rest, as a `FORWARD` rule that says it and no more; `None` where it cannot be read.
    pub said: Option<Box<Forward>>,
}

/// A TargetPolicy: how the endpoints of a Service share what is new, and are checked.
#[derive(Debug)]
pub struct TargetPolicy {
    /// What all objects have.
    pub meta: Meta,
    /// `targetRefs`: Services of its namespace; `section` is the name of a port.
    pub targets: Vec<Reference>,
    /// The rest, as a target group that says it and no more; `None` where it cannot be read.
    pub said: Option<Box<TargetGroup>>,
    /// Whether it says how targets are checked.
    pub is_checked: bool,
}

/// The keys of a TunnelPolicy beside `targetRefs`.
pub(in super::super) const TUNNEL_KEYS: &[&str] = &[
    "tunnel",
    "allowedOrigins",
    "allowedSubprotocols",
    "checkAccept",
    "lenientHandshake",
];

/// The keys of a TargetPolicy beside `targetRefs`.
pub(in super::super) const TARGET_KEYS: &[&str] = &[
    "algorithm",
    "hashKey",
    "stickiness",
    "healthCheck",
    "httpHealthCheck",
    "connectTimeout",
    "responseTimeout",
    "deregistrationDelay",
    "rebalance",
    "slowStart",
    "failOpen",
    "onUnhealthy",
    "outlierDetection",
];

/// Where the rule of a TunnelPolicy stands while it is read.
const RULE: &str = "spec.httpRules[0]";

impl TunnelPolicy {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let mut rule = said(&spec, TUNNEL_KEYS);
        rule.extend([
            ("name".to_owned(), json!("x")),
            ("type".to_owned(), json!("FORWARD")),
            ("targetGroup".to_owned(), json!("x")),
        ]);
        let value = json!({
            "name": "x", "protocol": "HTTP", "listenerIp": "127.0.0.1", "listenerPort": 1,
            "httpRules": [rule],
        });
        let (groups, none) = (HashSet::from(["x"]), HashSet::new());
        let read = objects::forwarding_rule(&value, "spec", Source::default(), &groups, &none);
        let mut rules = match read {
            Ok(read) => read.object.http_rules,
            Err(problems) => {
                note(problems, top);
                Vec::new()
            }
        };
        let forward = rules.pop().and_then(|rule| match &rule.action {
            Action::Forward(forward) => Some(Box::new(forward.clone())),
            Action::Redirect(_) | Action::Static { .. } => None,
        });
        TunnelPolicy {
            meta,
            targets: targets(&spec),
            said: forward,
        }
    }
}

impl TargetPolicy {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let mut group = said(&spec, TARGET_KEYS);
        group.insert("name".to_owned(), json!("x"));
        group.insert("protocol".to_owned(), json!("HTTP"));
        let algorithm = group.entry("algorithm");
        algorithm.or_insert_with(|| json!("ROUND_ROBIN"));
        let value = Value::Object(group);
        let read = objects::target_group(&value, "spec", Source::default(), &[]);
        TargetPolicy {
            meta,
            targets: targets(&spec),
            said: match read {
                Ok(read) => Some(Box::new(read.object)),
                Err(problems) => {
                    note(problems, top);
                    None
                }
            },
            is_checked: spec.has("healthCheck") || spec.has("httpHealthCheck"),
        }
    }
}

fn targets(spec: &Fields) -> Vec<Reference> {
    let nodes = spec.list("targetRefs", 16);
    if nodes.is_empty() {
        let path = spec.path_of("targetRefs");
        spec.flaws.note(&path, "must have at least one entry");
    }
    let nodes = nodes.into_iter();
    let targets = nodes.filter_map(|node| Reference::read(&node.fields(), "", ""));
    targets.collect()
}

/// The fields of these names; others are noted.
fn said(spec: &Fields, known: &[&str]) -> Map<String, Value> {
    let mut fields = Map::new();
    for key in spec.keys().filter(|key| *key != "targetRefs") {
        match known.contains(&key) {
            true => fields.extend(spec.raw(key).map(|value| (key.to_owned(), value.clone()))),
            false => spec.flaws.note(&spec.path_of(key), "is not known"),
        }
    }
    fields
}

fn note(problems: Vec<Problem>, top: &Fields) {
    for problem in problems {
        let path = problem.path.replacen(RULE, "spec", 1);
        top.flaws.note(&path, problem.message);
    }
}
