//! One line for each exchange, when it is over.

use std::time::Instant;

use serde_json::Value;

use crate::harness::client::HANDSHAKE;
use crate::harness::edge::lines_of;
use crate::harness::target::refusing;
use crate::harness::{Config, Connection, Edge, Target, eventually};

#[tokio::test]
async fn a_plain_request_leaves_a_line_with_its_bytes() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let request = "POST /a?b=1&token=s3cret HTTP/1.1\r\nHost: Example.com:8080\r\nUser-Agent: test\r\n\
        Referer: http://e/?password=s3cret\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";

    let answer = edge.request(request).await;

    assert_eq!((answer.status, answer.text()), (200, "hello"));
    let line = edge.log_line().await;
    assert_eq!(line["forwardingRule"], "edge");
    assert_eq!(line["httpRule"], "all");
    assert_eq!(line["clientIp"], "127.0.0.1");
    assert_eq!(line["httpVersion"], "HTTP/1.1");
    assert_eq!(line["httpMethod"], "POST");
    assert_eq!(line["hostName"], "Example.com");
    assert_eq!(line["requestUri"], "/a?b=1&token=<redacted>");
    assert_eq!(line["userAgent"], "test");
    assert_eq!(line["referer"], "http://e/?password=<redacted>");
    assert_eq!(line["httpStatusCode"], 200);
    assert_eq!(line["targetGroup"], "group");
    assert_eq!(line["target"], target.address.to_string());
    assert_eq!(line["requestHeaderBytes"], request.len() - 3);
    assert_eq!(line["requestBodyBytes"], 3);
    assert_eq!(line["responseHeaderBytes"], answer.head.len());
    assert_eq!(line["responseBodyBytes"], 5);
    assert_eq!(line["closeReason"], "completed");
    for absent in ["upgrade", "closeCode", "error", "tlsProtocol"] {
        assert_eq!(line.get(absent), None, "{absent}");
    }
    for duration in ["durationMs", "targetConnectMs", "targetLatencyMs"] {
        assert!(
            line[duration].as_f64().is_some_and(|millis| millis > 0.0),
            "{duration}"
        );
    }
}

#[tokio::test]
async fn a_tunnel_leaves_its_line_after_its_close_with_its_true_duration() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(5).await;
        connection.send("12345678").await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let began = Instant::now();
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.head().await;
    let is_open = Instant::now();
    client.send("hello").await;
    client.exactly(8).await;
    eventually("the tunnel is counted", || {
        let labels = format!(
            "forwarding_rule=\"edge\",target=\"{}\",target_group=\"group\"",
            target.address
        );
        (edge.metric(&format!("tunnels_active{{{labels}}}")) == 1.0).then_some(())
    })
    .await;
    assert!(edge.log().is_empty(), "a line before the close");
    let open = is_open.elapsed();

    client.finish().await;

    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 101);
    assert_eq!(line["upgrade"], "websocket");
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["requestBodyBytes"], 5);
    assert_eq!(line["responseBodyBytes"], 8);
    let duration = line["durationMs"].as_f64().unwrap();
    let [shortest, longest] = [open, began.elapsed()].map(|time| time.as_secs_f64() * 1000.0);
    let range = shortest..=longest;
    assert!(range.contains(&duration), "{duration} is not in {range:?}");
    edge.metric_becomes(
        "tunnel_duration_seconds_count{forwarding_rule=\"edge\"}",
        1.0,
    )
    .await;
}

#[tokio::test]
async fn what_pingora_answers_before_an_exchange_exists_leaves_its_line_too() {
    let edge = Edge::forwarding_to(&[refusing()]).await;
    for (request, status, reason, error) in [
        (
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            400,
            "refused",
            "malformed request head",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            405,
            "refused",
            "CONNECT is not served",
        ),
    ] {
        let before = edge.log().len();
        let answer = edge.request(request).await;
        assert_eq!(answer.status, status);
        let line = edge.log_lines(before + 1).await.remove(before);
        assert_eq!(line["httpStatusCode"], status);
        assert_eq!(line["closeReason"], reason);
        assert_eq!(line["error"], error);
        assert_eq!(line["requestHeaderBytes"], request.len());
        assert_eq!(line["responseHeaderBytes"], answer.head.len());
        assert_eq!(line["responseBodyBytes"], answer.body.len());
    }

    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    client.finish().await;
    client.to_end().await;
    let line = edge.log_lines(3).await.remove(2);
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line.get("httpStatusCode"), None::<&Value>);
}

/// A rule for tunnels to this target, and static answers to all else; with this `accessLog`.
fn with_access_log(target: &Target, access_log: &str) -> Config {
    let rules = "{name: gone, type: STATIC, statusCode: 410, responseMessage: gone,
            conditions: [{type: PATH, condition: EQUALS, value: /gone}]},
        {name: rest, type: STATIC, statusCode: 200, responseMessage: ok,
            conditions: [{type: PATH, condition: STARTS_WITH, value: /chat, negate: true}]}";
    Config::forwarding_to(&[target.address])
        .http_rules(rules)
        .http_rule("name: ws")
        .top(&format!("accessLog: {{{access_log}}}"))
}

