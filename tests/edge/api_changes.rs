//! What changes by a write over the API, and what does not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use crate::harness::api::{Api, GROUPS, group_path, targets};
use crate::harness::{Answer, Connection, Target, admin, eventually};

async fn tunnels(address: SocketAddr, count: usize) -> Vec<Connection> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(Connection::tunnel(address, "/").await.0);
    }
    open
}

async fn are_open(open: &mut [Connection]) {
    for client in open {
        client.say_hi().await;
    }
}

#[tokio::test]
async fn no_tunnel_closes_while_everything_around_it_changes() {
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    let api = Api::start("").await;
    let id = api.group_of(&[one.address, other.address]);
    let (rule, group) = (api.rule(&id).await, group_path(&id));
    let mut open = tunnels(rule.address, 50).await;
    let mut weighted = targets(&[one.address, other.address]);
    weighted[0]["weight"] = 7.into();
    api.patch(&group, &json!({"targets": weighted}));
    api.patch(
        &group,
        &json!({"name": "renamed", "algorithm": "LEAST_CONNECTION"}),
    );
    api.patch(
        &rule.path,
        &json!({"name": "also renamed", "clientTimeout": 20_000}),
    );
    let condition = json!({"type": "PATH", "condition": "STARTS_WITH", "value": "/new"});
    let http_rules = json!([
        {"name": "gone", "type": "STATIC", "responseMessage": "gone", "conditions": [condition]},
        {"name": "all", "type": "FORWARD", "targetGroup": id},
    ]);
    api.patch(&rule.path, &json!({"httpRules": http_rules}));
    api.rule(&id).await;
    are_open(&mut open).await;
    assert_eq!(rule.get("/new").await.text(), "gone");
    let listed = admin::get(&api, "/api/v1/tunnels");
    assert_eq!(listed["total"], 50);

    // And those of a group that was renamed are drained with its targets, like any.
    api.patch(&group, &json!({"deregistrationDelay": 0}));
    api.patch(&group, &json!({"targets": []}));
    for client in &mut open {
        client.is_sent_away().await;
    }
}

#[tokio::test]
async fn a_target_that_is_added_gets_new_tunnels_and_one_that_is_removed_keeps_its_own_for_a_while()
{
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    let api = Api::start("").await;
    let id = api.group_of(&[one.address]);
    let (rule, group) = (api.rule(&id).await, group_path(&id));
    let mut before = tunnels(rule.address, 2).await;
    api.patch(&group, &json!({"targets": targets(&[other.address])}));
    let mut after = tunnels(rule.address, 2).await;
    assert_eq!((one.connections(), other.connections()), (2, 2));
    are_open(&mut before).await;
    are_open(&mut after).await;
}

#[tokio::test]
async fn what_was_decided_over_the_admin_address_outlives_other_writes() {
    let target = Target::named("target").await;
    let api = Api::start("").await;
    let id = api.group_of(&[target.address]);
    api.rule(&id).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", target.address);
    let answer = admin::ask_at(api.admin, "PATCH", &path, &[], "{\"maintenance\": true}");
    assert!(answer.contains(" 200 "), "{answer}");
    api.group();
    api.patch(&group_path(&id), &json!({"name": "renamed"}));
    let status = admin::get(&api, "/api/v1/status");
    let groups = status["targetGroups"].as_array().unwrap();
    let renamed = groups
        .iter()
        .find(|group| group["name"] == "renamed")
        .unwrap();
    assert_eq!(
        renamed["targets"][0]["override"]["maintenance"], true,
        "{renamed}"
    );
}

