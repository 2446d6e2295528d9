//! A rule that leads to several target groups shares requests out by their weights, and leaves
//! those clients where they are whose cookie says so.

use serde_json::Value;

use crate::harness::admin;
use crate::harness::client::header;
use crate::harness::edge::body_of;
use crate::harness::{Config, Edge, Target};

/// A rule that leads to two groups with these weights, each of one target and with these settings.
fn groups(weights: [u16; 2], settings: &str, targets: &[Target; 2]) -> Config {
    let [stable, canary] = weights;
    let rule = format!(
        "{{name: all, type: FORWARD, targetGroups: [
            {{name: stable, weight: {stable}}}, {{name: canary, weight: {canary}}}]}}"
    );
    Config::new()
        .http_rules(&rule)
        .add_group("stable")
        .group(settings)
        .target(targets[0].address, "healthCheckEnabled: false")
        .add_group("canary")
        .group(settings)
        .target(targets[1].address, "healthCheckEnabled: false")
}

async fn two() -> [Target; 2] {
    [Target::named("stable").await, Target::named("canary").await]
}

/// Who answers a client with this cookie, and the cookie that it gets.
async fn ask(edge: &Edge, cookie: &str) -> (String, Option<String>) {
    let request =
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    let answer = edge.request(&request).await;
    let set = answer.header("set-cookie");
    let set = set.map(|set| set.split(';').next().unwrap().to_owned());
    (answer.text().to_owned(), set)
}

#[tokio::test]
async fn groups_get_what_their_weights_say_and_log_and_metrics_name_them() {
    let targets = two().await;
    let edge = Edge::start(&groups([90, 10], "", &targets)).await;
    let mut client = edge.connect().await;
    let mut canary = 0_u32;
    for number in 0..500 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        canary += u32::from(answer.text() == "canary");
        let line = edge.log_lines(number + 1).await.remove(number);
        assert_eq!(line["targetGroup"], answer.text());
    }
    // Off by seven times the standard deviation once in 10 to the 12th runs.
    assert!(canary.abs_diff(50) < 47, "{canary}");

    let mut tunnels = edge.tunnels(20).await;
    let (tunnel, head) = edge.tunnel().await;
    tunnels.push(tunnel);
    assert!(header(&head, "x-target").is_some());
    let active = |name: &str, target: &Target| {
        let target = target.address;
        edge.metric(&format!(
            "tunnels_active{{forwarding_rule=\"edge\",target=\"{target}\",target_group=\"{name}\"}}"
        ))
    };
    let all = active("stable", &targets[0]) + active("canary", &targets[1]);
    assert_eq!(all, 21.0);
}

#[tokio::test]
async fn a_client_with_a_cookie_of_one_of_the_groups_stays_there_even_at_weight_0() {
    let targets = two().await;
    let sticky = "stickiness: {type: COOKIE}";
    let edge = Edge::start(&groups([1, 1], sticky, &targets)).await;
    let (mut stable, mut canary) = (None, None);
    while stable.is_none() || canary.is_none() {
        let (who, cookie) = ask(&edge, "a=b").await;
        match who.as_str() {
            "stable" => stable = cookie,
            _ => canary = cookie,
        }
    }
    let (stable, canary) = (stable.unwrap(), canary.unwrap());

    edge.reload(&groups([1, 0], sticky, &targets)).await;
    for _ in 0..8 {
        assert_eq!(ask(&edge, &stable).await, ("stable".to_owned(), None));
        assert_eq!(ask(&edge, &canary).await, ("canary".to_owned(), None));
        let (who, set) = ask(&edge, "culvert=forged").await;
        assert_eq!((who.as_str(), set.as_ref()), ("stable", Some(&stable)));
    }

    edge.reload(&groups([0, 0], sticky, &targets)).await;
    assert_eq!(ask(&edge, &canary).await.0, "canary");
    let answer = edge.get("/").await;
    assert_eq!(answer.text(), "503 no target is available\n");
}

#[tokio::test]
async fn a_group_that_serves_nobody_is_left_out_while_another_serves() {
    let targets = two().await;
    let sticky = "stickiness: {type: COOKIE}";
    let edge = Edge::start(&groups([1, 1], sticky, &targets)).await;
    let mut canary = None;
    while canary.is_none() {
        let (who, cookie) = ask(&edge, "a=b").await;
        canary = cookie.filter(|_| who == "canary");
    }
    let maintenance = |is_on: bool| {
        let path = format!("/api/v1/targetgroups/canary/targets/{}", targets[1].address);
        let body = format!("{{\"maintenance\": {is_on}}}");
        assert_eq!(admin::ask(&edge, "PATCH", &path, &[], &body).0, 200);
    };
    maintenance(true);
    for _ in 0..20 {
        assert_eq!(ask(&edge, "a=b").await.0, "stable");
    }
    let canary = canary.unwrap();
    let (who, cookie) = ask(&edge, &canary).await;
    assert_eq!(who, "stable");
    assert!(cookie.is_some());
    maintenance(false);
    assert_eq!(ask(&edge, &canary).await.0, "canary");
}

#[tokio::test]
async fn the_api_tells_the_groups_of_a_rule_and_their_algorithms() {
    let targets = two().await;
    let configuration = groups([3, 0], "", &targets).group("algorithm: LEAST_CONNECTION");
    let edge = Edge::start(&configuration).await;
    let status = body_of(&edge.admin_page("/api/v1/status"));
    let rule = &status["forwardingRules"][0]["httpRules"][0];
    assert_eq!(rule.get("targetGroup"), None);
    let expected = serde_json::json!([
        {"name": "stable", "weight": 3},
        {"name": "canary", "weight": 0},
    ]);
    assert_eq!(rule["targetGroups"], expected);
    let algorithms = status["targetGroups"].as_array().unwrap().iter();
    let algorithms: Vec<&Value> = algorithms.map(|group| &group["algorithm"]).collect();
    assert_eq!(algorithms, ["ROUND_ROBIN", "LEAST_CONNECTION"]);
}
