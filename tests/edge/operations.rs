//! What operators rely on: the admin address, the access log's file, the signals, and that no line
//! is lost to any of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::edge::lines_of;
use crate::harness::target::{ok, refusing};
use crate::harness::{Config, Connection, Edge, Load, Target, eventually, soon};

const LOG: &str = "accessLog: {path: FOLDER/access.log}";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

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
    let version = concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
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

#[tokio::test]
async fn the_access_logs_file_is_appended_to() {
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("access.log");
    std::fs::write(&path, "{\"from\":\"before\"}\n").unwrap();
    let setting = format!("accessLog: {{path: {}}}", path.display());
    for run in 1..=2 {
        let edge = Edge::start(&Config::answering("hello").top(&setting)).await;
        edge.get("/").await;
        let (status, on_stdout) = edge.terminate().await;
        assert_eq!((status.code(), on_stdout.len()), (Some(0), 0));
        assert_eq!(lines(&path).len(), 1 + run);
    }
    assert_eq!(lines(&path)[0]["from"], "before");
}

#[tokio::test]
async fn after_a_rename_sigusr1_begins_a_new_file_and_no_line_is_lost() {
    let edge = Edge::start(&Config::answering("hello").top(LOG)).await;
    let path = edge.folder.path().join("access.log");
    let old = |turn: usize| path.with_extension(turn.to_string());
    let mut client = edge.connect().await;
    for turn in 0..5 {
        requests(&mut client, 100).await;
        std::fs::rename(&path, old(turn)).unwrap();
        edge.signal("USR1");
        requests(&mut client, 100).await;
        eventually("a new file", || path.exists().then_some(())).await;
    }
    requests(&mut client, 100).await;

    let count = || {
        (0..5)
            .map(old)
            .chain([path.clone()])
            .map(|path| lines_of(&path).len())
    };
    eventually("all lines", || {
        (count().sum::<usize>() >= 1100).then_some(())
    })
    .await;
    assert_eq!(count().sum::<usize>(), 1100);
    assert!(count().next_back().is_some_and(|new| new >= 100));
    assert_eq!(edge.metric("access_log_dropped_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_lose_and_split_no_line() {
    const ROTATIONS: usize = 10;
    let mut edge = Edge::start(&Config::answering("hello").top(LOG)).await;
    let path = edge.folder.path().join("access.log");
    let old = |turn: usize| path.with_extension(turn.to_string());
    let load = Load::on(edge.address);
    for turn in 0..ROTATIONS {
        let is_in_use = || (lines_of(&path).len() >= 20).then_some(());
        eventually("lines in the new file", is_in_use).await;
        std::fs::rename(&path, old(turn)).unwrap();
        edge.signal("USR1");
    }
    let requests = load.stop().await;

    edge.signal("TERM");
    assert_eq!(edge.exited().await.code(), Some(0));
    let all: Vec<_> = (0..ROTATIONS).map(old).chain([path.clone()]).collect();
    let counts: Vec<_> = all.iter().map(|path| lines(path).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), requests, "{counts:?}");
}

#[tokio::test]
async fn sigterm_with_nothing_open_ends_the_process_at_once() {
    for signal in ["TERM", "INT"] {
        let edge = Edge::start(&Config::answering("hello")).await;
        let began = Instant::now();
        edge.signal(signal);
        let (status, lines) = edge.ended().await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        assert_eq!((status.code(), lines.len()), (Some(0), 0));
    }
}

#[tokio::test]
async fn a_drain_lets_a_request_complete_and_closes_its_connection() {
    let (target, go_on) = slow_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    eventually("the request is there", || {
        (target.connections() == 1).then_some(())
    })
    .await;

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    go_on.notify_one();

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "completed");
}

