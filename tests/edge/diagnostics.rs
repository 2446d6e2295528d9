//! Strangers do not fill standard error: of each kind of line one is written, and then, once in ten
//! seconds, how many there were.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::harness::admin::ask_at;
use crate::harness::client::status;
use crate::harness::edge::{free_addresses, get_now};
use crate::harness::tls;
use crate::harness::{Authority, Config, Connection, Edge, Process, Target, eventually};

/// A target whose answers are longer than they say.
async fn talkative() -> Target {
    Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, and more";
        connection.send(answer).await;
    })
    .await
}

fn lines_about(edge: &Edge, word: &str) -> Vec<String> {
    let said = edge.diagnostics();
    let lines = said.lines().filter(|line| line.contains(word));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_target_that_sends_more_than_its_answer_writes_nothing() {
    let target = talkative().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for _ in 0..50 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    edge.log_lines(50).await;
    let said = edge.diagnostics();
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn who_is_not_heard_at_the_admin_address_has_one_line() {
    let target = Target::named("target").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let began = Instant::now();
    for _ in 0..100 {
        let answer = ask_at(
            edge.admin,
            "GET",
            "/metrics",
            &[("Host", "evil.example")],
            "",
        );
        assert_eq!(status(&answer), 421);
    }
    let about = || lines_about(&edge, "is refused");
    eventually("the line", || about().first().cloned()).await;
    assert!(
        began.elapsed() > Duration::from_secs(10) || about().len() == 1,
        "{:?}",
        about()
    );
    assert!(edge.metric("diagnostics_suppressed_total") >= 98.0);
}

#[tokio::test]
async fn who_cannot_shake_hands_is_counted_and_has_no_line() {
    /// A record with a message that only servers send.
    const SERVER_HELLO_DONE: [u8; 9] = [22, 3, 1, 0, 4, 14, 0, 0, 0];
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let edge = tls::start(&authority, "", &target).await;
    for _ in 0..20 {
        let (mut stream, _) = edge.connect().await.into_parts();
        stream.write_all(&SERVER_HELLO_DONE).await.unwrap();
    }
    let failed = || edge.refusals("tls_handshake");
    eventually("they are counted", || (failed() == 20.0).then_some(())).await;
    assert!(
        lines_about(&edge, "WARN").is_empty(),
        "{}",
        edge.diagnostics()
    );
}

#[tokio::test]
async fn what_pingora_says_of_a_head_holds_no_secret() {
    let target = Target::named("target").await;
    let [address, admin] = free_addresses();
    let folder = tempfile::tempdir().unwrap();
    let text = Config::forwarding_to(&[target.address])
        .listen(address)
        .admin(admin);
    let file = text.write_to(folder.path());
    let arguments = ["-c", file.to_str().unwrap()];
    let process = Process::start_in(&[("RUST_LOG", "debug")], &arguments);
    let livez = || get_now(admin, "/readyz").filter(|answer| answer.contains(" 200 "));
    eventually("it is ready", livez).await;
    let mut client = Connection::open(address).await;
    client
        .send("GET /?token=S3CR3T HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    client.answer_to_end().await;
    let shows = || {
        process
            .diagnostics()
            .contains("token=<redacted>")
            .then_some(())
    };
    eventually("a line shows the head", shows).await;
    assert!(!process.diagnostics().contains("S3CR3T"));
}
