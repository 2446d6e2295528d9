//! A real browser, Chromium, has its WebSocket: on the connection of its page where that is HTTP/2,
//! on one of its own where it is not.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::tls::HOST;
use crate::harness::{Authority, Config, Edge, Target, eventually};

/// The lines of a tunnel that a page opens, and of what it asks when it has heard its echo; the rule
/// has these further keys.
async fn lines_of_a_page(keys: &str) -> [Value; 2] {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let page = "<script>
        const socket = new WebSocket(`wss://${location.host}/chat`);
        socket.onopen = () => { socket.send('x'.repeat(300000)); socket.send('grüße'); };
        socket.onmessage = event => event.data.length < 9
            && fetch('/heard?' + encodeURIComponent(event.data));
        </script>";
    authority.issue("one", &[HOST]);
    let rule = format!(
        "{{name: page, type: STATIC, statusCode: 200, contentType: text/html; charset=utf-8,
            responseMessage: {},
            conditions: [{{type: HEADER, condition: EXISTS, key: Upgrade, negate: true}}]}}",
        serde_json::to_string(page).unwrap()
    );
    let config = Config::forwarding_to(&[target.address]).http_rules(&rule);
    let edge = Edge::start(&config.tls(&authority, &["one"]).rule(keys)).await;
    let profile = tempfile::tempdir().unwrap();
    let _browser = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--ignore-certificate-errors",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"))
        .arg(format!("https://{HOST}:{}/", edge.address.port()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromium is there: `make test` installs it");
    let heard = eventually("the page has heard its echo", || {
        let lines = edge.log();
        let heard = |line: &Value| {
            line["requestUri"]
                .as_str()
                .is_some_and(|uri| uri.starts_with("/heard?"))
        };
        lines.into_iter().find(heard)
    })
    .await;
    assert_eq!(heard["requestUri"], "/heard?gr%C3%BC%C3%9Fe");
    let tunnels = edge.admin_page("/api/v1/tunnels");
    assert!(tunnels.contains("\"id\""), "{tunnels}");
    drop(_browser);
    let is_tunnel = |line: &Value| line["upgrade"] == "websocket";
    let tunnel = eventually("the tunnel ends with the browser", || {
        edge.log().into_iter().find(is_tunnel)
    })
    .await;
    [tunnel, heard]
}

#[tokio::test]
async fn chromium_has_its_websocket_on_the_connection_of_its_page() {
    let [tunnel, heard] = lines_of_a_page("").await;
    assert_eq!(tunnel["httpVersion"], "HTTP/2", "{tunnel}");
    assert_eq!(tunnel["httpStatusCode"], 200);
    assert_eq!(tunnel["clientPort"], heard["clientPort"]);
}

#[tokio::test]
async fn chromium_opens_its_websocket_over_http_1_1_beside_its_page_of_http_2() {
    let [tunnel, heard] = lines_of_a_page("http2WebSockets: false").await;
    assert_eq!(heard["httpVersion"], "HTTP/2", "{heard}");
    assert_eq!(tunnel["httpVersion"], "HTTP/1.1", "{tunnel}");
    assert_eq!(tunnel["httpStatusCode"], 101);
}

#[tokio::test]
async fn chromium_has_its_websocket_on_a_connection_of_http_1_1() {
    let [tunnel, _] = lines_of_a_page("http2: false").await;
    assert_eq!(tunnel["httpVersion"], "HTTP/1.1", "{tunnel}");
    assert_eq!(tunnel["httpStatusCode"], 101);
    assert!(
        tunnel["responseBodyBytes"].as_u64() > Some(300_000),
        "{tunnel}"
    );
}