#[tokio::test]
async fn a_write_that_cannot_serve_changes_nothing() {
    let target = Target::named("target").await;
    let api = Api::start("").await;
    let id = api.group_of(&[target.address]);
    let rule = api.rule(&id).await;
    let balancer = rule
        .path
        .split_once("/forwardingrules")
        .unwrap()
        .0
        .to_owned();
    api.patch(&balancer, &json!({"ips": ["127.0.0.1", "192.0.2.1"]}));
    for (change, place) in [
        (
            json!({"listenerIp": "192.0.2.1"}),
            "[(root).properties.listenerIp] cannot listen",
        ),
        (
            json!({"listenerIp": "192.0.2.9"}),
            "[(root).properties.listenerIp] must be one of",
        ),
        (
            json!({"clientTimeout": "1s"}),
            "[(root).properties.clientTimeout]",
        ),
        (
            json!({"tunnel": {"idleTimeout": "x"}}),
            "[(root).properties.tunnel.idleTimeout]",
        ),
        (json!({"nonsense": 1}), "[(root).properties.nonsense]"),
        (
            json!({"httpRules": [{"name": "a", "type": "FORWARD", "targetGroup": "none"}]}),
            "[(root).properties.httpRules[0].targetGroup] there is no target group none",
        ),
        (
            json!({"httpRules": [{"name": "a", "type": "FORWARD", "targetGroup": id, "conditions": [
                {"type": "COOKIE", "condition": "EQUALS", "value": "a"}]}]}),
            "[(root).properties.httpRules[0].conditions[0].key]",
        ),
    ] {
        let reply = api.ask("PATCH", &rule.path, &[], &change.to_string());
        reply.is_refused(422);
        let message = reply.body["messages"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(place), "{message}");
        assert_eq!(rule.get("/").await.text(), "target");
    }
    let path = group_path(&id);
    let wrong = json!({"targets": [{"ip": "192.0.2.1", "port": 0, "weight": 257}]});
    let reply = api.ask("PATCH", &path, &[], &wrong.to_string());
    reply.is_refused(422);
    assert_eq!(
        reply.body["messages"].as_array().unwrap().len(),
        2,
        "{reply:?}"
    );
    api.ask("DELETE", &path, &[], "").is_refused(422);
    assert_eq!(rule.get("/").await.text(), "target");
}

#[tokio::test]
async fn each_of_a_thousand_writers_is_told_the_truth() {
    let api = Api::start("").await;
    let path = group_path(&api.group());
    let write = |writer: usize| {
        let mut tags = Vec::new();
        for number in 0..20 {
            let name = format!("{writer}-{number}");
            let reply = api.ask("PATCH", &path, &[], &json!({"name": name}).to_string());
            match reply.status() {
                202 => {
                    assert_eq!(reply.body["properties"]["name"], name);
                    tags.push(name);
                }
                429 => assert!(matches!(reply.header("retry-after"), Some("1" | "2"))),
                status => panic!("{status}: {reply:?}"),
            }
        }
        tags
    };
    let done: BTreeSet<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..50)
            .map(|writer| scope.spawn(move || write(writer)))
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let last = api.get(&path)["properties"]["name"].clone();
    assert!(done.contains(last.as_str().unwrap()), "{last}");
    assert!(done.len() > 100, "{}", done.len());
}

#[tokio::test]
async fn properties_of_culverts_own_stay_where_a_put_does_not_name_them() {
    let api = Api::start("").await;
    let path = group_path(&api.group());
    api.patch(
        &path,
        &json!({"slowStart": "30s", "stickiness": {"type": "COOKIE"}}),
    );
    let put = |properties: Value| {
        let body = json!({"properties": properties}).to_string();
        let reply = api.ask("PUT", &path, &[], &body);
        assert_eq!(reply.status(), 202, "{reply:?}");
        reply.body["properties"].clone()
    };
    let whole = json!({"name": "g", "algorithm": "RANDOM", "protocol": "HTTP"});
    let kept = put(whole.clone());
    assert_eq!(
        (&kept["slowStart"], &kept["algorithm"]),
        (&json!("30s"), &json!("RANDOM"))
    );
    let mut without = whole;
    without["slowStart"] = Value::Null;
    let left = put(without);
    assert!(
        left.get("slowStart").is_none() && left["stickiness"].is_object(),
        "{left}"
    );
}

#[tokio::test]
async fn if_match_keeps_a_write_from_undoing_another() {
    let api = Api::start("").await;
    let path = group_path(&api.group());
    let seen = api
        .ask("GET", &path, &[], "")
        .header("etag")
        .unwrap()
        .to_owned();
    let change = |tag: &str| {
        let body = json!({"algorithm": "RANDOM"}).to_string();
        api.ask("PATCH", &path, &[("If-Match", tag)], &body)
    };
    assert_eq!(change(&seen).status(), 202);
    change(&seen).is_refused(412);
    assert_eq!(change("*").status(), 202);
}

/// A target that answers 400 to plain requests, as WebSocket servers do.
async fn websockets_only() -> Target {
    Target::replying(|_, _| "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".into()).await
}

