//! What operators can ask of the API at the admin address, and what they get.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::admin::{ask, get, send};
use crate::harness::client::handshake;
use crate::harness::{Config, Connection, Edge, Target, eventually};

const TUNNELS: &str = "/api/v1/tunnels";
/// Keys of `server`.
const SMALL_DRAIN: &str = "drain: {deadline: 1s}";

/// Two groups, each with its rule; the first has all that is not for `/b`.
fn two_groups(a: SocketAddr, b: SocketAddr) -> Config {
    let rules = "{name: b, type: FORWARD, targetGroup: b,
            conditions: [{type: PATH, condition: STARTS_WITH, value: /b}]},
        {name: rest, type: FORWARD, targetGroup: a}";
    Config::new()
        .rule("trustedProxies: [127.0.0.1]")
        .http_rules(rules)
        .add_group("a")
        .target(a, "")
        .add_group("b")
        .target(b, "")
}

fn ids(page: &Value) -> Vec<String> {
    let tunnels = page["tunnels"].as_array().unwrap().iter();
    tunnels
        .map(|tunnel| tunnel["id"].as_str().unwrap().to_owned())
        .collect()
}

fn uris(page: &Value) -> Vec<&str> {
    let tunnels = page["tunnels"].as_array().unwrap().iter();
    tunnels
        .map(|tunnel| tunnel["requestUri"].as_str().unwrap())
        .collect()
}

async fn open(edge: &Edge, count: usize) {
    eventually("the tunnels are listed", || {
        (get(edge, TUNNELS)["total"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_status_tells_what_the_process_is_and_what_it_serves_with() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let (_tunnel, _) = Connection::tunnel(edge.address, "/b").await;
    edge.get("/rest").await;
    edge.log_lines(1).await;

    let status = eventually("nothing but the tunnel is open", || {
        let status = get(&edge, "/api/v1/status");
        let open = [&status["tunnels"], &status["listeners"][0]["connections"]];
        (open == [&json!(1); 2]).then_some(status)
    })
    .await;

    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], edge.id());
    assert!(status["uptimeSeconds"].as_f64().unwrap() > 0.0);
    assert_eq!(status["drain"]["state"], "serving");
    assert_eq!(
        status["configuration"]["path"],
        edge.file().to_str().unwrap()
    );
    assert_eq!(status["listeners"][0]["address"], edge.address.to_string());
    let rules = &status["forwardingRules"][0]["httpRules"];
    assert_eq!(
        (&rules[1]["name"], &rules[1]["hits"]),
        (&json!("rest"), &json!(1))
    );
    let target = &status["targetGroups"][1]["targets"][0];
    assert_eq!(target["address"], b.address.to_string());
    let seen = ["healthy", "maintenance", "drain", "weight", "openTunnels"];
    assert_eq!(
        seen.map(|key| &target[key]),
        [
            &json!(true),
            &json!(false),
            &json!(false),
            &json!(1),
            &json!(1)
        ]
    );
    assert!(target.get("override").is_none());
}

#[tokio::test]
async fn pages_show_each_of_hundreds_of_tunnels_once_while_others_end() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnels = edge.tunnels(250).await;
    open(&edge, 250).await;
    let first = get(&edge, TUNNELS);
    assert_eq!(
        (ids(&first).len(), first["total"].as_u64()),
        (100, Some(250))
    );
    // One after the page and one of it.
    drop((tunnels.remove(120), tunnels.remove(3)));
    open(&edge, 248).await;

    let (mut seen, mut next) = (ids(&first), first["next"].clone());
    while let Some(cursor) = next.as_str() {
        let page = get(&edge, &format!("{TUNNELS}?limit=60&cursor={cursor}"));
        assert!(ids(&page).len() <= 60);
        seen.extend(ids(&page));
        next = page["next"].clone();
    }

    let different: HashSet<&String> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "one is shown twice");
    assert_eq!(seen.len(), 249);
    let whole = get(&edge, &format!("{TUNNELS}?limit=1000"));
    assert!(ids(&whole).iter().all(|id| different.contains(id)));
    assert_eq!(whole["next"], Value::Null);
    drop(tunnels);
}

