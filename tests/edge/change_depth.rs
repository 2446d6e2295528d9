//! A change touches what it says and nothing else: what is known of rules, groups and targets that
//! stay goes on, whether one target is patched or the whole configuration is read again.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::admin::{ask, get};
use crate::harness::target::{ok, refusing};
use crate::harness::{Config, Connection, Edge, Target, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ELSEWHERE: &str = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
const MOST: usize = 4;

/// A rule with this setting, which leads to `a` but for what is under `/b`; the settings of `a`,
/// and the targets of both.
fn two_groups(rule: &str, a: (&str, &[SocketAddr]), b: (&str, &[SocketAddr])) -> Config {
    let rules = "{name: b, type: FORWARD, targetGroup: b,
            conditions: [{type: PATH, condition: EQUALS, value: /b}]},
        {name: rest, type: FORWARD, targetGroup: a}";
    let config = Config::new().rule(rule).http_rules(rules);
    [("a", a), ("b", b)]
        .into_iter()
        .fold(config, |config, (name, (settings, targets))| {
            let group = config.add_group(name).group(settings);
            targets
                .iter()
                .fold(group, |group, target| group.target(*target, ""))
        })
}

/// Changes the weight of a target of a group, as nobody would notice.
fn patch(edge: &Edge, group: &str, target: SocketAddr) {
    let path = format!("/api/v1/targetgroups/{group}/targets/{target}");
    let (status, answer) = ask(edge, "PATCH", &path, &[], "{\"weight\": 2}");
    assert_eq!((status, &answer["weight"]), (200, &json!(2)), "{answer}");
}

async fn asked(client: &mut Connection, request: &str) -> (u16, String) {
    client.send(request).await;
    let answer = client.answer().await;
    (answer.status, answer.text().to_owned())
}

/// Has a client ask as often as it may from the beginning of a second on, then makes a change,
/// until the client is refused in the same second.
async fn is_still_refused_after(edge: &Edge, change: impl AsyncFn()) {
    let mut client = edge.connect().await;
    let asking = async {
        loop {
            while asked(&mut client, GET).await.0 != 429 {}
            while asked(&mut client, GET).await.0 == 429 {}
            for _ in 1..MOST {
                asked(&mut client, GET).await;
            }
            change().await;
            if asked(&mut client, GET).await.0 == 429 {
                return;
            }
        }
    };
    soon("a request too many in the second of a change", asking).await;
}

#[tokio::test]
async fn what_a_client_asked_in_a_second_counts_after_a_patch_and_after_a_reload() {
    let target = Target::answering("hello").await;
    let limit = format!("maxRequestsPerSecondPerClient: {MOST}");
    let one = [target.address];
    let configuration = two_groups(&limit, ("", &one), ("", &one));
    let edge = Edge::start(&configuration).await;

    is_still_refused_after(&edge, async || patch(&edge, "a", target.address)).await;
    is_still_refused_after(&edge, async || edge.reload(&configuration).await).await;
}

#[tokio::test]
async fn a_patch_of_one_group_leaves_the_turns_of_another_alone() {
    let names = ["one", "two", "three"];
    let mut targets = Vec::new();
    for name in names {
        targets.push(Target::answering(name).await);
    }
    let at: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
    let edge = Edge::start(&two_groups("", ("", &at), ("", &at))).await;
    let mut client = edge.connect().await;
    let mut turns = Vec::new();
    for _ in 0..24 {
        turns.push(asked(&mut client, ELSEWHERE).await.1);
        patch(&edge, "a", at[0]);
    }
    for (turn, who) in turns.iter().enumerate() {
        assert_eq!(*who, turns[turn % names.len()], "{turn}: {turns:?}");
    }
    let all = turns[..3].iter().collect::<std::collections::HashSet<_>>();
    assert_eq!(all.len(), 3, "{turns:?}");
}

#[tokio::test]
async fn a_patch_leaves_connections_to_targets_and_cookies_as_they_are() {
    let target = Target::answering("hello").await;
    let one = [target.address];
    let sticky = "stickiness: {type: COOKIE},";
    let edge = Edge::start(&two_groups("", ("", &one), (sticky, &one))).await;
    let mut client = edge.connect().await;
    client.send(ELSEWHERE).await;
    let answer = client.answer().await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next();
    let with_cookie = format!("Cookie: {}\r\n\r\n", cookie.unwrap());
    let with_cookie = ELSEWHERE.replacen("\r\n\r\n", &format!("\r\n{with_cookie}"), 1);
    for group in ["a", "b", "a"] {
        patch(&edge, group, target.address);
        client.send(&with_cookie).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    }
    assert_eq!(target.connections(), 1);
}

/// What the status says of the targets of `a`, but for what goes on by itself.
fn known(edge: &Edge) -> Vec<(Value, Value, Value)> {
    let status = get(edge, "/api/v1/status");
    let targets = status["targetGroups"][0]["targets"]
        .as_array()
        .unwrap()
        .clone();
    let known = targets.iter().map(|target| {
        let ejected = target["ejected"]["count"].clone();
        (
            target["healthy"].clone(),
            ejected,
            target["slowStarting"].clone(),
        )
    });
    known.collect()
}

#[tokio::test]
async fn health_ejections_and_slow_starts_go_on_after_a_patch_and_a_reload() {
    let (good, fresh) = (
        Target::answering("hello").await,
        Target::answering("hi").await,
    );
    let failing = Target::replying(|_, _| ok("").replace("200 OK", "500 Sorry")).await;
    let settings = "slowStart: 10h,
     healthCheck: {checkInterval: 50, unhealthyThreshold: 1, retries: 0},
     outlierDetection: {consecutiveFailures: 1, baseEjectionTime: 1h, maxEjectionTime: 1h,
       maxEjectedPercent: 100},";
    let mut targets = vec![good.address, refusing(), failing.address];
    let configured = |targets: &[SocketAddr]| two_groups("", (settings, targets), ("", &[]));
    let edge = Edge::start(&configured(&targets)).await;
    targets.push(fresh.address);
    edge.reload(&configured(&targets)).await;
    let expected = vec![
        (json!(true), json!(null), json!(null)),
        (json!(false), json!(null), json!(null)),
        (json!(true), json!(1), json!(null)),
        (json!(true), json!(null), json!(0.1)),
    ];
    let asking = async {
        while known(&edge) != expected {
            // In vain where it meets the one that fails.
            edge.get("/").await;
        }
    };
    soon("all is known of the targets", asking).await;

    patch(&edge, "a", good.address);
    assert_eq!(known(&edge), expected);
    edge.reload(&configured(&targets)).await;
    assert_eq!(known(&edge), expected);
}
