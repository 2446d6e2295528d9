//! The configurations of tests say what they vary, and what is misspelt in one does not go unseen.

use std::panic::catch_unwind;

use serde_yaml::{Value, from_str};

use crate::harness::process::run;
use crate::harness::{Authority, Config};

fn read(config: &Config) -> Value {
    from_str(&config.to_string()).unwrap()
}

#[test]
fn keys_that_are_given_change_and_all_others_stay() {
    let target = "127.0.0.1:9".parse().unwrap();
    let changed = Config::forwarding_to(&[target])
        .rule("h2c: true, tunnel: {idleTimeout: 1s}")
        .rule("clientTimeout: 3000, tunnel: {closeTimeout: 2s}")
        .group("healthCheck: {checkInterval: null, retries: 0}, responseTimeout: 1s")
        .each_target("weight: 3");
    let tree = read(&changed);
    let rule = &tree["forwardingRules"][0];
    assert_eq!(
        rule["tunnel"],
        read_part("{idleTimeout: 1s, closeTimeout: 2s}")
    );
    assert_eq!(
        (&rule["h2c"], &rule["clientTimeout"]),
        (&true.into(), &3000.into())
    );
    let group = &tree["targetGroups"][0];
    let checks = "{checkTimeout: 1000, unhealthyThreshold: 2, retries: 0}";
    assert_eq!(group["healthCheck"], read_part(checks));
    assert_eq!(group["connectTimeout"], 2000);
    assert_eq!(
        group["targets"],
        read_part("[{ip: 127.0.0.1, port: 9, weight: 3}]")
    );
}

fn read_part(text: &str) -> Value {
    from_str(text).unwrap()
}

#[test]
fn what_was_added_last_is_what_changes() {
    let authority = Authority::new();
    authority.issue("one", &["a.example"]);
    let config = Config::answering("hello")
        .http_rules("{name: first, type: STATIC, responseMessage: ''}")
        .http_rule("statusCode: 204")
        .add_rule("second")
        .tls(&authority, &["one"])
        .add_group("a")
        .add_group("b")
        .group("failOpen: true");
    let tree = read(&config);
    let rules = &tree["forwardingRules"];
    assert_eq!(rules[0]["httpRules"][0]["name"], "first");
    assert_eq!(rules[0]["httpRules"][1]["statusCode"], 204);
    assert_eq!(
        (&rules[0]["protocol"], &rules[1]["protocol"]),
        (&"HTTP".into(), &"HTTPS".into())
    );
    assert_eq!(tree["targetGroups"][0].get("failOpen"), None);
    assert_eq!(tree["targetGroups"][1]["failOpen"], true);
}

#[test]
fn a_misspelt_key_is_refused_and_what_is_not_there_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let misspelt = Config::answering("hello").rule("listenerPort: 1, clientTimeut: 1s");
    misspelt.write_to(folder.path());
    let output = run(&["-t", "-c", "culvert.yaml"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("clientTimeut: unknown key"), "{said}");
    for wrong in [
        || Config::new().group("failOpen: true"),
        || Config::new().http_rule("type: STATIC"),
        || Config::new().rule("h2c: [true"),
        || Config::new().rule("h2c: true, h2c: false"),
    ] {
        assert!(catch_unwind(wrong).is_err());
    }
}
