//! It is found out what each target can do, by asking it and by what it does with requests, and
//! what it cannot do it is not asked.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::client::header;
use crate::harness::target::{ok, refusing, switching_protocols, unresponsive};
use crate::harness::tls::{Answering, Authority};
use crate::harness::{Config, Connection, Edge, Target, eventually};

/// Asks often, and believes at once.
pub const OFTEN: &str = "checkInterval: 50, unhealthyThreshold: 1";

#[tokio::test]
async fn a_websocket_check_sees_what_a_tcp_check_misses() {
    let upgrades = Target::echo().await;
    let broken = Target::answering("no WebSockets here").await;
    let targets = [upgrades.address, broken.address];
    for (check, is_healthy) in [("type: TCP", true), ("type: WEBSOCKET, ping: true", false)] {
        let edge = Edge::start(&Config::to_group(
            &format!("healthCheck: {{{check}, {OFTEN}}}"),
            &targets,
        ))
        .await;
        checked(&edge, upgrades.address, "passed", 3.0).await;
        let result = if is_healthy { "passed" } else { "failed" };
        checked(&edge, broken.address, result, 3.0).await;
        edge.metric_becomes(&of("target_healthy", upgrades.address), 1.0)
            .await;
        let expected = f64::from(u8::from(is_healthy));
        edge.metric_becomes(&of("target_healthy", broken.address), expected)
            .await;
        if !is_healthy {
            let last = &status(&edge, broken.address)["lastCheck"];
            let reason = "the handshake was answered with status 200";
            assert_eq!(
                (&last["result"], &last["reason"]),
                (&"failed".into(), &reason.into())
            );
            let line = format!(
                "target group group: target {} is unhealthy: 1 check failed, the last: {reason}",
                broken.address
            );
            edge.says(&line).await;
            let last = &status(&edge, upgrades.address)["lastCheck"];
            assert_eq!(
                (&last["result"], last.get("reason")),
                (&"passed".into(), None)
            );
        }
    }
}

#[tokio::test]
async fn a_reload_changes_what_is_asked_and_how_often() {
    let target = Target::answering("no WebSockets here").await;
    let edge = Edge::start(&Config::to_group(
        "healthCheck: {checkInterval: 1h}",
        &[target.address],
    ))
    .await;
    checked(&edge, target.address, "passed", 1.0).await;

    let check = format!("healthCheck: {{type: WEBSOCKET, {OFTEN}}}");
    edge.reload(&Config::to_group(&check, &[target.address]))
        .await;

    is_healthy(&edge, target.address, false).await;
    assert_eq!(edge.get("/").await.status, 503);
    edge.reload(&Config::to_group(
        "healthCheck: {checkInterval: 50}",
        &[target.address],
    ))
    .await;
    is_healthy(&edge, target.address, true).await;
    assert_eq!(edge.get("/").await.status, 200);
}

