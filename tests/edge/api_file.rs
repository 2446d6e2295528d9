//! The API's objects beside those of the file.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::admin;
use crate::harness::api::{Api, BASE, GROUPS};
use crate::harness::edge::free_addresses;
use crate::harness::process::run;
use crate::harness::{Config, Edge, Target};

/// The only object of a list, with its path below the API.
fn only(api: &Api, path: &str) -> (Value, String) {
    let list = api.get(&format!("{path}?depth=1"));
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list}");
    let href = items[0]["href"].as_str().unwrap();
    let path = &href[href.find(BASE).unwrap()..];
    (items[0].clone(), path.to_owned())
}

#[tokio::test]
async fn what_the_file_has_is_shown_and_not_changed() {
    let target = Target::named("target").await;
    let api = Api::with(Config::forwarding_to(&[target.address]), "").await;
    let (group, path) = only(&api, GROUPS);
    assert_eq!(group["properties"]["name"], "group");
    assert_eq!(
        group["properties"]["targets"][0]["port"],
        target.address.port()
    );
    let (_, datacenter) = only(&api, &format!("{BASE}/datacenters"));
    let (_, balancer) = only(&api, &format!("{datacenter}/applicationloadbalancers"));
    let (rule, rule_path) = only(&api, &format!("{balancer}/forwardingrules"));
    let to = &rule["properties"]["httpRules"][0]["targetGroup"];
    assert_eq!(*to, group["id"]);
    for path in [&path, &balancer, &rule_path] {
        api.ask("PATCH", path, &[], "{\"name\": \"other\"}")
            .is_refused(403);
        api.ask("DELETE", path, &[], "").is_refused(403);
    }
    assert_eq!(api.edge.get("/").await.text(), "target");
}

#[tokio::test]
async fn a_rule_of_the_api_forwards_to_a_group_of_the_file() {
    let target = Target::named("target").await;
    let api = Api::with(Config::forwarding_to(&[target.address]), "").await;
    let group = only(&api, GROUPS).0["id"].clone();
    let rule = api.rule(&group).await;
    assert_eq!(rule.get("/").await.text(), "target");
    let explained = admin::post(
        &api,
        "/api/v1/explain",
        &json!({
            "path": "/", "forwardingRule": "api rule",
        }),
    );
    let source = explained["source"].as_str().unwrap();
    assert!(source.starts_with("api /datacenters/"), "{explained}");
    assert!(explained["action"].get("source").is_none(), "{explained}");
    let config = admin::get(&api, "/api/v1/config");
    assert_eq!(config["forwardingRules"][0]["source"], "file");
    assert_eq!(config["forwardingRules"][1]["source"], source);
}

#[tokio::test]
async fn an_address_that_both_want_is_told_with_both_places() {
    let [address] = free_addresses();
    let api = Api::start("").await;
    let (balancer, group) = (api.balancer(), api.group());
    let listen = api.edge.address;
    let reply = api.post_rule(&balancer, "theirs", listen, &group);
    reply.is_refused(422);
    assert_eq!(reply.body["messages"][0]["errorCode"], "371");
    let message = reply.body["messages"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("[(root).properties.listenerIp] "),
        "{message}"
    );

    // The file comes to want what the API has.
    assert_eq!(
        api.post_rule(&balancer, "ours", address, &group).status(),
        202
    );
    let more = Config::answering("hello").api(api.address, "");
    let more = more.add_rule("second").listen(address);
    api.edge.configure(&more);
    let said = admin::post(&api, "/api/v1/reload", &json!({}));
    let problem = said["problems"][0].as_str().unwrap();
    let expected = format!("{address} is already used by forwardingRules[1]");
    assert!(problem.ends_with(&expected), "{problem}");
    assert!(problem.contains(": api /datacenters/"), "{problem}");
    assert_eq!(api.edge.get("/").await.text(), "hello");
}

#[tokio::test]
async fn a_reload_leaves_what_the_api_has() {
    let target = Target::named("target").await;
    let api = Api::start("").await;
    let group = api.group_of(&[target.address]);
    let rule = api.rule(&group).await;
    api.edge
        .reload(&Config::answering("changed").api(api.address, ""))
        .await;
    assert_eq!(api.edge.get("/").await.text(), "changed");
    assert_eq!(rule.get("/").await.text(), "target");
}

#[tokio::test]
async fn without_any_rule_of_the_file_the_process_serves_what_the_api_says() {
    let target = Target::named("target").await;
    let [address] = free_addresses();
    let config = Config::nothing().api(address, "");
    let mut api = Api {
        edge: Edge::start(&config).await,
        address,
    };
    let group = api.group_of(&[target.address]);
    let rule = api.rule(&group).await;
    assert_eq!(rule.get("/").await.text(), "target");
    api.edge.signal("KILL");
    api.edge.exited().await;
    api.edge.start_again().await;
    assert_eq!(rule.get("/").await.text(), "target");
}

#[tokio::test]
async fn what_is_kept_is_exported_and_imported_elsewhere() {
    let api = Api::start("").await;
    api.group();
    let conf = api.edge.file();
    let export = run(
        &["-c", conf.to_str().unwrap(), "api", "export"],
        Path::new("/"),
    );
    assert!(export.status.success(), "{export:?}");
    let exported = api.edge.folder.path().join("export.json");
    std::fs::write(&exported, &export.stdout).unwrap();
    let import = |conf: &Path| {
        let arguments = ["-c", conf.to_str().unwrap(), "api", "import"];
        run(
            &[&arguments[..], &[exported.to_str().unwrap()]].concat(),
            Path::new("/"),
        )
    };
    // Somebody has it.
    let refused = import(&conf);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("another process has it"),
        "{said}"
    );

    let [address] = free_addresses();
    let mut other = Api {
        edge: Edge::start(&Config::answering("other").api(address, "")).await,
        address,
    };
    other.edge.signal("KILL");
    other.edge.exited().await;
    let imported = import(&other.edge.file());
    assert!(imported.status.success(), "{imported:?}");
    other.edge.start_again().await;
    let groups = other.get(&format!("{GROUPS}?depth=1"));
    assert_eq!(groups["items"].as_array().unwrap().len(), 1);
}
