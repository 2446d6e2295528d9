//! What the configuration file has, as the API shows it: its target groups and forwarding rules,
//! the datacenters that it lists, and what is there for clients that ask: locations, a contract.
//!
//! Whatever has a name in the file has an id that is made of that name, the same at every start.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kind::Kind;
use super::object::Object;
use super::path::ResourcePath;
use super::properties;
use crate::config::model::{Api, Datacenter};

/// Who is said to have made them.
const BY: &str = "configuration file";
/// What the balancer of the file's forwarding rules is called, and the datacenter that it is in
/// where the file lists none.
const NAME: &str = "file";
/// IONOS' regions.
const LOCATIONS: [&str; 10] = [
    "de/fra", "de/fra/2", "de/txl", "es/vit", "fr/par", "gb/bhx", "gb/lhr", "us/ewr", "us/las",
    "us/mci",
];

/// What the API shows of a file, by its paths.
pub(super) type FileObjects = Vec<(ResourcePath, Arc<Object>)>;

/// What a file with this `api` has.
pub(super) fn objects(api: &Api) -> FileObjects {
    let mut found = Found::default();
    for location in LOCATIONS {
        let path = ResourcePath::of(Kind::Location, None, location);
        found.add(path, &json!({"name": location, "features": []}));
    }
    let contract = json!({
        "contractNumber": 1, "owner": "culvert", "status": "BILLABLE", "regDomain": "localhost",
    });
    found.add(ResourcePath::of(Kind::Contract, None, "1"), &contract);
    for datacenter in &api.datacenters {
        found.datacenter(datacenter);
    }
    for group in &api.written.target_groups {
        if let Some(name) = name(group) {
            let path = ResourcePath::of(Kind::TargetGroup, None, &id(Kind::TargetGroup, name));
            found.add(path, &in_milliseconds(group));
        }
    }
    found.forwarding_rules(api);
    found.0
}

