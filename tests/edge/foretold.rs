//! What `explain` foretells of a request is what becomes of it: of random requests, by random small
//! configurations.
//!
//! `CULVERT_SEED` has other ones tried than those of each run, `CULVERT_ROUNDS` more of them.

mod arbitrary;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::harness::admin::ask;
use crate::harness::client::{header, status};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Connection, Edge, Target, eventually};
use arbitrary::{Request, configuration, request};

/// How many configurations are tried, and how many requests by each.
const ROUNDS: usize = 20;
const REQUESTS: usize = 30;

/// A target that opens the tunnel that it is asked for, whichever it is.
async fn target() -> Target {
    Target::scripted(|mut connection: Connection| async move {
        while connection.has_more().await {
            let head = connection.head().await;
            let answer = match header(&head, "upgrade") {
                None => {
                    connection.body(&head).await;
                    ok("")
                }
                Some(protocol) if protocol.eq_ignore_ascii_case("websocket") => {
                    switching_protocols(&head)
                }
                Some(protocol) => format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: {protocol}\r\n\r\n"
                ),
            };
            connection.send(answer).await;
        }
    })
    .await
}

fn foretold(edge: &Edge, request: &Request) -> Value {
    let mut headers = serde_json::Map::new();
    headers.insert("Host".to_owned(), json!([]));
    for (name, value) in &request.headers {
        let values = headers.entry(*name).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    let sample = json!({
        "method": request.method,
        "path": request.target,
        "httpVersion": request.version,
        "headers": headers,
        "clientIp": "127.0.0.1",
    });
    let (status, told) = ask(edge, "POST", "/api/v1/explain", &[], &sample.to_string());
    assert_eq!(status, 200, "{sample}: {told}");
    told
}

/// The head of the answer, once there are so many lines in the log.
async fn happened(edge: &Edge, request: &Request, lines: usize) -> String {
    let mut client = edge.connect().await;
    client.send(request.text()).await;
    let answer = client.head().await;
    drop(client);
    let is_logged = || (edge.count_lines() >= lines).then_some(());
    eventually("the request is in the log", is_logged).await;
    answer
}

/// What differs between what was foretold and what came of it.
fn difference(told: &Value, answer: &str, line: &Value) -> Option<&'static str> {
    let (action, refusal) = (&told["action"], &told["refusal"]);
    let is_tunnel = action["websocket"] == true || action["upgrade"].is_string();
    let expected = match (&refusal["statusCode"], &action["statusCode"]) {
        (Value::Null, Value::Null) => json!(if is_tunnel { 101 } else { 200 }),
        (Value::Null, status) | (status, _) => status.clone(),
    };
    let is_by_chance = action["targetGroups"].is_array();
    let groups = action["targetGroups"].as_array().into_iter().flatten();
    let group = &line["targetGroup"];
    let has_target = refusal.is_null() && !is_by_chance && group != "random";
    let error = if refusal.is_null() {
        &Value::Null
    } else {
        &refusal["detail"]
    };
    let checks = [
        ("the rule", told["matched"] == line["httpRule"]),
        ("the status", expected == status(answer)),
        ("the status in the log", expected == line["httpStatusCode"]),
        ("the refusal", *error == line["error"]),
        ("the client", told["clientIp"] == line["clientIp"]),
        (
            "the location",
            action["location"].as_str() == header(answer, "location"),
        ),
        (
            "the group",
            action["targetGroup"] == *group || groups.into_iter().any(|one| one == group),
        ),
        (
            "the target",
            !has_target || action["target"] == line["target"],
        ),
    ];
    checks
        .iter()
        .find(|(_, holds)| !holds)
        .map(|(what, _)| *what)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn any<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

#[tokio::test]
async fn whatever_is_asked_and_configured_what_is_foretold_comes_true() {
    let seed = number("CULVERT_SEED").unwrap_or(16);
    let rounds = number("CULVERT_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let targets = [target().await, target().await];
    let configurations = configuration(targets.each_ref().map(|target| target.address));
    let requests = request();
    let edge = Edge::start(&any(&configurations, &mut runner)).await;
    for round in 0..rounds {
        let configuration = any(&configurations, &mut runner);
        edge.reload(&configuration).await;
        let mut asked = Vec::new();
        for number in 1..=REQUESTS {
            let request = any(&requests, &mut runner);
            let told = foretold(&edge, &request);
            let answer = happened(&edge, &request, round * REQUESTS + number).await;
            asked.push((request.text(), told, answer));
        }
        let lines = edge.log_lines((round + 1) * REQUESTS).await;
        for ((request, told, answer), line) in asked.iter().zip(&lines[round * REQUESTS..]) {
            assert_eq!(
                difference(told, answer, line),
                None,
                "CULVERT_SEED={seed}\n{configuration}\n{request}\n{told:#}\n{answer}\n{line}"
            );
        }
    }
}