async fn group_with_an_http_check(keys: &str) -> (Api, String, String, Target) {
    let target = websockets_only().await;
    let api = Api::start(keys).await;
    let id = api.group_of(&[]);
    let address = target.address;
    api.patch(
        &group_path(&id),
        &json!({
            "targets": [{"ip": address.ip(), "port": address.port()}],
            "healthCheck": {"checkInterval": 50, "unhealthyThreshold": 1},
            "httpHealthCheck": {"path": "/.", "matchType": "STATUS_CODE", "response": "200"},
        }),
    );
    let rule = api.rule(&id).await;
    let upgrade = json!([
        {"type": "HEADER", "condition": "EQUALS", "key": "Upgrade", "value": "websocket"},
    ]);
    let http_rules = json!([
        {"name": "all", "type": "FORWARD", "targetGroup": id, "conditions": upgrade},
    ]);
    api.patch(&rule.path, &json!({"httpRules": http_rules}));
    (api, group_path(&id), rule.path, target)
}

#[tokio::test]
async fn an_http_check_of_websockets_is_warned_of_and_converted_where_that_is_wanted() {
    let (api, group, _, _target) = group_with_an_http_check("").await;
    let warnings = api.get(&group)["metadata"]["warnings"].clone();
    assert!(
        warnings.to_string().contains("forwards WebSockets here"),
        "{warnings}"
    );
    let is_unhealthy = || {
        let status = admin::get(&api, "/api/v1/status");
        (status["targetGroups"][0]["targets"][0]["healthy"] == false).then_some(())
    };
    eventually("the target is unhealthy", is_unhealthy).await;

    let (api, group, _, target) = group_with_an_http_check("webSocketChecks: convert").await;
    assert!(api.get(&group)["properties"]["httpHealthCheck"].is_object());
    let passed = format!(
        "health_checks_total{{result=\"passed\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    let is_checked = || (api.metric(&passed) > 3.0).then_some(());
    eventually("its checks pass", is_checked).await;
    let found = admin::get(&api, "/api/v1/status")["targetGroups"][0]["targets"][0].clone();
    assert_eq!(found["healthy"], true, "{found}");
}

#[tokio::test]
async fn names_that_are_anothers_are_told_apart_in_the_log() {
    let target = Target::named("target").await;
    let api = Api::start("").await;
    let (one, other) = (
        api.group_of(&[target.address]),
        api.group_of(&[target.address]),
    );
    let names = |answer: Answer| assert_eq!(answer.text(), "target");
    names(api.rule(&one).await.get("/").await);
    let balancer = api.balancer();
    let [address] = crate::harness::edge::free_addresses();
    assert_eq!(
        api.post_rule(&balancer, "another", address, &other)
            .status(),
        202
    );
    let mut client = Connection::open(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    names(client.answer().await);
    let lines = api.log_lines(2).await;
    let id = other.as_str().unwrap();
    assert_eq!(lines[0]["targetGroup"], "group");
    assert_eq!(lines[1]["targetGroup"], format!("group {}", &id[..8]));
    assert_eq!(
        api.get(&format!("{GROUPS}/{id}"))["properties"]["name"],
        "group"
    );
}

#[tokio::test]
async fn a_group_that_takes_the_name_of_another_leaves_the_tunnels_of_that_alone() {
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    let api = Api::start("").await;
    let [first, second] = [0, 1].map(|_| api.group_of(&[one.address, other.address]));
    for (group, name) in [(&first, "group"), (&second, "second")] {
        let properties = json!({"name": name, "deregistrationDelay": 0});
        api.patch(&group_path(group), &properties);
    }
    let rule = api.rule(&first).await;
    let mut open = tunnels(rule.address, 2).await;
    api.patch(&group_path(&first), &json!({"name": "renamed"}));
    open.extend(tunnels(rule.address, 2).await);
    let status = admin::get(&api, "/api/v1/status");
    let groups = status["targetGroups"].as_array().unwrap();
    let renamed = groups.iter().find(|group| group["name"] == "renamed");
    let shown = &renamed.unwrap()["targets"];
    let count = |place: usize| shown[place]["openTunnels"].as_u64().unwrap();
    assert_eq!([count(0), count(1)], [2, 2], "{shown}");

    let second = group_path(&second);
    api.patch(&second, &json!({"name": "group"}));
    api.patch(&second, &json!({"targets": targets(&[other.address])}));
    api.patch(&second, &json!({"targets": []}));
    let third = api.post_group("group").body["id"].clone();
    api.ask("DELETE", &group_path(&third), &[], "");
    are_open(&mut open).await;
    api.patch(&group_path(&first), &json!({"targets": []}));
    for client in &mut open {
        client.is_sent_away().await;
    }
}