#[tokio::test]
async fn filters_show_what_they_say_and_secrets_are_redacted() {
    let (a, b) = (Target::mirror().await, Target::mirror().await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let mut tunnels = Vec::new();
    for (path, client) in [
        ("/a?token=secret", "10.1.2.3"),
        ("/b1", "10.1.9.9"),
        ("/b2", "192.0.2.1"),
    ] {
        let mut client_end = edge.connect().await;
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        client_end.send(handshake(path, &forwarded)).await;
        client_end.head().await;
        tunnels.push(client_end);
    }
    open(&edge, 3).await;
    let all = get(&edge, TUNNELS);
    assert_eq!(uris(&all), ["/a?token=<redacted>", "/b1", "/b2"]);
    let last = all["tunnels"][2].clone();
    assert!(last["startTime"].as_str().unwrap().ends_with('Z'));
    let (id, target) = (last["id"].as_str().unwrap(), b.address);

    for (filter, expected) in [
        (
            "forwardingRule=edge",
            &["/a?token=<redacted>", "/b1", "/b2"][..],
        ),
        ("forwardingRule=other", &[]),
        ("targetGroup=b", &["/b1", "/b2"]),
        (&format!("target={target}"), &["/b1", "/b2"]),
        ("client=10.1.0.0/16", &["/a?token=<redacted>", "/b1"]),
        ("client=192.0.2.1", &["/b2"]),
        ("client=10.1.0.0/16&targetGroup=b", &["/b1"]),
        (&format!("id={id}"), &["/b2"]),
        ("minAge=1h", &[]),
        ("minAge=1", &["/a?token=<redacted>", "/b1", "/b2"]),
    ] {
        let page = get(&edge, &format!("{TUNNELS}?{filter}"));
        assert_eq!(uris(&page), expected, "{filter}");
    }
}

#[tokio::test]
async fn what_a_filter_is_true_of_is_killed_with_the_words_that_were_chosen() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let (mut stays, _) = Connection::tunnel(edge.address, "/a").await;
    let (mut goes, _) = Connection::tunnel(edge.address, "/b").await;
    open(&edge, 2).await;

    let path = format!("{TUNNELS}?targetGroup=b&code=4001&text=good%20bye");
    let (status, answer) = send(&edge, "DELETE", &path);

    assert_eq!((status, &answer["ended"]), (202, &json!(1)));
    let (opcode, payload) = goes.frame().await.unwrap();
    assert_eq!((opcode, &payload[..]), (8, &b"\x0f\xa1good bye"[..]));
    goes.leave(4001).await;
    let line = edge.log_line().await;
    assert_eq!(
        (&line["closeReason"], &line["closeCode"]),
        (&json!("killed"), &json!(4001))
    );
    stays.say_hi().await;
    edge.says("1 tunnels killed: \"targetGroup=b").await;
}

#[tokio::test]
async fn nothing_is_killed_by_a_request_that_is_not_understood() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnel = edge.tunnel().await.0;
    open(&edge, 1).await;
    for (query, word) in [
        ("", "filter"),
        ("?forwardingrule=edge", "forwardingrule"),
        ("?code=4000", "filter"),
        ("?forwardingRule=edge&code=1006", "code"),
        ("?client=everybody", "client"),
        ("?limit=1&forwardingRule=edge", "limit"),
    ] {
        let (status, answer) = send(&edge, "DELETE", &format!("{TUNNELS}{query}"));
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == 400 && error.contains(word),
            "{query}: {status} {error}"
        );
    }
    tunnel.say_hi().await;
}