#[tokio::test]
async fn a_tunnel_has_a_line_when_it_opens_too_where_that_is_wanted() {
    let target = Target::echo().await;
    let edge = Edge::start(&with_access_log(&target, "openRecords: true")).await;
    let mut client = edge.connect().await;
    client.upgrade("/chat?token=s3cret").await;

    let open = edge.log_line().await;

    assert_eq!(open["event"], "open");
    assert_eq!(open["httpStatusCode"], 101);
    assert_eq!(open["upgrade"], "websocket");
    assert_eq!(open["requestUri"], "/chat?token=<redacted>");
    assert_eq!(open["target"], target.address.to_string());
    assert!(open["targetLatencyMs"].as_f64().unwrap() > 0.0);
    for absent in ["durationMs", "closeReason", "responseBodyBytes"] {
        assert_eq!(open.get(absent), None, "{absent}");
    }
    client.leave(1000).await;
    let lines = edge.log_lines(2).await;
    assert_eq!(lines[1]["trackingId"], open["trackingId"]);
    assert_eq!(lines[1]["closeReason"], "client_closed");
    assert_eq!(lines[1].get("event"), None::<&Value>);
    edge.get("/").await;
    assert_eq!(edge.log_lines(3).await[2].get("event"), None::<&Value>);
}

#[tokio::test]
async fn what_goes_well_may_be_sampled_and_a_reload_changes_that() {
    let target = Target::echo().await;
    let edge = Edge::start(&with_access_log(&target, "sample: 0")).await;
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    edge.get("/gone").await;
    let (mut tunnel, _) = edge.tunnel().await;
    tunnel.leave(1000).await;

    let lines = edge.log_lines(2).await;

    assert_eq!(lines[0]["httpStatusCode"], 410);
    assert_eq!(lines[1]["upgrade"], "websocket");
    let counted = r#"requests_total{code="200",forwarding_rule="edge",http_rule="rest"}"#;
    edge.metric_becomes(counted, 10.0).await;
    edge.reload(&with_access_log(&target, "sample: 1")).await;
    edge.get("/").await;
    assert_eq!(edge.log_lines(3).await[2]["httpStatusCode"], 200);
}

#[tokio::test]
async fn more_parameters_are_redacted_where_the_file_names_them() {
    let target = Target::echo().await;
    let edge = Edge::start(&with_access_log(&target, "redactQueryKeys: [Session-Id]")).await;
    let request = "GET /?sessionid=1&room=2&key=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Referer: http://a/?session_id=1\r\n\r\n";
    edge.request(request).await;
    let line = edge.log_line().await;
    let uri = "/?sessionid=<redacted>&room=2&key=<redacted>";
    assert_eq!(line["requestUri"], uri);
    assert_eq!(line["referer"], "http://a/?session_id=<redacted>");
}

#[tokio::test]
async fn lines_of_text_have_the_same_fields() {
    let target = Target::echo().await;
    let text = with_access_log(&target, "path: FOLDER/access.log, format: text");
    let edge = Edge::start(&text).await;
    let path = edge.folder.path().join("access.log");
    edge.get("/a?b=c").await;
    let written = || std::fs::read_to_string(&path).unwrap_or_default();
    let line = eventually("a line", || {
        Some(written()).filter(|text| text.ends_with('\n'))
    })
    .await;
    for field in [
        " httpMethod=GET ",
        r#" requestUri="/a?b=c" "#,
        " httpStatusCode=200 ",
        " closeReason=completed\n",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    let names = |line: &str| -> Vec<String> {
        let fields = line.split_whitespace();
        let name = |field: &str| field.split('=').next().unwrap().to_owned();
        fields.map(name).collect()
    };
    let json = text.top("accessLog: {path: FOLDER/other.log, format: null}");
    edge.reload(&json).await;
    edge.get("/a?b=c").await;
    let path = edge.folder.path().join("other.log");
    let same = eventually("a line", || lines_of(&path).pop()).await;
    let same: Vec<String> = same.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names(&line), same);
}

/// Opens a tunnel, has plain requests leave lines that are lost, and shows that the tunnel noticed
/// nothing.
async fn a_tunnel_survives_a_log_that_loses(edge: &Edge, fields: &str, requests: usize) {
    let (mut tunnel, _) = edge.tunnel().await;
    let mut client = edge.connect().await;
    for _ in 0..requests {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        client.send(head).await;
        assert_eq!(client.answer().await.status, 200);
    }
    tunnel.say_hi().await;
    tunnel.leave(1000).await;
}

#[tokio::test]
async fn a_full_disk_loses_lines_and_counts_them_and_no_tunnel() {
    let target = Target::echo().await;
    let edge = Edge::start(&with_access_log(&target, "path: /dev/full")).await;
    a_tunnel_survives_a_log_that_loses(&edge, "", 10).await;
    let lost = || (edge.metric("access_log_dropped_total") == 11.0).then_some(());
    eventually("all lines are counted", lost).await;
    let said = edge.says("lines are being lost").await;
    assert_eq!(said.matches("lines are being lost").count(), 1, "{said}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_loses_lines_and_counts_them_and_no_tunnel() {
    const LINES: usize = 3200;
    let target = Target::echo().await;
    let edge = Edge::start(&with_access_log(&target, "")).await;
    let unread = edge.stop_reading();
    // Each tab is six bytes in the log.
    let long = format!("x{}x", "\t".repeat(2_040));
    let fields = format!("User-Agent: {long}\r\nReferer: {long}\r\n");
    a_tunnel_survives_a_log_that_loses(&edge, &fields, LINES).await;
    let all = LINES as f64 + 1.0;
    let are_over = || {
        let plain = r#"requests_total{code="200",forwarding_rule="edge",http_rule="rest"}"#;
        let tunnel = r#"requests_total{code="101",forwarding_rule="edge",http_rule="ws"}"#;
        (edge.metric(plain) + edge.metric(tunnel) == all).then_some(())
    };
    eventually("all exchanges are over", are_over).await;
    let lost = || edge.metric("access_log_dropped_total") as usize;
    assert!(lost() > 0);
    drop(unread);
    let written = || LINES + 1 - lost();
    let are_read = || Some(written()).filter(|count| edge.count_lines() == *count);
    let count = eventually("all others are read", are_read).await;
    let (_, lines) = edge.terminate().await;
    assert_eq!(lines.len(), count);
}
