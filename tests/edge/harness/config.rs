//! The configuration of a test, which says only what it varies. It begins with one forwarding rule,
//! `edge`, that listens at `LISTEN_PORT`; each method changes the rule, or the group, that was added
//! last.
//!
//! What changes is given as keys and values in YAML, as inside of braces: `"h2c: true, tunnel:
//! {idleTimeout: 1s}"`. They are merged into what is there: of a mapping only the keys that are
//! given change, and `null` takes a key away. A misspelt key is refused by Culvert itself.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value, from_str, to_string};

use super::Authority;

/// Keys of a group whose targets are ejected, for long, at their first failure.
pub const ONE_IS_ENOUGH: &str = "outlierDetection: {consecutiveFailures: 1, baseEjectionTime: 1h, \
    maxEjectionTime: 1h, maxEjectedPercent: 100}";

/// A configuration, as a tree; it is displayed as YAML. Where it does not say what speaks TLS in
/// tunnels `CULVERT_TEST_TUNNEL_RECORDS` may.
#[derive(Clone)]
pub struct Config(Value);

impl Config {
    /// Neither rules nor groups.
    pub fn nothing() -> Config {
        Config(Value::Mapping(Mapping::new()))
    }

    /// A rule that has no HTTP rules yet, and no group.
    pub fn new() -> Config {
        Config(Value::Mapping(Mapping::new())).add_rule("edge")
    }

    /// A rule that forwards everything to these targets, the group `group`, with limits of 2 s and
    /// a `checkTimeout` of 1 s, checking health every 100 ms.
    pub fn forwarding_to(targets: &[SocketAddr]) -> Config {
        let limits = "connectTimeout: 2000, responseTimeout: 2000,
            healthCheck: {checkInterval: 100, checkTimeout: 1000, unhealthyThreshold: 2}";
        Config::to_group(limits, targets).rule("clientTimeout: 2000")
    }

    /// A rule that forwards everything to these targets, the group `group` with these keys.
    pub fn to_group(keys: &str, targets: &[SocketAddr]) -> Config {
        let config = Config::new()
            .http_rules("{name: all, type: FORWARD, targetGroup: group}")
            .add_group("group")
            .group(keys);
        let add = |config: Config, target: &SocketAddr| config.target(*target, "");
        targets.iter().fold(config, add)
    }

    /// A rule that answers everything with this text.
    pub fn answering(text: &str) -> Config {
        let rule =
            format!("{{name: all, type: STATIC, statusCode: 200, responseMessage: '{text}'}}");
        Config::new().http_rules(&rule)
    }

    /// Changes the top: `accessLog`, `admin`, `server`.
    #[track_caller]
    pub fn top(mut self, keys: &str) -> Config {
        merge(&mut self.0, mapping(keys));
        self
    }

    /// Changes `server`.
    #[track_caller]
    pub fn server(self, keys: &str) -> Config {
        self.top(&format!("server: {{{keys}}}"))
    }

    /// Has the admin address there; on 127.0.0.1, and a free port, where it is not said.
    pub fn admin(self, listen: impl Display) -> Config {
        self.top(&format!("admin: {{listen: '{listen}'}}"))
    }

    /// Offers the IONOS API there, which keeps what it is told in the process's folder, with these
    /// further keys; or in the etcd that `CULVERT_TEST_ETCD` names.
    #[track_caller]
    pub fn api(self, listen: impl Display, keys: &str) -> Config {
        let store = match std::env::var("CULVERT_TEST_ETCD") {
            Ok(url) => format!("type: ETCD, endpoints: ['{url}'], prefix: FOLDER/"),
            Err(_) => "type: FILE".to_owned(),
        };
        let store = format!("store: {{path: FOLDER, {store}}}");
        self.top(&format!("api: {{listen: '{listen}', {store}, {keys}}}"))
    }

    /// Lets the process be upgraded, with its files in its folder.
    pub fn upgradable(self) -> Config {
        self.server("pidFile: FOLDER/culvert.pid, upgradeSocket: FOLDER/upgrade.sock")
    }

    /// Adds the certificates that were issued under these names.
    pub fn certificates(mut self, authority: &Authority, names: &[&str]) -> Config {
        let entry = |name: &&str| {
            let [chain, key] = authority.files(name);
            let (chain, key) = (chain.display(), key.display());
            mapping(&format!(
                "name: {name}, certificateChain: {chain}, privateKey: {key}"
            ))
        };
        self.list("certificates").extend(names.iter().map(entry));
        self
    }

    /// Adds the certificates that were issued under these names, with which the rule speaks TLS.
    pub fn tls(self, authority: &Authority, names: &[&str]) -> Config {
        let keys = format!(
            "protocol: HTTPS, serverCertificates: [{}]",
            names.join(", ")
        );
        self.certificates(authority, names).rule(&keys)
    }