/// The id of what has this name in the file.
pub(super) fn id(kind: Kind, name: &str) -> String {
    let name = format!("{}/{name}", kind.segment());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

/// The id of the file's certificate of this name.
pub(super) fn certificate_id(name: &str) -> String {
    let name = format!("certificates/{name}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[derive(Default)]
struct Found(FileObjects);

impl Found {
    fn add(&mut self, path: ResourcePath, properties: &Value) {
        let given = properties.as_object().cloned().unwrap_or_default();
        let shown = match path.kind().is_written() {
            true => properties::filled(path.kind(), &given).unwrap_or(given),
            false => given,
        };
        let mut object = Object::new(shown, BY);
        object.is_of_file = true;
        self.0.push((path, Arc::new(object)));
    }

    fn datacenter(&mut self, datacenter: &Datacenter) {
        let id = datacenter.id.to_string();
        let path = ResourcePath::of(Kind::Datacenter, None, &id);
        let properties = json!({"name": datacenter.name, "location": datacenter.location});
        self.add(path.clone(), &properties);
        for lan in &datacenter.lans {
            let lan_path = ResourcePath::of(Kind::Lan, Some(&path), &lan.id.to_string());
            self.add(lan_path, &json!({"name": lan.name, "public": lan.public}));
        }
    }

    /// They are in one balancer, whose addresses are those that they listen on.
    fn forwarding_rules(&mut self, api: &Api) {
        let rules = &api.written.forwarding_rules;
        if rules.is_empty() {
            return;
        }
        let datacenter = match api.datacenters.first() {
            Some(datacenter) => datacenter.id.to_string(),
            None => id(Kind::Datacenter, NAME),
        };
        let datacenter = ResourcePath::of(Kind::Datacenter, None, &datacenter);
        if api.datacenters.is_empty() {
            self.add(
                datacenter.clone(),
                &json!({"name": NAME, "location": "de/txl"}),
            );
        }
        let mut ips: Vec<&Value> = rules
            .iter()
            .filter_map(|rule| rule.get("listenerIp"))
            .collect();
        ips.sort_unstable_by_key(|ip| ip.as_str());
        ips.dedup();
        let balancer = id(Kind::Balancer, NAME);
        let balancer = ResourcePath::of(Kind::Balancer, Some(&datacenter), &balancer);
        let properties = json!({"name": NAME, "listenerLan": 1, "targetLan": 2, "ips": ips});
        self.add(balancer.clone(), &properties);
        for rule in rules {
            if let Some(name) = name(rule) {
                let id = id(Kind::ForwardingRule, name);
                let path = ResourcePath::of(Kind::ForwardingRule, Some(&balancer), &id);
                self.add(path, &with_ids(in_milliseconds(rule)));
            }
        }
    }
}

fn name(object: &Value) -> Option<&str> {
    object.get("name")?.as_str()
}

/// The same, with the durations that the API knows as numbers.
fn in_milliseconds(object: &Value) -> Value {
    let mut object = object.clone();
    for pointer in [
        "/clientTimeout",
        "/healthCheck/checkTimeout",
        "/healthCheck/checkInterval",
    ] {
        let Some(duration) = object.pointer_mut(pointer) else {
            continue;
        };
        let found = duration
            .as_str()
            .and_then(|text| crate::config::duration(text).ok());
        let found = found.and_then(|found| i32::try_from(found.as_millis()).ok());
        if let Some(found) = found {
            *duration = found.into();
        }
    }
    object
}

/// The same, with ids in the place of names.
fn with_ids(mut rule: Value) -> Value {
    let certificates = rule
        .get_mut("serverCertificates")
        .and_then(Value::as_array_mut);
    for name in certificates.into_iter().flatten() {
        *name = name.as_str().map(certificate_id).into();
    }
    let http_rules = rule.get_mut("httpRules").and_then(Value::as_array_mut);
    for http_rule in http_rules
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        name_group(http_rule, "targetGroup");
        let shares = http_rule
            .get_mut("targetGroups")
            .and_then(Value::as_array_mut);
        for share in shares
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            name_group(share, "name");
        }
    }
    rule
}

fn name_group(object: &mut Map<String, Value>, key: &str) {
    if let Some(name) = object.get_mut(key)
        && let Some(text) = name.as_str()
    {
        *name = id(Kind::TargetGroup, text).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_the_file_has_is_shown_with_ids_and_defaults() {
        let text = "
api: {listen: 127.0.0.1:9901, store: {type: FILE, path: /x}}
forwardingRules:
- {name: edge, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: 80, clientTimeout: 1m,
   httpRules: [{name: all, type: FORWARD, targetGroup: chat}]}
targetGroups:
- {name: chat, algorithm: RANDOM, protocol: HTTP, healthCheck: {checkInterval: 5s}}";
        let config = parse("edge.yaml", text).unwrap().config;
        let found = objects(&config.api.unwrap());
        let of = |kind| {
            let mut all = found.iter().filter(move |(path, _)| path.kind() == kind);
            let (path, object) = all.next().unwrap();
            (path.clone(), Value::from(object.properties.clone()))
        };
        let (path, rule) = of(Kind::ForwardingRule);
        assert_eq!(rule["clientTimeout"], 60_000);
        let group = id(Kind::TargetGroup, "chat");
        assert_eq!(rule["httpRules"][0]["targetGroup"], group);
        let (balancer, properties) = of(Kind::Balancer);
        assert_eq!(path.parent(), Some(balancer.clone()));
        assert_eq!(properties["ips"], json!(["127.0.0.1"]));
        let (datacenter, properties) = of(Kind::Datacenter);
        assert_eq!(balancer.parent(), Some(datacenter));
        assert!(properties["cpuArchitecture"][0]["maxCores"].is_number());
        let (_, location) = of(Kind::Location);
        assert_eq!(location["name"], "de/fra");
        let (_, contract) = of(Kind::Contract);
        assert_eq!(contract["contractNumber"], 1);
        let (path, properties) = of(Kind::TargetGroup);
        assert_eq!(path.id(), group);
        let expected = json!({"checkInterval": 5000, "checkTimeout": 2000, "retries": 3});
        assert_eq!(properties["healthCheck"], expected);
        let (path, location) = of(Kind::Location);
        assert_eq!(location["name"], path.id());
        assert_eq!(of(Kind::Contract).1["contractNumber"], 1);
        assert!(found.iter().all(|(_, object)| object.is_of_file));
    }
}
