//! What a client, or a limit of ours, may have caused on a connection of HTTP/2 is not counted as
//! the target's failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use h2::Reason;
use tokio::io::AsyncReadExt as _;

use crate::harness::config::ONE_IS_ENOUGH;
use crate::harness::http2::{self, CONTINUATION, Frames, HEADERS, RST_STREAM, SETTINGS, frame};
use crate::harness::{Config, Connection, Edge, Target, eventually};

const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];

/// Asks a target of HTTP/2 that the first failure ejects.
async fn strict(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address])
        .group("protocolVersion: HTTP2")
        .group(ONE_IS_ENOUGH);
    Edge::start(&configuration).await
}

fn ejections(edge: &Edge, target: &Target) -> f64 {
    let address = target.address;
    edge.metric(&format!(
        "target_ejections_total{{target=\"{address}\",target_group=\"group\"}}"
    ))
}

/// A failure of the target's own is noticed: the others were not overlooked.
async fn a_crash_counts(edge: &Edge, target: &Target) {
    assert_eq!(ejections(edge, target), 0.0);
    assert_eq!(edge.get("/close").await.status, 502);
    let is_counted = || (ejections(edge, target) == 1.0).then_some(());
    eventually("the failure is counted", is_counted).await;
}

#[tokio::test]
async fn a_target_that_complains_of_what_it_is_sent_has_not_failed() {
    let target = http2::target(async |request, mut answer| {
        let number = request.uri().path().trim_start_matches('/').parse();
        let reason = number.map_or(Reason::INTERNAL_ERROR, u32::into);
        answer.send_reset(reason);
    })
    .await;
    let edge = strict(&target).await;
    for reason in [
        Reason::PROTOCOL_ERROR,
        Reason::FLOW_CONTROL_ERROR,
        Reason::FRAME_SIZE_ERROR,
        Reason::STREAM_CLOSED,
        Reason::COMPRESSION_ERROR,
        Reason::ENHANCE_YOUR_CALM,
    ] {
        let path = format!("/{}", u32::from(reason));
        assert_eq!(edge.get(&path).await.status, 502, "{reason}");
        assert_eq!(ejections(&edge, &target), 0.0, "{reason}");
    }
    a_crash_counts(&edge, &target).await;
}

#[tokio::test]
async fn a_limit_of_ours_is_not_the_targets_failure() {
    let connections = Arc::<AtomicUsize>::default();
    let target = Target::scripted(move |mut connection: Connection| {
        let number = connections.fetch_add(1, SeqCst);
        async move {
            connection.stream.read_exact(&mut [0; 24]).await.unwrap();
            let mut frames = Frames(connection);
            frames.next_of(&[HEADERS]).await;
            // A head of more parts than are put together, and then a failure.
            let part = frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b");
            let endless = [frame(HEADERS, 0, 1, b"\x88"), part.repeat(1000)].concat();
            let said = match number {
                0 => endless,
                _ => frame(RST_STREAM, 0, 1, &INTERNAL_ERROR),
            };
            let settings = frame(SETTINGS, 0, 0, &[]);
            frames.0.send([settings, said].concat()).await;
            frames.0.to_end().await;
        }
    })
    .await;
    let edge = strict(&target).await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = edge.log_line().await;
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("error detected"), "{line}");
    a_crash_counts(&edge, &target).await;
}
