//! `tracing.traceparent`: requests belong to a trace, which the target and the log are told.

use crate::harness::client::header;
use crate::harness::{Config, Edge, Target};

const KNOWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn start(target: &Target, wanted: bool) -> Edge {
    let tracing = format!("tracing: {{traceparent: {wanted}}}");
    Edge::start(&Config::forwarding_to(&[target.address]).top(&tracing)).await
}

async fn ask(edge: &Edge, lines: &str) {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    assert_eq!(edge.request(&head).await.text(), "hello");
}

#[tokio::test]
async fn a_traceparent_is_passed_and_made_where_there_is_none() {
    let target = Target::answering("hello").await;
    let edge = start(&target, true).await;
    ask(
        &edge,
        &format!("traceparent: {KNOWN}\r\ntracestate: a=b\r\n"),
    )
    .await;
    ask(&edge, "").await;
    ask(&edge, "traceparent: 00-0-0-0\r\ntracestate: a=b\r\n").await;
    let lines = edge.log_lines(3).await;
    let heads = target.heads();
    for (line, head) in lines.iter().zip(&heads) {
        assert_eq!(line["traceparent"].as_str(), header(head, "traceparent"));
    }
    assert_eq!(lines[0]["traceparent"], KNOWN);
    assert_eq!(header(&heads[0], "tracestate"), Some("a=b"));
    let made = [1, 2].map(|place| lines[place]["traceparent"].as_str().unwrap());
    assert!(
        made.iter()
            .all(|made| made.len() == 55 && made.ends_with("-01"))
    );
    assert_ne!(made[0], made[1]);
    assert_eq!(header(&heads[2], "tracestate"), None);
}

#[tokio::test]
async fn a_tunnel_belongs_to_a_trace() {
    let target = Target::named("chat").await;
    let edge = start(&target, true).await;
    edge.tunnel().await.0.leave(1000).await;
    let line = edge.log_line().await;
    let told = header(&target.heads()[0], "traceparent").map(str::to_owned);
    assert_eq!(line["traceparent"].as_str().map(str::to_owned), told);
    assert!(told.is_some());
}

#[tokio::test]
async fn without_the_key_nothing_is_made_or_logged_and_what_is_there_passes() {
    let target = Target::answering("hello").await;
    let edge = start(&target, false).await;
    ask(&edge, "").await;
    ask(&edge, &format!("traceparent: {KNOWN}\r\n")).await;
    assert_eq!(header(&target.heads()[0], "traceparent"), None);
    assert_eq!(header(&target.heads()[1], "traceparent"), Some(KNOWN));
    for line in edge.log_lines(2).await {
        assert_eq!(line.get("traceparent"), None);
    }
}