#[tokio::test]
async fn a_target_in_maintenance_takes_nothing_new_until_the_next_reload() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let configuration = Config::forwarding_to(&[a.address, b.address]);
    let edge = Edge::start(&configuration).await;
    let mut tunnels = edge.tunnels(2).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", a.address);

    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"maintenance\": true}");

    assert_eq!((status, &answer["maintenance"]), (200, &json!(true)));
    assert_eq!(answer["override"], json!({"maintenance": true}));
    for _ in 0..6 {
        assert_eq!(edge.get("/").await.text(), "b");
    }
    for tunnel in &mut tunnels {
        tunnel.say_hi().await;
    }
    let status = get(&edge, "/api/v1/status");
    assert_eq!(status["configuration"]["overrides"], 1);
    assert_eq!(
        status["targetGroups"][0]["targets"][0]["override"],
        json!({"maintenance": true})
    );

    edge.reload(&configuration).await;
    let status = get(&edge, "/api/v1/status");
    assert!(
        status["targetGroups"][0]["targets"][0]
            .get("override")
            .is_none()
    );
    let answers: HashSet<String> = [edge.get("/").await, edge.get("/").await]
        .map(|answer| answer.text().to_owned())
        .into();
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn a_weight_is_overridden_and_given_back() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::forwarding_to(&[a.address, b.address]).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", a.address);
    let answers = async || {
        let mut from_a = 0;
        for _ in 0..8 {
            from_a += usize::from(edge.get("/").await.text() == "a");
        }
        from_a
    };
    for (body, expected) in [
        ("{\"weight\": 3}", 6),
        ("{\"weight\": 0}", 0),
        ("{\"weight\": null}", 4),
    ] {
        assert_eq!(ask(&edge, "PATCH", &path, &[], body).0, 200);
        assert_eq!(answers().await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_target_that_is_drained_loses_its_tunnels_and_no_other_does() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let configuration = two_groups(a.address, b.address).server(SMALL_DRAIN);
    let edge = Edge::start(&configuration).await;
    let (mut goes, _) = Connection::tunnel(edge.address, "/a").await;
    let (mut stays, _) = Connection::tunnel(edge.address, "/b").await;
    let path = format!("/api/v1/targetgroups/a/targets/{}", a.address);

    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"drain\": true}");

    assert_eq!(
        (status, &answer["drain"], &answer["maintenance"]),
        (200, &json!(true), &json!(true))
    );
    goes.is_sent_away().await;
    assert_eq!(edge.log_line().await["closeReason"], "drained");
    stays.say_hi().await;
    assert_eq!(edge.get("/a").await.status, 503);
    assert_eq!(
        ask(&edge, "PATCH", &path, &[], "{\"maintenance\": false}").0,
        200
    );
    assert_eq!(edge.get("/a").await.status, 200);
}

#[tokio::test]
async fn a_patch_that_cannot_be_done_is_refused() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let ours = format!("group/targets/{}", target.address);
    for (place, body, expected, word) in [
        (
            &ours[..],
            "{\"weight\": 1, \"persist\": true}",
            400,
            "persist",
        ),
        (&ours, "{\"weight\": 257}", 400, "weight"),
        (&ours, "{\"wait\": 1}", 400, "wait"),
        (&ours, "{}", 400, "weight"),
        (&ours, "weight", 400, ""),
        (
            "group/targets/192.0.2.1:80",
            "{\"weight\": 1}",
            404,
            "192.0.2.1:80",
        ),
        ("group/targets/nowhere", "{\"weight\": 1}", 404, "nowhere"),
        ("other/targets/127.0.0.1:1", "{\"weight\": 1}", 404, "other"),
    ] {
        let path = format!("/api/v1/targetgroups/{place}");
        let (status, answer) = ask(&edge, "PATCH", &path, &[], body);
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == expected && error.contains(word),
            "{place} {body}: {status} {error}"
        );
    }
}

#[tokio::test]
async fn a_reload_tells_whether_it_was_applied() {
    let target = Target::named("a").await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration).await;
    let reload = || send(&edge, "POST", "/api/v1/reload");
    assert_eq!(reload(), (200, json!({"applied": true})));

    edge.configure(&configuration.http_rule("targetGroup: gruop"));
    let (status, answer) = reload();

    assert_eq!(status, 422, "{answer}");
    let problem = answer["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("httpRules[0].targetGroup: no target group named"),
        "{problem}"
    );
    let last = get(&edge, "/api/v1/status")["configuration"]["lastReload"].take();
    assert_eq!(
        (&last["applied"], &last["problems"]),
        (&json!(false), &answer["problems"])
    );
    assert_eq!(edge.get("/").await.text(), "a");
}

#[tokio::test]
async fn a_drain_is_asked_for_twice_and_ends_the_process_gently() {
    let target = Target::named("a").await;
    let configuration = Config::forwarding_to(&[target.address]).server(SMALL_DRAIN);
    let edge = Edge::start(&configuration).await;
    let mut tunnel = edge.tunnel().await.0;
    for _ in 0..2 {
        assert_eq!(
            send(&edge, "POST", "/api/v1/drain"),
            (202, json!({"draining": true}))
        );
    }
    tunnel.is_sent_away().await;
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "drained");
}

