//! `mirrors` of a rule: other target groups get copies of its requests, and nobody waits for them.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};

use crate::harness::target::{ok, refusing};
use crate::harness::{Config, Connection, Edge, Target, eventually, http2};

/// Forwards to one target, and has copies sent to others, with these keys.
fn mirrored(target: SocketAddr, mirror: SocketAddr, keys: &str) -> Config {
    let rule = format!(
        "mirrors: [{{targetGroup: mirror, {keys}}}], headers: {{request: {{set: {{X-Edge: fra1}}}}}}"
    );
    Config::forwarding_to(&[target])
        .http_rule(&rule)
        .add_group("mirror")
        .target(mirror, "")
}

/// How many copies there were with this result.
fn copies(edge: &Edge, result: &str) -> f64 {
    let labels = format!(r#"forwarding_rule="edge",result="{result}",target_group="mirror""#);
    edge.metric(&format!("mirrored_requests_total{{{labels}}}"))
}

async fn counted(edge: &Edge, result: &str, count: f64) {
    eventually(&format!("{count} of {result}"), || {
        (copies(edge, result) == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_has_the_head_and_the_body_that_the_target_gets() {
    let (target, mirror) = (Target::answering("target").await, Target::showing().await);
    let edge = Edge::start(&mirrored(target.address, mirror.address, "percent: 100")).await;
    let chunked = "POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(edge.request(chunked).await.text(), "target");
    assert_eq!(edge.get("/c").await.text(), "target");
    counted(&edge, "answered", 2.0).await;
    let mut heads = mirror.heads();
    heads.sort();
    let (get, post) = (heads[0].to_ascii_lowercase(), heads[1].to_ascii_lowercase());
    assert!(
        get.starts_with("get /c http/1.1\r\n") && get.contains("\r\nx-edge: fra1\r\n"),
        "{get}"
    );
    assert!(!get.contains("content-length"), "{get}");
    assert!(post.starts_with("post /a?b http/1.1\r\n"), "{post}");
    assert!(
        post.contains("\r\ncontent-length: 4\r\n") && !post.contains("chunked"),
        "{post}"
    );
    for line in edge.log_lines(2).await {
        assert_eq!(line["targetGroup"], "group");
    }
}

#[tokio::test]
async fn a_group_of_http2_gets_copies_too() {
    let target = Target::answering("target").await;
    // One that has not got the body does not answer.
    let mirror = http2::target(
        async |request: Request<RecvStream>, mut reply: SendResponse<Bytes>| {
            let part = request.into_body().data().await;
            if part.is_some_and(|part| part.is_ok_and(|part| part == "body")) {
                reply.send_response(Response::new(()), true).unwrap();
            }
        },
    )
    .await;
    let config = mirrored(target.address, mirror.address, "percent: 100");
    let edge = Edge::start(&config.group("protocolVersion: HTTP2")).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(edge.request(post).await.text(), "target");
    counted(&edge, "answered", 1.0).await;
}

#[tokio::test]
async fn a_target_that_only_looks_on_makes_nobody_wait() {
    let target = Target::answering("target").await;
    let silent = Target::scripted(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let config = mirrored(target.address, silent.address, "percent: 100");
    let edge = Edge::start(&config.group("responseTimeout: 60s")).await;
    for _ in 0..3 {
        assert_eq!(edge.get("/").await.text(), "target");
    }
    eventually("three copies", || (silent.connections() == 3).then_some(())).await;
    assert_eq!(copies(&edge, "answered"), 0.0);

    let edge = Edge::start(&mirrored(target.address, refusing(), "percent: 100")).await;
    assert_eq!(edge.get("/").await.text(), "target");
    counted(&edge, "failed", 1.0).await;
}

#[tokio::test]
async fn a_share_of_requests_is_copied() {
    let (target, mirror) = (
        Target::answering("target").await,
        Target::answering("mirror").await,
    );
    let share = "fraction: {numerator: 1, denominator: 2}";
    let edge = Edge::start(&mirrored(target.address, mirror.address, share)).await;
    let mut client = edge.connect().await;
    for _ in 0..100 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.answer().await;
    }
    let none = Edge::start(&mirrored(target.address, mirror.address, "percent: 0")).await;
    none.get("/").await;
    // Off by seven times the standard deviation once in 10 to the 12th runs.
    eventually("about a half", || {
        ((copies(&edge, "answered") - 50.0).abs() < 36.0).then_some(())
    })
    .await;
    assert_eq!(copies(&none, "answered"), 0.0);
}

#[tokio::test]
async fn what_is_too_large_is_not_copied_and_goes_on() {
    let (target, mirror) = (
        Target::answering("target").await,
        Target::answering("mirror").await,
    );
    let edge = Edge::start(&mirrored(target.address, mirror.address, "percent: 100")).await;
    let body = "x".repeat((64 << 10) + 1);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(edge.request(&(head + &body)).await.text(), "target");
    counted(&edge, "too_large", 1.0).await;
    assert_eq!(mirror.connections(), 0);
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_copied_once_and_a_tunnel_never() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let target = Target::replying(move |_, _| busy.to_owned()).await;
    let mirror = Target::replying(|_, _| ok("seen")).await;
    let config = mirrored(target.address, mirror.address, "percent: 100")
        .http_rule("retry: {statusCodes: [503], attempts: 2}");
    let edge = Edge::start(&config).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(edge.request(post).await.status, 503);
    assert_eq!(target.heads().len(), 3);
    counted(&edge, "answered", 1.0).await;
    assert!(
        mirror.heads()[0]
            .to_ascii_lowercase()
            .contains("content-length: 4")
    );

    let tunnels = Target::named("tunnels").await;
    let edge = Edge::start(&mirrored(tunnels.address, mirror.address, "percent: 100")).await;
    edge.tunnel().await.0.say_hi().await;
    edge.get("/").await;
    counted(&edge, "answered", 1.0).await;
    assert_eq!(mirror.heads().len(), 2);
}

#[tokio::test]
async fn no_more_copies_are_under_way_than_there_is_room_for() {
    let target = Target::answering("target").await;
    let silent = Target::scripted(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let config = mirrored(target.address, silent.address, "percent: 100");
    let edge = Edge::start_with_files(&config.group("responseTimeout: 60s"), 1024).await;
    for _ in 0..20 {
        assert_eq!(edge.get("/").await.text(), "target");
    }
    counted(&edge, "too_many", 4.0).await;
    eventually("the others", || (silent.connections() == 16).then_some(())).await;
}
