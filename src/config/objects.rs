//! Target groups and forwarding rules that come one by one, from another source than the file: each
//! is read as the file's are, and they are put beside those.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;
use serde_json::Value;

use super::fault::{Fault, Object};
use super::model::{
    Action, Certificate, Config, ForwardingRule, ListenAddress, Origin, Source, TargetGroup,
};
use super::problem::Problem;
use super::read;
use super::read::addresses::{Families, overlap};
use super::tree::{Findings, Node};
use super::words::quoted;

/// An object without problems.
#[derive(Debug)]
pub struct Read<T> {
    /// The object.
    pub object: T,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

/// Reads a target group, whose problems have their places below `place`.
pub fn target_group(
    value: &Value,
    place: &str,
    source: Source,
    certificates: &[Certificate],
) -> Result<Read<TargetGroup>, Vec<Problem>> {
    let mut read = read_at(value, place, |node| read::target_group(node, certificates))?;
    read.object.source = source;
    Ok(read)
}

/// Reads a forwarding rule, which may name these target groups and certificates.
pub fn forwarding_rule(
    value: &Value,
    place: &str,
    source: Source,
    target_groups: &HashSet<&str>,
    certificates: &HashSet<&str>,
) -> Result<Read<ForwardingRule>, Vec<Problem>> {
    let mut read = read_at(value, place, |node| {
        read::forwarding_rule(node, target_groups, certificates)
    })?;
    read.object.source = source;
    Ok(read)
}

fn read_at<T>(
    value: &Value,
    place: &str,
    read: impl FnOnce(Node) -> Option<T>,
) -> Result<Read<T>, Vec<Problem>> {
    let findings = Findings::default();
    let object = read(Node::at(value, place, &findings));
    let (problems, warnings) = findings.into_parts();
    match object {
        Some(object) if problems.is_empty() => Ok(Read { object, warnings }),
        _ => Err(problems),
    }
}

/// Objects that are not the file's, of one origin.
#[derive(Debug, Clone, Default)]
pub struct Others {
    /// Target groups.
    pub target_groups: Vec<Arc<TargetGroup>>,
    /// Forwarding rules.
    pub forwarding_rules: Vec<Arc<ForwardingRule>>,
    /// Certificates.
    pub certificates: Vec<Certificate>,
}

impl Others {
    /// What a configuration has that is not the file's.
    fn of(config: &Config) -> Self {
        fn others<T: Clone>(all: &[T], source: impl Fn(&T) -> &Source) -> Vec<T> {
            let others = all.iter().filter(|one| *source(one) != Source::File);
            others.cloned().collect()
        }
        Others {
            target_groups: others(&config.target_groups, |one| &one.source),
            forwarding_rules: others(&config.forwarding_rules, |one| &one.source),
            certificates: others(&config.certificates, |one| &one.source),
        }
    }

    /// Adds them to a configuration, in the order of the origins.
    fn add_to(self, config: &mut Config) {
        config.target_groups.extend(self.target_groups);
        config.target_groups.sort_by_key(|one| one.source.origin());
        config.forwarding_rules.extend(self.forwarding_rules);
        config
            .forwarding_rules
            .sort_by_key(|one| one.source.origin());
        config.certificates.extend(self.certificates);
        config.certificates.sort_by_key(|one| one.source.origin());
    }
}

/// A configuration with these objects in the place of all that it has of their origin, whether or
/// not they go together.
pub fn with(config: &Config, origin: Origin, others: Others) -> Config {
    let mut config = config.clone();
    let stays = |source: &Source| source.origin() != origin;
    config.target_groups.retain(|one| stays(&one.source));
    config.forwarding_rules.retain(|one| stays(&one.source));
    config.certificates.retain(|one| stays(&one.source));
    others.add_to(&mut config);
    config
}

/// What a file says, with all that another configuration has beside its own file, whether or not
/// they go together.
pub fn with_others_of(before: &Config, mut file: Config) -> Config {
    Others::of(before).add_to(&mut file);
    file
}

/// Errors: what does not go together in a configuration, each with both places.
pub fn check(config: &Config) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    check_names(config, &mut faults);
    check_listeners(config, &mut faults);
    check_references(config, &mut faults);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

/// Errors: to what is not there these target groups of a configuration refer, where the rest of it
/// has been checked.
pub fn check_groups(config: &Config, groups: &[Arc<TargetGroup>]) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    check_shown(config, groups, &mut faults);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

fn check_names(config: &Config, faults: &mut Vec<Fault>) {
    let groups = config.target_groups.iter();
    let groups = groups.map(|group| (&group.name, &group.source));
    let group = |name: &str| Object::TargetGroup(name.to_owned());
    check_unique(groups, "target group", group, faults);
    let rules = config.forwarding_rules.iter();
    let rules = rules.map(|rule| (&rule.name, &rule.source));
    let rule = |name: &str| Object::ForwardingRule(name.to_owned());
    check_unique(rules, "forwarding rule", rule, faults);
    let certificates = config.certificates.iter();
    let certificates = certificates.map(|one| (&one.name, &one.source));
    let certificate = |_: &str| Object::Setting("certificates");
    check_unique(certificates, "certificate", certificate, faults);
}

fn check_unique<'a>(
    all: impl Iterator<Item = (&'a String, &'a Source)>,
    what: &str,
    object: impl Fn(&str) -> Object,
    faults: &mut Vec<Fault>,
) {
    let mut seen = HashSet::new();
    for (name, source) in all {
        if !seen.insert(name) {
            let message = match source {
                Source::File => format!("another {what} has this name"),
                _ => format!("another {what} has this name: {source}"),
            };
            faults.push(Fault::new(object(name), message));
        }
    }
}