    /// Adds a forwarding rule of this name.
    pub fn add_rule(mut self, name: &str) -> Config {
        let rule = format!(
            "name: {name}, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: LISTEN_PORT, \
             httpRules: []"
        );
        self.list("forwardingRules").push(mapping(&rule));
        self
    }

    /// Changes the forwarding rule.
    #[track_caller]
    pub fn rule(mut self, keys: &str) -> Config {
        merge(last(self.list("forwardingRules")), mapping(keys));
        self
    }

    /// Has the forwarding rule listen there.
    pub fn listen(self, address: SocketAddr) -> Config {
        let (ip, port) = (address.ip(), address.port());
        self.rule(&format!("listenerIp: '{ip}', listenerPort: {port}"))
    }

    /// Adds these HTTP rules to the forwarding rule, before those it has: each in its braces, or
    /// after a dash.
    #[track_caller]
    pub fn http_rules(mut self, rules: &str) -> Config {
        let rules = match rules.trim_start().starts_with('-') {
            true => parsed(rules),
            false => parsed(&format!("[{rules}]")),
        };
        let Value::Sequence(rules) = rules else {
            panic!("no list: {rules:?}")
        };
        list(last(self.list("forwardingRules")), "httpRules").splice(..0, rules);
        self
    }

    /// Changes the last HTTP rule of the forwarding rule: the one that has everything.
    #[track_caller]
    pub fn http_rule(mut self, keys: &str) -> Config {
        let rules = list(last(self.list("forwardingRules")), "httpRules");
        merge(last(rules), mapping(keys));
        self
    }

    /// Adds a target group of this name.
    pub fn add_group(mut self, name: &str) -> Config {
        let group = format!("name: {name}, algorithm: ROUND_ROBIN, protocol: HTTP, targets: []");
        self.list("targetGroups").push(mapping(&group));
        self
    }

    /// Changes the target group.
    #[track_caller]
    pub fn group(mut self, keys: &str) -> Config {
        merge(last(self.list("targetGroups")), mapping(keys));
        self
    }

    /// Adds a target with these keys to the target group.
    #[track_caller]
    pub fn target(mut self, target: SocketAddr, keys: &str) -> Config {
        let mut entry = mapping(&format!("ip: '{}', port: {}", target.ip(), target.port()));
        merge(&mut entry, mapping(keys));
        list(last(self.list("targetGroups")), "targets").push(entry);
        self
    }

    /// Changes each target of the target group.
    #[track_caller]
    pub fn each_target(mut self, keys: &str) -> Config {
        for target in list(last(self.list("targetGroups")), "targets") {
            merge(target, mapping(keys));
        }
        self
    }

    /// Writes it to a folder, which `FOLDER` stands for, as `culvert.yaml`; returns where it is.
    pub fn write_to(&self, folder: &Path) -> PathBuf {
        let file = folder.join("culvert.yaml");
        let text = self.to_string().replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(&file, text).unwrap();
        file
    }

    fn list(&mut self, key: &str) -> &mut Vec<Value> {
        list(&mut self.0, key)
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tree = match std::env::var("CULVERT_TEST_TUNNEL_RECORDS") {
            Ok(word) => mapping(&format!("server: {{tunnelRecords: {word}}}")),
            Err(_) => Value::Mapping(Mapping::new()),
        };
        merge(&mut tree, self.0.clone());
        f.write_str(&to_string(&tree).expect("a tree is YAML"))
    }
}

#[track_caller]
fn mapping(keys: &str) -> Value {
    parsed(&format!("{{{keys}}}"))
}

#[track_caller]
fn parsed(text: &str) -> Value {
    from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}

/// The list of this key; an empty one is made where there is none.
fn list<'a>(of: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let of = of.as_mapping_mut().expect("what has lists is a mapping");
    let list = of
        .entry(key.into())
        .or_insert_with(|| Vec::<Value>::new().into());
    list.as_sequence_mut().expect("a list")
}

#[track_caller]
fn last(list: &mut [Value]) -> &mut Value {
    list.last_mut().expect("nothing was added yet")
}

/// A merge as of RFC 7396.
fn merge(into: &mut Value, change: Value) {
    let Value::Mapping(changes) = change else {
        *into = change;
        return;
    };
    if !into.is_mapping() {
        *into = Value::Mapping(Mapping::new());
    }
    let into = into.as_mapping_mut().expect("it is one now");
    for (key, change) in changes {
        match change {
            Value::Null => drop(into.remove(&key)),
            change => merge(into.entry(key).or_insert(Value::Null), change),
        }
    }
}
