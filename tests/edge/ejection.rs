//! A target that fails requests in a row is ejected for a while, whatever its checks say; not all are.

use crate::harness::client::{handshake, header};
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target, eventually};
use crate::health::{ask, of, status};

/// A target that fails requests in all ways, and answers checks.
async fn failing() -> Target {
    Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            match head.split(' ').nth(1).unwrap() {
                "/500" => {
                    connection
                        .send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
                        .await
                }
                "/404" => {
                    connection
                        .send("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
                        .await
                }
                "/garbage" => return connection.send("SSH-2.0-OpenSSH_9.6\r\n\r\n").await,
                "/reset" => return connection.reset(),
                "/silent" => return drop(connection.to_end().await),
                _ => connection.send(ok("hello")).await,
            }
        }
    })
    .await
}

const DETECTION: &str = "outlierDetection: {consecutiveFailures: 3, baseEjectionTime: 1h, \
                         maxEjectionTime: 1h, maxEjectedPercent: 100}";

#[tokio::test]
async fn failed_requests_in_a_row_eject_a_target_whatever_fails() {
    let handshake = |path| handshake(path, "");
    let plain = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for (request, status) in [
        (plain("/500"), 500),
        (plain("/reset"), 502),
        (plain("/garbage"), 502),
        (plain("/silent"), 504),
        (handshake("/500"), 500),
        (handshake("/garbage"), 502),
    ] {
        let target = failing().await;
        let settings = format!("responseTimeout: 100, {DETECTION}");
        let edge = Edge::start(&Config::to_group(&settings, &[target.address])).await;
        for asked in [
            &request,
            &request,
            &plain("/404"),
            &request,
            &request,
            &request,
        ] {
            assert_eq!(edge.metric(&of("target_ejected", target.address)), 0.0);
            let answer = ask(&edge, asked).await;
            assert!(answer == 404 || answer == status, "{asked} {answer}");
        }
        edge.metric_becomes(&of("target_ejected", target.address), 1.0)
            .await;
        assert_eq!(ask(&edge, &plain("/")).await, 503, "{request}");
        edge.metric_becomes(&of("target_ejections_total", target.address), 1.0)
            .await;
        let ejected = &self::status(&edge, target.address)["ejected"];
        assert_eq!(ejected["count"], 1);
        assert!(ejected["until"].is_string());
        let line = format!(
            "target group group: target {} is ejected for 3600s: 3 requests failed in a row",
            target.address
        );
        edge.says(&line).await;
    }
}

#[tokio::test]
async fn failed_connects_eject_a_target_and_its_checks_are_another_matter() {
    let (refusing, target) = (refusing(), Target::answering("hello").await);
    let settings = format!(
        "{DETECTION}, healthCheck: {{port: {}}}",
        target.address.port()
    );
    let edge = Edge::start(&Config::to_group(&settings, &[refusing, target.address])).await;

    assert_eq!(edge.answers(20).await, ["hello"; 20]);

    edge.metric_becomes(&of("target_connect_errors_total", refusing), 3.0)
        .await;
    edge.metric_becomes(&of("target_ejected", refusing), 1.0)
        .await;
    assert_eq!(edge.metric(&of("target_healthy", refusing)), 1.0);
    assert_eq!(
        edge.metric(&of("target_ejections_total", target.address)),
        0.0
    );
}

#[tokio::test]
async fn an_ejected_target_keeps_its_tunnels_and_comes_back_in_time() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            if header(&head, "upgrade").is_some() {
                connection.send(switching_protocols(&head)).await;
                return connection.echo_messages().await;
            }
            connection
                .send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let detection = "outlierDetection: {consecutiveFailures: 2, baseEjectionTime: 2s, maxEjectionTime: 2s, maxEjectedPercent: 100}";
    let edge = Edge::start(&Config::to_group(detection, &[target.address])).await;
    let (mut client, _) = edge.tunnel().await;
    for _ in 0..2 {
        assert_eq!(edge.get("/").await.status, 500);
    }
    assert_eq!(edge.get("/").await.status, 503);
    client.say_hi().await;
    let ejected = of("target_ejected", target.address);
    eventually("it is back", || {
        (edge.metric(&ejected) == 0.0).then_some(())
    })
    .await;
    assert_eq!(edge.get("/").await.status, 500);
    client.say_hi().await;
    assert_eq!(edge.tunnels_active(target.address), 1.0);
    let line = format!("target {} is no longer ejected", target.address);
    edge.says(&line).await;
}

#[tokio::test]
async fn no_more_targets_are_ejected_than_may_be() {
    let targets = [failing().await, failing().await, failing().await];
    let addresses = targets.each_ref().map(|target| target.address);
    let detection = "outlierDetection: {consecutiveFailures: 1, maxEjectedPercent: 67}";
    let edge = Edge::start(&Config::to_group(detection, &addresses)).await;
    for _ in 0..20 {
        assert_eq!(edge.get("/500").await.status, 500);
    }
    let ejected = addresses.map(|address| edge.metric(&of("target_ejected", address)));
    assert_eq!(ejected.iter().sum::<f64>(), 2.0, "{ejected:?}");
}