fn check_listeners(config: &Config, faults: &mut Vec<Fault>) {
    let mut taken: HashMap<u16, Vec<(SocketAddr, Families, String)>> = HashMap::new();
    let tcp = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    };
    let api = config.api.as_ref().and_then(|api| tcp(&api.listen));
    for (address, name) in [
        (tcp(&config.admin.listen), "admin.listen"),
        (api, "api.listen"),
    ] {
        if let Some(address) = address {
            let entry = (address, Families::Own, name.to_owned());
            taken.entry(address.port()).or_default().push(entry);
        }
    }
    for rule in &config.forwarding_rules {
        let this = (rule.listen, Families::of(rule.listen, rule.v6_only));
        let others = taken.entry(rule.listen.port()).or_default();
        let object = Object::ForwardingRule(rule.name.clone());
        let mut found = others.iter().filter(|(other, families, _)| {
            rule.source != Source::File && overlap(this, (*other, *families))
        });
        if let Some((other, _, owner)) = found.next() {
            let message = match *other == rule.listen {
                true => format!("{other} is already used by {owner}"),
                false => format!("{} overlaps with {other}, used by {owner}", rule.listen),
            };
            faults.push(Fault::new(object, message).of_key("listenerPort"));
            continue;
        }
        let place = object.place(config).unwrap_or_default();
        others.push((this.0, this.1, place));
    }
}

fn check_references(config: &Config, faults: &mut Vec<Fault>) {
    let groups: HashSet<&str> = config
        .target_groups
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let certificates: HashSet<&str> = config
        .certificates
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    check_shown(config, &config.target_groups, faults);
    let of_api = config
        .forwarding_rules
        .iter()
        .filter(|rule| rule.source != Source::File);
    for rule in of_api {
        let mut missing = |what: &str, name: &str| {
            let object = Object::ForwardingRule(rule.name.clone());
            faults.push(Fault::new(
                object,
                format!("no {what} named {}", quoted(name)),
            ));
        };
        for name in named_groups(rule).filter(|name| !groups.contains(name)) {
            missing("target group", name);
        }
        let named = rule.tls.iter().flat_map(|tls| &tls.certificates);
        for name in named.filter(|name| !certificates.contains(name.as_str())) {
            missing("certificate", name);
        }
    }
}

/// What is shown to the targets of these groups must be there.
fn check_shown(config: &Config, groups: &[Arc<TargetGroup>], faults: &mut Vec<Fault>) {
    for group in groups {
        let shown = group.tls.as_ref();
        let Some(shown) = shown.and_then(|tls| tls.client_certificate.as_ref()) else {
            continue;
        };
        if !config.certificates.iter().any(|one| one.name == shown.name) {
            let message = format!("no certificate named {}", quoted(&shown.name));
            let object = Object::TargetGroup(group.name.clone());
            faults.push(Fault::new(object, message).of_key("clientCertificate"));
        }
    }
}

/// Whether an HTTP rule may change a header: it tells neither where a message ends nor of one
/// connection, a host or a handshake.
pub(crate) fn may_be_changed(name: &HeaderName) -> bool {
    read::why_not(name.as_str()).is_none()
}

/// How WebSockets are forwarded to a target group.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WebSocketUse {
    /// The names of the HTTP rules that do it.
    pub rules: Vec<String>,
    /// Whether nothing else is forwarded there.
    pub is_only: bool,
}

