//! The clocks of a tunnel: how long its handshake, its silence, its life and its goodbye may take.

use std::time::{Duration, Instant};

use tokio::time::interval;

use crate::harness::client::HANDSHAKE;
use crate::harness::target::unresponsive;
use crate::harness::{Config, Connection, Edge, Target, eventually};
use crate::relay::{GOING_AWAY, HI, close_of_client, edge_with, listening, open, reason};

const HI_MASKED: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

#[tokio::test]
async fn a_direction_that_goes_on_too_long_after_the_other_has_ended_is_cut() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.finish().await;
        std::future::pending().await
    })
    .await;
    let edge = edge_with("{halfCloseTimeout: 200}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("target_closed", None));
    assert!(line["durationMs"].as_f64().unwrap() >= 200.0);
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_with_1001_on_both_sides_and_logged_as_idle_timeout() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::upgrading(move |mut connection: Connection| {
        let heard = heard.clone();
        async move {
            connection.send(HI).await;
            let close = connection.exactly(8).await;
            heard.send(close).unwrap();
            connection.send(GOING_AWAY).await;
            connection.to_end().await;
        }
    })
    .await;
    let edge = edge_with("{idleTimeout: 200}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.exactly(4).await, HI);

    assert_eq!(client.exactly(4).await, GOING_AWAY);
    client.send(close_of_client(1001)).await;

    assert_eq!(client.to_end().await, b"");
    let close = hears.recv().await.unwrap();
    let code: Vec<u8> = close[6..]
        .iter()
        .zip(&close[2..])
        .map(|(byte, key)| byte ^ key)
        .collect();
    assert_eq!(
        (&close[..2], code.as_slice()),
        (&[0x88, 0x82][..], &[0x03, 0xE9][..])
    );
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("idle_timeout", Some(1001)));
    assert_eq!(line["framesOut"], 2, "its own, and its answer to ours");
    assert!(line["durationMs"].as_f64().unwrap() >= 200.0);
    edge.metric_becomes(r#"tunnels_closed_total{forwarding_rule="edge",reason="idle_timeout",target_group="group"}"#, 1.0).await;
}

#[tokio::test]
async fn bytes_in_either_direction_keep_a_tunnel_from_being_idle() {
    let target = listening().await;
    let edge = edge_with("{idleTimeout: 1000, closeTimeout: 100}", &target).await;
    let mut client = open(&edge).await;
    let (began, mut pace) = (Instant::now(), interval(Duration::from_millis(100)));
    while began.elapsed() < Duration::from_millis(2500) {
        pace.tick().await;
        client.send(HI_MASKED).await;
    }
    assert!(edge.log().is_empty());
    client.exactly(4).await;
    assert_eq!(reason(&edge.log_line().await), ("idle_timeout", Some(1001)));
}

#[tokio::test]
async fn a_tunnel_that_lived_for_long_enough_is_closed_however_busy_it_is() {
    let target = Target::echo().await;
    let edge = edge_with(
        "{maxLifetime: 600, lifetimeJitter: 0, closeTimeout: 300}",
        &target,
    )
    .await;
    let mut client = open(&edge).await;
    let is_busy = || {
        client.stream.try_write(&HI_MASKED).ok();
        (!edge.log().is_empty()).then_some(())
    };
    eventually("it is over", is_busy).await;
    let heard = client.to_end().await;
    assert!(
        heard.ends_with(&GOING_AWAY),
        "nothing comes after the Close: {heard:?}"
    );
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("max_lifetime", Some(1001)));
    assert!(line["durationMs"].as_f64().unwrap() >= 600.0);
}

#[tokio::test]
async fn a_stream_that_is_no_framing_passes_and_is_cut_when_idle() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send("this is not a frame").await;
        connection.to_end().await;
    })
    .await;
    let edge = edge_with("{idleTimeout: 200, closeTimeout: 300}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, b"this is not a frame");
    assert_eq!(edge.log_line().await["closeReason"], "idle_timeout");
}

#[tokio::test]
async fn sides_that_have_said_close_and_stay_are_cut_after_the_close_timeout() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(8).await;
        connection.send([0x88, 2, 0x03, 0xE8]).await;
        std::future::pending().await
    })
    .await;
    let edge = edge_with("{closeTimeout: 200}", &target).await;
    let mut client = open(&edge).await;
    client.send(close_of_client(1000)).await;
    assert_eq!(client.to_end().await, [0x88, 2, 0x03, 0xE8]);
    assert_eq!(
        reason(&edge.log_line().await),
        ("client_closed", Some(1000))
    );
}

#[tokio::test]
async fn an_http_rule_may_have_clocks_of_its_own() {
    let target = listening().await;
    let with = "tunnel: {idleTimeout: 200, closeTimeout: 200}";
    let configuration = Config::forwarding_to(&[target.address]).http_rule(with);
    let edge = Edge::start(&configuration).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, GOING_AWAY);
    assert_eq!(reason(&edge.log_line().await), ("idle_timeout", Some(1001)));
}

#[tokio::test]
async fn a_handshake_without_an_answer_is_504_after_the_handshake_timeout() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let edge = edge_with("{handshakeTimeout: 300}", &target).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.answer_to_end().await.status, 504);
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "refused");
    assert!(
        (300.0..2000.0).contains(&line["durationMs"].as_f64().unwrap()),
        "{line}"
    );
}

#[tokio::test]
async fn the_handshake_timeout_counts_the_connects_too() {
    let with = "tunnel: {handshakeTimeout: 400}";
    let configuration = Config::forwarding_to(&[unresponsive()]).rule(with);
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.answer_to_end().await.status, 504);
    let took = edge.log_line().await["durationMs"].as_f64().unwrap();
    assert!((400.0..1900.0).contains(&took), "{took}");
}