#[tokio::test]
async fn an_http_check_goes_by_the_status_or_the_body() {
    let rows = [
        ("", 200, "", true),
        ("", 302, "", true),
        ("", 404, "", false),
        ("response: \"200\"", 204, "", false),
        ("response: \"404\", negate: true", 404, "", false),
        ("response: \"^[23]\", regex: true", 301, "", true),
        (
            "matchType: RESPONSE_BODY, response: ready",
            500,
            "it is ready",
            true,
        ),
        (
            "matchType: RESPONSE_BODY, response: ready",
            200,
            "it is not",
            false,
        ),
        (
            "matchType: RESPONSE_BODY, response: \"^OK$\", regex: true",
            200,
            "OK",
            true,
        ),
        (
            "matchType: RESPONSE_BODY, response: stopping, negate: true",
            200,
            "stopping",
            false,
        ),
    ];
    for separate in [false, true] {
        let mut targets = Vec::new();
        let mut config = Config::new().http_rules("{name: all, type: FORWARD, targetGroup: g0}");
        for (row, (settings, status, body, _)) in rows.into_iter().enumerate() {
            let target = Target::replying(move |_, _| {
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            })
            .await;
            let settings = format!("path: /health, {settings}");
            let check = match separate {
                true => format!("healthCheck: {{{OFTEN}}}, httpHealthCheck: {{{settings}}}"),
                false => format!("healthCheck: {{type: HTTP, {OFTEN}, {settings}}}"),
            };
            config = config
                .add_group(&format!("g{row}"))
                .group(&check)
                .target(target.address, "");
            targets.push(target);
        }
        let edge = Edge::start(&config).await;
        for (row, (settings, status, _, is_healthy)) in rows.into_iter().enumerate() {
            let target = targets[row].address;
            let labels = |name: &str, first: &str| {
                format!("{name}{{{first}target=\"{target}\",target_group=\"g{row}\"}}")
            };
            let result = if is_healthy { "passed" } else { "failed" };
            let checks = labels("health_checks_total", &format!("result=\"{result}\","));
            let what = format!("{settings} has {result} with {status}");
            eventually(&what, || (edge.metric(&checks) >= 2.0).then_some(())).await;
            let expected = f64::from(u8::from(is_healthy));
            let healthy = labels("target_healthy", "");
            edge.metric_becomes(&healthy, expected).await;
            assert!(targets[row].heads()[0].starts_with("GET /health HTTP/1.1\r\n"));
        }
    }
}

