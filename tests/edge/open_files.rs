//! What becomes of clients when the open files run out: those that are there are served on, and the
//! others wait.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A Culvert that is patient with clients.
async fn start(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address]);
    let patient = configuration.rule("clientTimeout: 50s");
    Edge::start(&patient).await
}

/// Opens more connections than the process can accept with this many files.
async fn exhaust(edge: &Edge, most: usize) -> Vec<Connection> {
    edge.limit_open_files(most as u64);
    let mut held = Vec::new();
    for _ in 0..2 * most {
        held.push(edge.connect().await);
    }
    edge.says("cannot accept").await;
    held
}

#[tokio::test]
async fn when_the_open_files_run_out_tunnels_go_on_and_new_clients_wait() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let (mut tunnel, _) = edge.tunnel().await;
    let most = edge.open_files() + 20;
    let mut held = exhaust(&edge, most).await;
    let mut waiting = edge.connect().await;

    let (began, before) = (Instant::now(), edge.processor_time());
    while began.elapsed() < Duration::from_secs(2) {
        tunnel.say_hi().await;
        sleep(Duration::from_millis(200)).await;
    }
    let share = (edge.processor_time() - before) / began.elapsed().as_secs_f64();

    assert!(share < 0.1, "{:.0} % of a core", share * 100.0);
    // It has tried twenty times since.
    assert!(edge.errors_about("cannot accept") <= 3);
    held.clear();
    let are_free = || (edge.open_files() < most - 5).then_some(());
    eventually("files are free", are_free).await;
    waiting.send(GET).await;
    assert_eq!(soon("the answer", waiting.answer()).await.text(), "target");
    edge.says("accepts again").await;
    tunnel.say_hi().await;
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_to_for_want_of_files_is_a_503_and_stays_healthy() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let mut clients = [edge.connect().await, edge.connect().await];
    let handshake = crate::harness::client::HANDSHAKE;
    // They are there, and have no way to a target yet.
    let active = || edge.metric("connections_active{forwarding_rule=\"edge\"}");
    eventually("they are accepted", || (active() == 2.0).then_some(())).await;
    let open = edge.open_files();
    edge.limit_open_files(3);

    for (client, request) in clients.iter_mut().zip([GET, handshake]) {
        client.send(request).await;
        let answer = client.answer_to_end().await;
        assert_eq!(answer.status, 503, "{request}");
        assert_eq!(answer.text(), "503 no target is available\n");
    }

    for line in edge.log_lines(2).await {
        assert_eq!(line["closeReason"], "refused");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("Too many open files"), "{error}");
        assert_eq!(line["target"], target.address.to_string());
    }
    // Some checks could not be made meanwhile: two of them would have turned the target's health.
    sleep(Duration::from_millis(500)).await;
    edge.limit_open_files(open as u64 + 100);
    let target_healthy = format!(
        "target_healthy{{target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    assert_eq!(edge.metric(&target_healthy), 1.0);
    let failed = format!(
        "health_checks_total{{result=\"failed\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    assert_eq!(edge.metric(&failed), 0.0);
    assert_eq!(edge.get("/").await.text(), "target");
}