/// How these rules forward WebSockets, by the target group to which they do.
pub fn web_socket_uses<'a>(
    rules: impl Iterator<Item = &'a Arc<ForwardingRule>>,
) -> HashMap<&'a str, WebSocketUse> {
    let mut uses: HashMap<&str, WebSocketUse> = HashMap::new();
    for http_rule in rules.flat_map(|rule| &rule.http_rules) {
        let Action::Forward(forward) = &http_rule.action else {
            continue;
        };
        let is_for_them = read::is_for_websockets(http_rule);
        for group in &forward.target_groups {
            let first = || WebSocketUse {
                rules: Vec::new(),
                is_only: true,
            };
            let used = uses.entry(&group.name).or_insert_with(first);
            used.is_only &= is_for_them;
            used.rules
                .extend(is_for_them.then(|| http_rule.name.clone()));
        }
    }
    uses.retain(|_, used| !used.rules.is_empty());
    uses
}

fn named_groups(rule: &ForwardingRule) -> impl Iterator<Item = &str> {
    let forwards = rule
        .http_rules
        .iter()
        .filter_map(|rule| match &rule.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Static { .. } => None,
        });
    forwards.flat_map(|forward| forward.all_groups())
}

#[cfg(test)]
/// The keys that such an object may have, or one in it.
pub(crate) fn keys(object: &str) -> &'static [&'static str] {
    read::keys(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "
api: {listen: 127.0.0.1:9901, store: {type: FILE, path: /var/lib/culvert}}
forwardingRules:
- {name: edge, protocol: HTTP, listenerIp: 0.0.0.0, listenerPort: 80, httpRules: []}
targetGroups:
- {name: chat, algorithm: RANDOM, protocol: HTTP}";

    fn rule(name: &str, port: u16, group: &str) -> Arc<ForwardingRule> {
        let value = json!({
            "name": name, "protocol": "HTTP", "listenerIp": "127.0.0.1", "listenerPort": port,
            "httpRules": [{"name": "all", "type": "FORWARD", "targetGroup": group}],
        });
        let source = Source::Api(format!("/forwardingrules/{name}").into());
        let groups = HashSet::from([group]);
        let read = forwarding_rule(&value, "properties", source, &groups, &HashSet::new());
        Arc::new(read.unwrap().object)
    }

    #[test]
    fn what_does_not_go_together_is_told_with_both_places() {
        let file = crate::config::parse("edge.yaml", FILE).unwrap().config;
        let told = |rule: Arc<ForwardingRule>| {
            let others = Others {
                forwarding_rules: vec![rule],
                ..Others::default()
            };
            let config = with(&file, Origin::Api, others);
            match check(&config) {
                Ok(()) => format!("{} rules", config.forwarding_rules.len()),
                Err(faults) => {
                    let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>();
                    faults.join("; ")
                }
            }
        };
        assert_eq!(told(rule("a", 81, "chat")), "2 rules");
        assert_eq!(
            told(rule("a", 80, "chat")),
            "forwarding rule a: 127.0.0.1:80 overlaps with 0.0.0.0:80, used by forwardingRules[0]"
        );
        assert_eq!(
            told(rule("a", 9901, "chat")),
            "forwarding rule a: 127.0.0.1:9901 is already used by api.listen"
        );
        assert_eq!(
            told(rule("edge", 81, "chat")),
            "forwarding rule edge: another forwarding rule has this name: \
             api /forwardingrules/edge"
        );
        assert_eq!(
            told(rule("a", 81, "game")),
            "forwarding rule a: no target group named \"game\""
        );
    }

    #[test]
    fn nobody_waits_for_what_comes_out_of_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mut mkfifo = std::process::Command::new("mkfifo");
        assert!(mkfifo.arg(&pipe).status().unwrap().success());
        let value = json!({
            "name": "chat", "algorithm": "RANDOM", "protocol": "HTTPS", "caFile": pipe,
        });
        let problems = target_group(&value, "properties", Source::File, &[]).unwrap_err();
        assert_eq!(problems[0].to_string(), "properties.caFile: is a pipe");
    }

    #[test]
    fn problems_of_an_object_have_their_places_in_it() {
        let value = json!({
            "name": "chat", "algorithm": "RANDOM", "protocol": "HTTP",
            "targets": [{"ip": "192.0.2.1", "port": 0}],
        });
        let problems = target_group(&value, "properties", Source::File, &[]).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "properties.targets[0].port: must be an integer from 1 to 65535, not 0"
        );
    }
}