#[tokio::test]
async fn a_drain_lets_an_answer_that_has_begun_complete() {
    let (target, go_on) = slow_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(GET.replace("/ ", "/slow-body ")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    go_on.notify_one();

    assert_eq!(client.exactly(5).await, b"hello");
    assert_eq!(client.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "completed");
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_listeners_while_the_admin_address_answers() {
    let (target, go_on) = slow_target().await;
    let patient = Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 60s")
        .group("connectTimeout: 60s, responseTimeout: 60s");
    let edge = Edge::start(&patient).await;
    let (mut idle, mut busy) = (edge.connect().await, edge.connect().await);
    idle.send(GET.replace("/ ", "/fast ")).await;
    idle.answer().await;
    busy.send(GET).await;
    eventually("the request is there", || {
        (target.connections() == 1).then_some(())
    })
    .await;

    edge.signal("TERM");

    assert_eq!(idle.to_end().await, b"");
    eventually("not ready", || {
        edge.admin_page("/readyz").contains(" 503 ").then_some(())
    })
    .await;
    assert!(edge.admin_page("/readyz").ends_with("draining\n"));
    assert!(edge.admin_page("/livez").contains(" 200 "));
    edge.metric_becomes("draining", 1.0).await;
    soon("new connections are refused", async {
        while TcpStream::connect(edge.address).await.is_ok() {}
    })
    .await;
    go_on.notify_one();
    assert_eq!(busy.answer().await.status, 200);
    assert_eq!(edge.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_drain_hears_a_client_that_had_connected_before_it() {
    let edge = Edge::start(&Config::answering("hello")).await;
    let mut client = edge.connect().await;
    let active = "connections_active{forwarding_rule=\"edge\"}";
    eventually("the connection", || {
        (edge.metric(active) == 1.0).then_some(())
    })
    .await;

    edge.signal("TERM");
    eventually("the drain", || {
        (edge.metric("draining") == 1.0).then_some(())
    })
    .await;
    client.send(GET).await;

    assert_eq!(client.answer().await.header("connection"), Some("close"));
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
}

#[tokio::test]
async fn sigint_leaves_a_line_for_each_request_in_flight() {
    for (first, second) in [(None, "INT"), (Some("TERM"), "INT"), (Some("TERM"), "TERM")] {
        let (target, _go_on) = slow_target().await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut clients = Vec::new();
        for path in ["/a", "/b", "/slow-body"] {
            let mut client = edge.connect().await;
            client
                .send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                ))
                .await;
            clients.push(client);
        }
        clients[2].head().await;
        eventually("all are there", || {
            (target.connections() == 3).then_some(())
        })
        .await;
        if let Some(first) = first {
            edge.signal(first);
            eventually("the drain", || {
                (edge.metric("draining") == 1.0).then_some(())
            })
            .await;
        }

        edge.signal(second);

        let (status, mut lines) = edge.ended().await;
        assert_eq!(status.code(), Some(0));
        lines.sort_by_key(|line| line["requestUri"].to_string());
        let expected = [("/a", None), ("/b", None), ("/slow-body", Some(200))];
        assert_eq!(lines.len(), expected.len());
        for (line, (uri, status)) in lines.iter().zip(expected) {
            assert_eq!(line["requestUri"], uri);
            assert_eq!(line["closeReason"], "process_exit");
            assert_eq!(line["requestBodyBytes"], 3);
            assert_eq!(line.get("httpStatusCode").and_then(Value::as_u64), status);
        }
    }
}

#[tokio::test]
async fn sigint_leaves_a_line_for_an_open_tunnel() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnel = edge.websocket("/chat").await;
    tunnel.send(Message::text("hello")).await.unwrap();
    soon("the echo", tunnel.next()).await.unwrap().unwrap();

    edge.signal("INT");

    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["httpStatusCode"], 101);
    assert_eq!(lines[0]["closeReason"], "process_exit");
    // A frame of five bytes, which a client masks.
    assert_eq!(lines[0]["requestBodyBytes"], 2 + 4 + 5);
    assert_eq!(lines[0]["responseBodyBytes"], 2 + 5);
}

#[tokio::test]
async fn no_line_of_a_burst_is_lost_to_a_signal_though_its_reader_is_slow() {
    for signal in ["TERM", "INT"] {
        let edge = Edge::start(&Config::answering("hello")).await;
        let unread = edge.stop_reading();
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = edge.connect().await;
            requests(&mut client, 100).await;
            clients.push(client);
        }

        edge.signal(signal);
        // Longer than the process needs to end, were it not for the lines.
        sleep(Duration::from_millis(500)).await;
        drop(unread);

        let (status, lines) = edge.ended().await;
        assert_eq!((status.code(), lines.len()), (Some(0), 1000));
    }
}

/// A target that answers when it is told to go on: nothing before that, or the head, or, to
/// `/fast`, at once.
async fn slow_target() -> (Target, Arc<Notify>) {
    let go_on = Arc::<Notify>::default();
    let told = Arc::clone(&go_on);
    let target = Target::scripted(move |mut connection: Connection| {
        let told = Arc::clone(&told);
        async move {
            while connection.has_more().await {
                let head = connection.head().await;
                connection.body(&head).await;
                let (at_first, then) = match &*ok("hello") {
                    all if head.contains("/fast ") => (all.to_owned(), String::new()),
                    all if head.contains("/slow-body ") => {
                        (all.replace("hello", ""), "hello".to_owned())
                    }
                    all => (String::new(), all.to_owned()),
                };
                connection.send(at_first).await;
                if !then.is_empty() {
                    told.notified().await;
                }
                connection.send(then).await;
            }
        }
    })
    .await;
    (target, go_on)
}

async fn requests(client: &mut Connection, count: usize) {
    client.send(GET.repeat(count)).await;
    for _ in 0..count {
        assert_eq!(client.answer().await.status, 200);
    }
}

/// The lines of an access log's file.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
