//! Which tunnels move in an upgrade, and which stay; what of frames and closes goes along.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::http2::{Http2, clear};
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};
use crate::moved_tunnels::{lines, one_is_left, upgradable, upgrade};

#[tokio::test]
async fn those_over_http_2_stay_in_the_old_process_and_it_stays_for_them_alone() {
    let target = Target::named("target").await;
    let edge = Edge::start(&upgradable(clear(target.address, ""))).await;
    let mut shared = Http2::connect(edge.address).await;
    let mut stays = shared.tunnel("/stays").await;
    let (mut moves, _) = edge.tunnel().await;
    upgrade(&edge).await;
    let labels = format!(
        "forwarding_rule=\"edge\",target=\"{}\",target_group=\"group\"",
        target.address
    );
    edge.metric_becomes(&format!("tunnels_adopted_total{{{labels}}}"), 1.0)
        .await;
    edge.metric_becomes("old_generation_tunnels", 1.0).await;
    assert_eq!(edge.tunnels_active(target.address), 2.0);
    moves.say_hi().await;
    stays.say_hi().await;
    assert_eq!(edge.processes().len(), 2);
    drop((stays, shared));
    one_is_left(&edge).await;
    moves.say_hi().await;
    drop(moves);
    lines(&edge, 2).await;
}

#[tokio::test]
async fn messages_are_numbered_on_and_frames_counted_over_all_processes() {
    let target = Target::echo().await;
    let edge = Edge::start(&upgradable(Config::forwarding_to(&[target.address]))).await;
    let mut client = edge.websocket("/chat").await;
    let mut number = 0;
    for _ in 0..2 {
        let upgrading = async {
            upgrade(&edge).await;
            one_is_left(&edge).await;
        };
        let mut upgrading = Box::pin(upgrading);
        let mut is_done = false;
        while !is_done {
            is_done = tokio::time::timeout(Duration::from_millis(2), &mut upgrading)
                .await
                .is_ok();
            number += 1;
            let message = Message::text(number.to_string());
            client.send(message.clone()).await.unwrap();
            let echo = soon("the echo", client.next()).await.unwrap().unwrap();
            assert_eq!(echo, message);
        }
    }
    client.close(None).await.unwrap();
    while client.next().await.is_some_and(|message| message.is_ok()) {}
    let line = lines(&edge, 1).await.remove(0);
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["framesIn"], number + 1);
    assert_eq!(line["framesOut"], number + 1);
}

#[tokio::test]
async fn the_time_that_one_is_idle_goes_on_in_the_new_process() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let clocks = "tunnel: {idleTimeout: 4s, closeTimeout: 200ms}";
    let config = Config::forwarding_to(&[target.address]).rule(clocks);
    let edge = Edge::start(&upgradable(config)).await;
    let began = Instant::now();
    let (mut client, _) = edge.tunnel().await;
    let opened = Instant::now();
    upgrade(&edge).await;
    one_is_left(&edge).await;
    soon("the end", client.to_end()).await;
    assert!(opened.elapsed() < Duration::from_secs(8), "it began anew");
    assert!(began.elapsed() >= Duration::from_secs(4));
    let line = lines(&edge, 1).await.remove(0);
    assert_eq!(line["closeReason"], "idle_timeout");
}

#[tokio::test]
async fn one_that_is_half_closed_moves_as_it_is() {
    let has_moved = Arc::new(Notify::new());
    let is_told = Arc::clone(&has_moved);
    let target = Target::upgrading(move |mut connection: Connection| {
        let is_told = Arc::clone(&is_told);
        async move {
            let bytes = connection.to_end().await;
            is_told.notified().await;
            connection.send(bytes).await;
        }
    })
    .await;
    let config = Config::forwarding_to(&[target.address]).rule("tunnel: {halfCloseTimeout: 60s}");
    let edge = Edge::start(&upgradable(config)).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("hello").await;
    client.finish().await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    has_moved.notify_one();
    assert_eq!(client.to_end().await, b"hello");
    lines(&edge, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_open_tunnels_never_jumps() {
    const TUNNELS: usize = 200;
    let target = Target::mirror().await;
    let edge = Edge::start(&upgradable(Config::forwarding_to(&[target.address]))).await;
    let clients = edge.tunnels(TUNNELS).await;
    let upgrading = async {
        for _ in 0..2 {
            upgrade(&edge).await;
            one_is_left(&edge).await;
        }
    };
    let mut upgrading = Box::pin(upgrading);
    let mut seen = Vec::new();
    let pause = Duration::from_millis(1);
    while tokio::time::timeout(pause, &mut upgrading).await.is_err() {
        seen.push(edge.tunnels_active(target.address));
    }
    assert!(seen.iter().all(|seen| *seen == TUNNELS as f64), "{seen:?}");
    drop(clients);
    let are_gone = || (edge.tunnels_active(target.address) == 0.0).then_some(());
    eventually("they are gone", are_gone).await;
    lines(&edge, TUNNELS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_go_at_once_and_the_old_process_with_them() {
    const TUNNELS: usize = 2000;
    let target = Target::mirror().await;
    let edge = Edge::start(&upgradable(Config::forwarding_to(&[target.address]))).await;
    let mut clients = edge.tunnels(TUNNELS).await;
    let mut witness = clients.pop().unwrap();
    let mut upgrading = Box::pin(async {
        upgrade(&edge).await;
        let began = Instant::now();
        one_is_left(&edge).await;
        began.elapsed()
    });
    let mut longest = Duration::ZERO;
    let took = loop {
        let pause = Duration::from_millis(1);
        if let Ok(took) = tokio::time::timeout(pause, &mut upgrading).await {
            break took;
        }
        let asked = Instant::now();
        witness.send("hello").await;
        assert_eq!(witness.exactly(5).await, b"hello");
        longest = longest.max(asked.elapsed());
    };
    println!("gone after {took:?}, the longest echo took {longest:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    drop((clients, witness));
    let lines = lines(&edge, TUNNELS).await;
    assert!(
        lines
            .iter()
            .all(|line| line["closeReason"] == "client_closed")
    );
}
