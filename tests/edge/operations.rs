//! What operators see of the process while it serves: its probes, its metrics, its lines.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::target::refusing;
use crate::harness::{Config, Connection, Edge, Target};

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn the_admin_address_tells_that_the_process_lives_and_is_ready() {
    let edge = Edge::start(&Config::answering("hello")).await;
    for (path, start, end) in [
        ("/livez", "HTTP/1.1 200 OK\r\n", "\r\n\r\nalive\n"),
        ("/readyz", "HTTP/1.1 200 OK\r\n", "\r\n\r\nready\n"),
        (
            "/nothing",
            "HTTP/1.1 404 Not Found\r\n",
            "\r\n\r\n{\"error\":\"there is no such page\"}",
        ),
    ] {
        let page = edge.admin_page(path);
        assert!(page.starts_with(start) && page.ends_with(end), "{page}");
    }
    assert!(edge.log().is_empty(), "an admin page in the access log");
}

#[tokio::test]
async fn every_metric_of_the_contract_is_there_from_the_start() {
    let target = refusing();
    let rule = "{name: static, type: STATIC, statusCode: 200, responseMessage: '',
        conditions: [{type: PATH, condition: EQUALS, value: /static}]}";
    let edge = Edge::start(&Config::forwarding_to(&[target]).http_rules(rule)).await;

    let page = edge.admin_page("/metrics");

    let (head, metrics) = page.split_once("\r\n\r\n").unwrap();
    let content_type = "content-type: text/plain; version=0.0.4";
    assert!(head.to_lowercase().contains(content_type), "{head}");
    let labels = format!("forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"");
    let of_target = format!("target=\"{target}\",target_group=\"group\"");
    for series in [
        "requests_total{code=\"200\",forwarding_rule=\"edge\",http_rule=\"static\"}",
        "request_duration_seconds_count{forwarding_rule=\"edge\"}",
        "handshake_duration_seconds_count{forwarding_rule=\"edge\"}",
        &format!("tunnels_active{{{labels}}}"),
        &format!("tunnels_opened_total{{{labels}}}"),
        "tunnels_closed_total{forwarding_rule=\"edge\",reason=\"idle_timeout\",target_group=\"group\"}",
        "tunnel_duration_seconds_bucket{forwarding_rule=\"edge\",le=\"86400\"}",
        "bytes_total{direction=\"in\",forwarding_rule=\"edge\"}",
        "bytes_total{direction=\"out\",forwarding_rule=\"edge\"}",
        "connections_active{forwarding_rule=\"edge\"}",
        "refusals_total{forwarding_rule=\"edge\",reason=\"no_target\"}",
        &format!("health_checks_total{{result=\"passed\",{of_target}}}"),
        &format!("target_connect_errors_total{{{of_target}}}"),
        "config_reloads_total{result=\"applied\"}",
        "config_reloads_total{result=\"rejected\"}",
        "draining",
        "access_log_dropped_total",
    ] {
        let line = format!("culvert_{series} 0");
        assert!(
            metrics.lines().any(|found| found == line),
            "no {line} in\n{metrics}"
        );
    }
    let version = concat!(
        "build_info{commit=\"",
        env!("CULVERT_COMMIT"),
        "\",commit_date=\"",
        env!("CULVERT_DATE"),
        "\",version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    edge.metric_becomes(version, 1.0).await;
    assert!(edge.metric("config_last_reload_timestamp_seconds") > 1.7e9);
    let (healthy, process) = (
        format!("culvert_target_healthy{{{of_target}}} "),
        "process_open_fds ",
    );
    assert!(
        metrics.contains(&healthy) && metrics.contains(process),
        "{metrics}"
    );
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    let mut received = 0;
    for _ in 0..3 {
        let answer = edge.request(request).await;
        received += answer.head.len() + answer.body.len();
    }
    edge.log_lines(3).await;

    let all = "requests_total{code=\"200\",forwarding_rule=\"edge\",http_rule=\"all\"}";
    edge.metric_becomes(all, 3.0).await;
    edge.metric_becomes(
        "request_duration_seconds_count{forwarding_rule=\"edge\"}",
        3.0,
    )
    .await;
    let bytes = ["in", "out"].map(|direction| {
        edge.metric(&format!(
            "bytes_total{{direction=\"{direction}\",forwarding_rule=\"edge\"}}"
        ))
    });
    assert_eq!(bytes, [3.0 * request.len() as f64, received as f64]);
}

#[tokio::test]
async fn a_line_appears_soon_after_the_exchange_is_over() {
    let edge = Edge::start(&Config::answering("hello")).await;
    let mut client = edge.connect().await;
    for request in 1..=5 {
        client.send(GET).await;
        client.answer().await;
        let over = Instant::now();
        edge.log_lines(request).await;
        // 100 ms are promised; a busy machine gets some more.
        assert!(
            over.elapsed() < Duration::from_secs(1),
            "{:?}",
            over.elapsed()
        );
    }
}

pub async fn requests(client: &mut Connection, count: usize) {
    client.send(GET.repeat(count)).await;
    for _ in 0..count {
        assert_eq!(client.answer().await.status, 200);
    }
}

/// The lines of an access log's file.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