#[tokio::test]
async fn every_error_is_json_and_the_document_has_every_path() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (method, path, expected) in [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/status", 405),
        ("OPTIONS", "/api/v1/tunnels", 405),
        ("DELETE", "/api/v1/tunnels/none", 404),
        ("GET", "/api/v1/tunnels?limit=0", 400),
        ("POST", "/api/v1/explain", 400),
    ] {
        let (status, answer) = send(&edge, method, path);
        assert_eq!(status, expected, "{method} {path}");
        assert!(
            !answer["error"].as_str().unwrap().is_empty(),
            "{method} {path}"
        );
    }
    let document = get(&edge, "/api/v1/openapi.json");
    for (path, method) in [
        ("/api/v1/status", "get"),
        ("/api/v1/tunnels", "get"),
        ("/api/v1/events", "get"),
        ("/api/v1/tunnels", "delete"),
        ("/api/v1/tunnels/{id}", "get"),
        ("/api/v1/tunnels/{id}", "delete"),
        ("/api/v1/targetgroups/{name}/targets/{target}", "patch"),
        ("/api/v1/reload", "post"),
        ("/api/v1/drain", "post"),
        ("/api/v1/explain", "post"),
    ] {
        assert!(
            document["paths"][path][method]["responses"].is_object(),
            "{method} {path}"
        );
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Rules of all kinds, and requests for them: method, path, headers.
const RULES: &str = "{name: gone, type: STATIC, statusCode: 410, responseMessage: gone,
        conditions: [{type: PATH, condition: EQUALS, value: /gone}]},
    {name: moved, type: REDIRECT, location: 'https://example.com/new',
        conditions: [{type: HOST, condition: EQUALS, value: old.example}]},
    {name: beta, type: STATIC, statusCode: 200, responseMessage: beta, conditions: [
        {type: COOKIE, condition: EQUALS, key: beta, value: 'yes'}, {type: QUERY, condition: EXISTS, key: off, negate: true}]},
    {name: inside, type: STATIC, statusCode: 403, responseMessage: no,
        conditions: [{type: SOURCE_IP, value: 10.0.0.0/8}]},
    {name: chat, type: FORWARD, targetGroup: group, conditions: [
        {type: HEADER, key: Connection, condition: EQUALS, value: upgrade}, {type: METHOD, condition: EQUALS, value: GET}]},
    {name: api, type: FORWARD, targetGroup: group,
        conditions: [{type: PATH, condition: MATCHES, value: '^/api/v[12]/'}]}";
