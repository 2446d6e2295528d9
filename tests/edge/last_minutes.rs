//! What somebody who is woken asks first: what happened in the last minutes, who is refused, and
//! what is about to run out.

use serde_json::{Value, json};

use crate::harness::admin::{get, send};
use crate::harness::http2::{Http2, clear};
use crate::harness::target::refusing;
use crate::harness::{Authority, Config, Edge, Target, eventually, tls};
use crate::moved_tunnels::{upgradable, upgrade};

const HISTORY: &str = "/api/v1/history";
const AWAY: &str = "- {name: away, type: FORWARD, targetGroup: away,
    conditions: [{type: PATH, condition: EQUALS, value: /away}]}";

/// The sum of a figure over all samples.
fn sum(history: &Value, pointer: &str) -> u64 {
    let samples = history["samples"].as_array().unwrap().iter();
    let figures = samples.filter_map(|sample| sample.pointer(pointer)?.as_u64());
    figures.sum()
}

/// The list of the status that this names.
fn listed(status: &Value, key: &str) -> Vec<Value> {
    status[key].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_minutes_are_told_with_what_opened_closed_and_was_refused() {
    let target = Target::mirror().await;
    let config = Config::forwarding_to(&[target.address])
        .http_rules(AWAY)
        .add_group("away")
        .target(refusing(), "healthCheckEnabled: false");
    let edge = Edge::start(&config).await;
    let (tunnel, _) = edge.tunnel().await;
    let (stays, _) = edge.tunnel().await;
    assert_eq!(edge.get("/away").await.status, 503);
    drop(tunnel);
    let history = eventually("it is in the samples", || {
        let history = get(&edge, HISTORY);
        let all = sum(&history, "/opened") == 2
            && sum(&history, "/closed/client_closed") == 1
            && sum(&history, "/refused/no_target") == 1;
        all.then_some(history)
    })
    .await;
    assert_eq!(sum(&history, "/handshakes"), 2);
    assert_eq!(sum(&history, "/serverErrors"), 1);
    assert!(sum(&history, "/bytesIn") > 0 && sum(&history, "/bytesOut") > 0);
    let last = listed(&history, "samples").pop().unwrap();
    assert_eq!(
        (&last["tunnels"], &last["groups"]),
        (&json!(1), &json!([{"name": "group", "tunnels": 1}]))
    );
    let handshakes = listed(&history, "samples");
    let told = handshakes
        .iter()
        .any(|sample| sample["handshakeP99Ms"].as_f64() > Some(0.0));
    assert!(told, "{history}");
    let next = get(&edge, &format!("{HISTORY}?since={}", last["number"]));
    assert!(listed(&next, "samples").len() <= 1, "{next}");
    assert_eq!(send(&edge, "GET", &format!("{HISTORY}?until=1")).0, 400);
    drop(stays);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_refusals_and_errors_and_what_there_is_left() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = tls::start(&authority, "maxConnections: 7", &target).await;
    let mut connection = edge.connect().await;
    // No record of TLS.
    connection.send([0xff; 16]).await;
    connection.has_more().await;
    let status = eventually("the refusal is told", || {
        let status = get(&edge, "/api/v1/status");
        (!listed(&status, "refusals").is_empty()).then_some(status)
    })
    .await;
    let refused = &status["refusals"][0];
    assert_eq!(
        (&refused["reason"], &refused["total"], &refused["lately"]),
        (&json!("tls_handshake"), &json!(1), &json!(1))
    );
    assert!(refused["perSecond"].as_f64() > Some(0.0));
    let certificate = &status["certificates"][0];
    assert_eq!(
        (&certificate["name"], &certificate["names"]),
        (&json!("one"), &json!([tls::HOST]))
    );
    assert!(
        certificate["daysLeft"].as_i64().unwrap() > 0,
        "{certificate}"
    );
    for pointer in ["/files/open", "/files/limit", "/connections/limit"] {
        assert!(
            status.pointer(pointer).unwrap().as_u64() > Some(5),
            "{pointer}"
        );
    }
    assert_eq!(
        status["lostLines"],
        json!({"accessLog": 0, "diagnostics": 0})
    );
    assert_eq!(status["memory"]["resets"], 0);
    assert_eq!(status["oldProcesses"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_5xx_are_told_by_their_rule() {
    let config = Config::forwarding_to(&[refusing()]);
    let edge = Edge::start(&config).await;
    assert_eq!(edge.get("/").await.status, 503);
    let rule = "/forwardingRules/0/httpRules/0";
    eventually("it is told", || {
        let status = get(&edge, "/api/v1/status");
        let rule = status.pointer(rule)?.clone();
        (rule["serverErrors"] == 1 && rule["latelyServerErrors"] == 1).then_some(())
    })
    .await;
    assert_eq!(
        get(&edge, "/api/v1/status")["forwardingRules"][0]["serverErrors"],
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tunnels_stay_in_an_old_process_is_told() {
    let target = Target::named("target").await;
    let edge = Edge::start(&upgradable(clear(target.address, ""))).await;
    let mut shared = Http2::connect(edge.address).await;
    let stays = shared.tunnel("/stays").await;
    upgrade(&edge).await;
    let old = eventually("the old process has told", || {
        let (code, status) = send(&edge, "GET", "/api/v1/status");
        let old = listed(&status, "oldProcesses").pop()?;
        (code == 200 && old["staying"]["http2"] == 1).then_some(old)
    })
    .await;
    assert_eq!(
        (&old["pid"], &old["tunnels"]),
        (&json!(edge.id()), &json!(1))
    );
    drop((stays, shared));
}