#[tokio::test]
async fn checks_of_targets_in_tls_go_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &["chat.internal"]);
    let target = authority
        .target("one", async |mut connection: Answering| {
            let head = connection.head().await;
            assert_eq!(header(&head, "host"), Some("chat.internal"));
            match header(&head, "upgrade") {
                Some(_) => {
                    connection.send(switching_protocols(&head)).await;
                    connection.echo_messages().await;
                }
                None => connection.send(ok("hello")).await,
            }
        })
        .await;
    for (trusted, result) in [(&authority, "passed"), (&stranger, "failed")] {
        for check in ["type: HTTP", "type: WEBSOCKET"] {
            let file = trusted.file("ca.crt").display().to_string();
            let settings = format!(
                "protocol: HTTPS, serverName: chat.internal, caFile: {file},
                healthCheck: {{{check}, {OFTEN}}}"
            );
            let configuration = Config::to_group(&settings, &[target.address]);
            let edge = Edge::start(&configuration).await;
            checked(&edge, target.address, result, 2.0).await;
            let last = status(&edge, target.address)["lastCheck"].take();
            assert_eq!(last["result"], result, "{last}");
            if result == "failed" {
                let reason = last["reason"].as_str().unwrap();
                assert!(reason.starts_with("no TLS: "), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_check_of_a_target_that_wants_the_proxy_protocol_names_no_client() {
    for (version, begin) in [
        ("v1", &b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"[..]),
        ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n"),
    ] {
        let target = Target::scripted(move |mut connection: Connection| async move {
            let found = connection.exactly(begin.len()).await;
            if found == begin {
                connection.head().await;
                connection.send(ok("")).await;
            }
        })
        .await;
        let settings = format!("healthCheck: {{type: HTTP, {OFTEN}}}");
        let configuration = Config::to_group(&settings, &[])
            .target(target.address, &format!("proxyProtocol: {version}"));
        let edge = Edge::start(&configuration).await;
        checked(&edge, target.address, "passed", 2.0).await;
        edge.metric_becomes(&of("target_healthy", target.address), 1.0)
            .await;
    }
}

#[tokio::test]
async fn a_target_that_lets_its_check_wait_delays_no_others() {
    let (silent, target) = (unresponsive(), Target::answering("hello").await);
    let settings = "healthCheck: {checkInterval: 20, checkTimeout: 30s}";
    let edge = Edge::start(&Config::to_group(settings, &[silent, target.address])).await;

    checked(&edge, target.address, "passed", 10.0).await;

    for result in ["passed", "failed"] {
        assert_eq!(edge.metric(&checks(silent, result)), 0.0);
    }
}

#[tokio::test]
async fn targets_that_come_and_go_get_requests_only_while_they_are_there() {
    let stays = Target::answering("stays").await;
    let mut others = [Target::answering("b").await, Target::answering("c").await].map(Some);
    let addresses = others
        .each_ref()
        .map(|target| target.as_ref().unwrap().address);
    let settings = format!("healthCheck: {{type: HTTP, {OFTEN}}}");
    let edge = Edge::start(&Config::to_group(
        &settings,
        &[stays.address, addresses[0], addresses[1]],
    ))
    .await;
    for round in 0..6 {
        let place = round % 2;
        let address = addresses[place];
        let name = ["b", "c"][place];
        drop(others[place].take());
        is_healthy(&edge, address, false).await;
        let answers = answers(&edge, 20).await;
        assert!(!answers.iter().any(|answer| answer == name), "{answers:?}");

        others[place] = Some(Target::answering_at(address, name).await);
        is_healthy(&edge, address, true).await;
        let answers = self::answers(&edge, 30).await;
        for name in ["stays", "b", "c"] {
            let share = answers.iter().filter(|answer| *answer == name).count();
            assert_eq!(share, 10, "{answers:?}");
        }
    }
}

#[tokio::test]
async fn where_no_target_is_healthy_the_answer_is_503_or_with_fail_open_a_targets() {
    let target = Target::answering("hello").await;
    for (setting, status) in [("failOpen: false", 503), ("failOpen: true", 200)] {
        let settings = format!(
            "{setting}, healthCheck: {{port: {}, {OFTEN}}}",
            refusing().port()
        );
        let edge = Edge::start(&Config::to_group(&settings, &[target.address])).await;
        is_healthy(&edge, target.address, false).await;
        assert_eq!(edge.get("/").await.status, status);
        let words = "no target is healthy: all get requests";
        match status {
            200 => drop(edge.says(words).await),
            _ => assert!(!edge.diagnostics().contains(words)),
        }
        assert_eq!(self::status(&edge, target.address)["healthy"], false);
    }
}

/// A group of two, each checked at a port of its own; the tunnels of the first are counted.
struct Pair {
    edge: Edge,
    targets: [Target; 2],
    checked: Vec<Option<Target>>,
}

impl Pair {
    async fn start(settings: &str) -> Pair {
        let targets = [Target::mirror().await, Target::mirror().await];
        let checked = [Target::answering("").await, Target::answering("").await];
        // The clients do not answer a Close.
        let mut configuration = Config::to_group(settings, &[])
            .group(&format!("healthCheck: {{{OFTEN}}}"))
            .rule("tunnel: {closeTimeout: 100ms}");
        for (target, checked) in targets.iter().zip(&checked) {
            let check = format!("healthCheckPort: {}", checked.address.port());
            configuration = configuration.target(target.address, &check);
        }
        Pair {
            edge: Edge::start(&configuration).await,
            targets,
            checked: checked.map(Some).into(),
        }
    }

    fn open(&self) -> [f64; 2] {
        [0, 1].map(|place| self.edge.tunnels_active(self.targets[place].address))
    }
}

#[tokio::test]
async fn tunnels_of_a_target_that_turns_unhealthy_are_closed_where_that_is_wanted() {
    for (setting, closes) in [("onUnhealthy: close", true), ("onUnhealthy: keep", false)] {
        let mut pair = Pair::start(&format!("{setting}, deregistrationDelay: 200ms")).await;
        let _clients = pair.edge.tunnels(10).await;
        assert_eq!(pair.open(), [5.0, 5.0]);
        pair.checked[0] = None;
        is_healthy(&pair.edge, pair.targets[0].address, false).await;
        if closes {
            eventually("they are closed", || {
                (pair.open() == [0.0, 5.0]).then_some(())
            })
            .await;
            for line in pair.edge.log_lines(5).await {
                assert_eq!(line["closeReason"], "target_unhealthy");
                assert_eq!(line["closeCode"], 1012);
                assert_eq!(line["target"], pair.targets[0].address.to_string());
            }
        } else {
            checked(&pair.edge, pair.targets[0].address, "failed", 10.0).await;
            assert_eq!(pair.open(), [5.0, 5.0]);
        }
    }
}

#[tokio::test]
async fn a_target_that_is_healthy_again_keeps_the_tunnels_that_are_left() {
    let mut pair = Pair::start("onUnhealthy: close, deregistrationDelay: 20s").await;
    let _clients = pair.edge.tunnels(80).await;
    assert_eq!(pair.open(), [40.0, 40.0]);
    let address = pair.checked[0].take().unwrap().address;
    eventually("some are closed", || (pair.open()[0] < 38.0).then_some(())).await;
    pair.checked[0] = Some(Target::answering_at(address, "").await);
    let target = pair.targets[0].address;
    is_healthy(&pair.edge, target, true).await;
    // What was about to be closed then may still be on its way.
    checked(
        &pair.edge,
        target,
        "passed",
        pair.edge.metric(&checks(target, "passed")) + 5.0,
    )
    .await;
    let left = pair.open()[0];
    assert!(left > 10.0, "{left}");
    // At that pace a second would have cost two.
    checked(
        &pair.edge,
        target,
        "passed",
        pair.edge.metric(&checks(target, "passed")) + 30.0,
    )
    .await;
    assert_eq!(pair.open(), [left, 40.0]);
}

#[tokio::test]
async fn a_new_process_knows_which_targets_are_unhealthy() {
    let (healthy, target) = (
        Target::answering("healthy").await,
        Target::answering("target").await,
    );
    let configuration = |interval: &str| {
        let check = format!("healthCheckPort: {}", refusing().port());
        let settings = format!("healthCheck: {{checkInterval: {interval}, unhealthyThreshold: 3}}");
        Config::to_group(&settings, &[healthy.address])
            .target(target.address, &check)
            .upgradable()
    };
    let edge = Edge::start(&configuration("50")).await;
    is_healthy(&edge, target.address, false).await;
    // Its first check does not turn anything, and there is no second one.
    edge.configure(&configuration("1h"));

    let successor = edge.hand_over().await;

    assert_eq!(answers(&edge, 20).await, ["healthy"; 20]);
    assert_eq!(edge.metric(&of("target_healthy", target.address)), 0.0);
    assert_eq!(edge.metric(&of("target_healthy", healthy.address)), 1.0);
    drop(successor);
}

/// The status of the answer to a request.
pub async fn ask(edge: &Edge, request: &str) -> u16 {
    let mut client = edge.connect().await;
    client.send(request).await;
    client.answer().await.status
}

/// The bodies of the answers to this many requests.
pub async fn answers(edge: &Edge, count: usize) -> Vec<String> {
    let mut client = edge.connect().await;
    let mut answers = Vec::new();
    for _ in 0..count {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        answers.push(client.answer().await.text().to_owned());
    }
    answers
}

pub fn of(name: &str, target: SocketAddr) -> String {
    format!("{name}{{target=\"{target}\",target_group=\"group\"}}")
}

fn checks(target: SocketAddr, result: &str) -> String {
    format!("health_checks_total{{result=\"{result}\",target=\"{target}\",target_group=\"group\"}}")
}

/// Waits until this many checks of a target had this result.
async fn checked(edge: &Edge, target: SocketAddr, result: &str, count: f64) {
    let (metric, what) = (
        checks(target, result),
        format!("{count} checks have {result}"),
    );
    eventually(&what, || (edge.metric(&metric) >= count).then_some(())).await;
}

pub async fn is_healthy(edge: &Edge, target: SocketAddr, is_healthy: bool) {
    let metric = of("target_healthy", target);
    let expected = f64::from(u8::from(is_healthy));
    let what = format!("{metric} is {expected}");
    eventually(&what, || (edge.metric(&metric) == expected).then_some(())).await;
}

/// What the status says of a target.
pub fn status(edge: &Edge, target: SocketAddr) -> Value {
    let page = edge.admin_page("/api/v1/status");
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let mut status: Value = serde_json::from_str(body).unwrap();
    let targets = status["targetGroups"][0]["targets"].as_array_mut().unwrap();
    let address = target.to_string();
    let found = targets.iter_mut().find(|one| one["address"] == address);
    found.expect("the target is there").take()
}