type Sample = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);
const SAMPLES: &[Sample] = &[
    ("GET", "/gone", &[]),
    ("GET", "/gone?a", &[]),
    ("POST", "/api/v1/x", &[]),
    ("GET", "/api/v3/x", &[]),
    ("GET", "/a?b=c", &[("Host", "OLD.example:80")]),
    ("GET", "/", &[("Cookie", "a=b; beta=yes")]),
    ("GET", "/?off", &[("Cookie", "beta=yes")]),
    ("GET", "/gone", &[("X-Forwarded-For", "10.2.3.4")]),
    ("GET", "/", &[("X-Forwarded-For", "10.2.3.4, 127.0.0.1")]),
    (
        "GET",
        "/chat",
        &[
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
    (
        "GET",
        "/chat",
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    ),
    (
        "GET",
        "/chat",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "8"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
];

#[tokio::test]
async fn an_explanation_agrees_with_what_happens() {
    let target = Target::named("a").await;
    let rules = Config::forwarding_to(&[target.address])
        .rule("trustedProxies: [127.0.0.1], httpRules: []")
        .http_rules(RULES);
    let edge = Edge::start(&rules).await;
    let mut lines = 0;
    for (method, path, headers) in SAMPLES {
        let told = explained(&edge, method, path, headers);

        let mut client = edge.connect().await;
        let has_host = headers.iter().any(|(name, _)| *name == "Host");
        let host = if has_host {
            ""
        } else {
            "Host: example.com\r\n"
        };
        let head: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        client
            .send(format!("{method} {path} HTTP/1.1\r\n{host}{head}\r\n"))
            .await;
        let answer = client.head().await;
        drop(client);
        lines += 1;
        let line = edge.log_lines(lines).await.remove(lines - 1);

        assert_eq!(
            told["matched"], line["httpRule"],
            "{method} {path}: {told:#}"
        );
        assert_eq!(told["clientIp"], line["clientIp"], "{method} {path}");
        let target = told["refusal"]
            .is_null()
            .then(|| told["action"]["target"].clone());
        assert_eq!(
            target.unwrap_or_default(),
            line["target"],
            "{method} {path}: {told:#}"
        );
        let status = match (
            &told["refusal"]["statusCode"],
            &told["action"]["statusCode"],
        ) {
            (Value::Null, Value::Null) if told["action"]["websocket"] == true => &json!(101),
            (Value::Null, Value::Null) => &json!(200),
            (Value::Null, status) | (status, _) => status,
        };
        assert_eq!(*status, line["httpStatusCode"], "{method} {path}: {told:#}");
        if let Some(location) = told["action"]["location"].as_str() {
            assert!(
                answer.contains(&format!("\r\nLocation: {location}\r\n")),
                "{answer}"
            );
        }
    }
}

fn explained(edge: &Edge, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .chain(
            [("Host".to_owned(), json!("example.com"))]
                .into_iter()
                .filter(|_| headers.iter().all(|(name, _)| *name != "Host")),
        )
        .collect();
    let sample =
        json!({"method": method, "path": path, "headers": headers, "clientIp": "127.0.0.1"});
    let (status, answer) = ask(edge, "POST", "/api/v1/explain", &[], &sample.to_string());
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn an_explanation_tells_what_each_condition_saw() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let rules = Config::forwarding_to(&[a.address, b.address]).http_rule(
        "conditions: [{type: HEADER, key: X-Room, condition: CONTAINS, value: lu, negate: true}]",
    );
    let edge = Edge::start(&rules).await;
    let sample = json!({"path": "/", "headers": {"X-Room": ["blue", "red"]}});
    let (_, told) = ask(&edge, "POST", "/api/v1/explain", &[], &sample.to_string());
    let expected = json!({"type": "HEADER", "condition": "CONTAINS", "key": "x-room", "value": "lu", "negate": true,
        "saw": ["blue", "red"], "held": false});
    assert_eq!(told["httpRules"][0]["conditions"][0], expected);
    assert_eq!(
        (&told["matched"], &told["refusal"]["statusCode"]),
        (&Value::Null, &json!(404))
    );
}

#[tokio::test]
async fn the_target_that_is_foretold_is_the_one_that_is_picked() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::forwarding_to(&[a.address, b.address]).await;
    for number in 1..=6 {
        let foretell = |()| explained(&edge, "GET", "/", &[])["action"]["target"].take();
        let [foretold, again] = [(); 2].map(foretell);
        assert_eq!(foretold, again, "asking moves the turn");
        edge.get("/").await;
        let line = edge.log_lines(number).await.remove(number - 1);
        assert_eq!(line["target"], foretold);
    }
}

#[tokio::test]
async fn a_sample_that_is_no_request_is_refused() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (sample, expected, word) in [
        (json!({}), 400, "path"),
        (json!({"path": ""}), 400, "path"),
        (json!({"path": "/ HTTP/1.1\r\nHost: a"}), 400, "path"),
        (json!({"path": "/", "headers": {"a b": "c"}}), 400, "a b"),
        (json!({"path": "/", "headers": {"a": "\n"}}), 400, "a"),
        (json!({"path": "/", "clientIp": "x"}), 400, ""),
        (json!({"path": "/", "method": "A B"}), 400, "method"),
        (json!({"path": "/", "tls": true}), 400, "tls"),
        (json!({"path": "/", "forwardingRule": "x"}), 404, "rule"),
        (json!({"path": "/", "header": {}}), 400, "header"),
    ] {
        let (status, answer) = ask(&edge, "POST", "/api/v1/explain", &[], &sample.to_string());
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == expected && error.contains(word),
            "{sample}: {status} {error}"
        );
    }
}
