//! Every configuration that the pages show is valid: as it is, or, where it is a part, with the
//! least that makes it whole.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Authority;
use crate::harness::docs::{Block, blocks_of, repository};
use crate::harness::process::run;

/// Keys whose values name files, and what stands for these here.
const FILES: &[(&str, &str)] = &[
    ("certificateChain", "any.crt"),
    ("privateKey", "any.key"),
    ("caFile", "ca.crt"),
    ("tokenFile", "token"),
    ("usersFile", "users"),
    ("sessionTicketKeyFile", "keys"),
    ("stickinessKeyFile", "keys"),
    ("sealingKeyFile", "keys"),
];
/// 32 bytes, and also a token.
const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n";

fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("any", &["example.com"]);
    for name in ["token", "keys"] {
        std::fs::write(authority.file(name), KEY).unwrap();
    }
    std::fs::create_dir(authority.file("gateway.d")).unwrap();
    let users = authority.file("users");
    std::fs::write(&users, "name:password\n").unwrap();
    std::fs::set_permissions(users, Permissions::from_mode(0o600)).unwrap();
    authority
}

/// What stands in a file, made whole: HTTP rules have a forwarding rule, groups that are named are
/// there, and files and addresses are ours.
fn whole(block: &Block, authority: &Authority) -> Value {
    let parsed: Result<Value, _> = serde_yaml::from_str(&block.text);
    let shown = parsed.unwrap_or_else(|error| panic!("{}: {error}", block.place));
    let mut file = match shown {
        Value::Array(rules) => json!({"httpRules": rules}),
        file => file,
    };
    if file["forwardingRules"].is_null() {
        let rules = file["httpRules"].take();
        file.as_object_mut().unwrap().remove("httpRules");
        file["forwardingRules"] = json!([{"name": "any", "protocol": "HTTP",
            "listenerIp": "127.0.0.1", "listenerPort": 8080, "httpRules": rules}]);
    }
    add_groups(&mut file);
    use_files(&mut file, authority);
    file
}

fn add_groups(file: &mut Value) {
    let mut named = Vec::new();
    names(&file["forwardingRules"], &mut named);
    if file["targetGroups"].is_null() {
        file["targetGroups"] = json!([]);
    }
    let groups = file["targetGroups"].as_array_mut().unwrap();
    for name in named {
        if !groups.iter().any(|group| group["name"] == *name) {
            groups.push(
                json!({"name": name, "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
                "targets": [{"ip": "10.0.0.1", "port": 80}]}),
            );
        }
    }
}

/// The names of the groups that rules lead to.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Object(map) => {
            found.extend(
                map.get("targetGroup")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            let several = map.get("targetGroups").and_then(Value::as_array);
            let several = several.into_iter().flatten();
            found.extend(several.filter_map(|group| group["name"].as_str().map(str::to_owned)));
            map.values().for_each(|value| names(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One that can be read.
const KUBECONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/edge/config/kubeconfig");

fn use_files(value: &mut Value, authority: &Authority) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| use_files(item, authority)),
        Value::Object(map) => {
            for (key, value) in map {
                match FILES.iter().find(|(name, _)| name == key) {
                    Some((_, file)) => *value = json!(authority.file(file)),
                    None if key == "kubeconfig" => *value = json!(KUBECONFIG),
                    None if key == "manifests" => *value = json!([authority.file("gateway.d")]),
                    None if key == "sourceAddresses" => *value = json!(["127.0.0.1"]),
                    None => use_files(value, authority),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What Culvert says against a file.
fn problems(file: &Value) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("culvert.yaml"), file.to_string()).unwrap();
    let output = run(&["-t", "--offline", "-c", "culvert.yaml"], folder.path());
    let said = String::from_utf8(output.stderr).unwrap();
    (!output.status.success()).then_some(said)
}

#[test]
fn every_configuration_in_the_pages_is_valid() {
    let authority = authority();
    let blocks = blocks_of("yaml");
    let wrong = blocks.iter().filter_map(|block| {
        let said = problems(&whole(block, &authority))?;
        Some(format!("{}: {said}", block.place))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_configuration_that_is_not_valid_would_be_noticed() {
    let block = |text: &str| Block {
        place: "here".to_owned(),
        info: "yaml".to_owned(),
        text: text.to_owned(),
    };
    let authority = authority();
    let rules = "- {name: a, type: FORWARD, targetGroup: chat}";
    assert_eq!(problems(&whole(&block(rules), &authority)), None);
    for wrong in [
        "- {name: a, type: FORWARD, targetgroup: chat}",
        "server: {threds: 1}",
    ] {
        assert!(
            problems(&whole(&block(wrong), &authority)).is_some(),
            "{wrong}"
        );
    }
}

#[test]
fn the_configuration_in_a_kubernetes_manifest_is_valid_and_found_by_its_container() {
    let blocks = blocks_of("yaml kubernetes");
    assert_eq!(blocks.len(), 1);
    let documents = serde_yaml::Deserializer::from_str(&blocks[0].text);
    let objects: Vec<Value> = documents
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let of_kind = |kind: &str| {
        objects
            .iter()
            .find(|object| object["kind"] == kind)
            .unwrap()
    };
    let file = of_kind("ConfigMap")["data"]["culvert.yaml"]
        .as_str()
        .unwrap();
    let mut file: Value = serde_yaml::from_str(file).unwrap();
    use_files(&mut file, &authority());
    assert_eq!(problems(&file), None);

    let pod = &of_kind("DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&json!(format!("{mount}/culvert.yaml"))));
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        of_kind("ConfigMap")["metadata"]["name"]
    );
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        let host = container[probe]["httpGet"]["host"].as_str().unwrap();
        let port = &container[probe]["httpGet"]["port"];
        assert_eq!(file["admin"]["listen"], format!("{host}:{port}"));
    }
    // What a drain takes, and the two seconds after it.
    let deadline = file["server"]["drain"]["deadline"].as_str().unwrap();
    let deadline: u64 = deadline.trim_end_matches('s').parse().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > deadline + 2);
}

#[test]
fn prometheus_accepts_the_configuration_that_is_shown_for_it() {
    let blocks = blocks_of("yaml prometheus");
    assert_eq!(blocks.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let there = |path: &str| folder.path().join(path);
    std::fs::create_dir(there("rules")).unwrap();
    std::fs::copy(
        repository("grafana/alerts.yaml"),
        there("rules/culvert.yaml"),
    )
    .unwrap();
    std::fs::write(there("prometheus.yml"), &blocks[0].text).unwrap();
    accepts(
        "promtool",
        &["check", "config", "prometheus.yml"],
        folder.path(),
    );
}

#[test]
fn haproxy_accepts_the_configuration_that_is_shown_for_it() {
    let blocks = blocks_of("haproxy");
    assert_eq!(blocks.len(), 1);
    let folder: TempDir = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("haproxy.cfg"), &blocks[0].text).unwrap();
    accepts("haproxy", &["-c", "-f", "haproxy.cfg"], folder.path());
}

fn accepts(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.expect("it is there: `make test` installs it");
    assert!(output.status.success(), "{output:?}");
}
