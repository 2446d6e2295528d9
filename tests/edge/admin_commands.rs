//! The commands that talk to a running process.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::admin::get;
use crate::harness::process::run;
use crate::harness::{Config, Edge, Target, eventually};

const TOKEN: &str = "0123456789abcdef";

/// Runs `culvert` with these arguments; returns its exit code, and what it said on either output.
fn culvert(edge: &Edge, arguments: &[&str]) -> (Option<i32>, String) {
    said(run(arguments, edge.folder.path()))
}

fn said(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

async fn started() -> (Edge, Target) {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    (edge, target)
}

#[tokio::test]
async fn the_status_is_a_table_or_the_apis_json() {
    let (edge, target) = started().await;
    let (code, text) = culvert(&edge, &["status", "-c", "culvert.yaml"]);
    assert_eq!(code, Some(0), "{text}");
    let row = |words: &[&str]| {
        let is_it = |line: &str| line.split_whitespace().eq(words.iter().copied());
        assert!(text.lines().any(is_it), "no {words:?} in\n{text}");
    };
    let (listener, address) = (edge.address.to_string(), target.address.to_string());
    row(&[&listener, "edge", "false", "0"]);
    row(&["edge", "all", "FORWARD", "group", "0", "0", "0"]);
    row(&["group", &address, "healthy", "1", "0"]);
    let (code, text) = culvert(&edge, &["-c", "culvert.yaml", "status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["pid"]), (Some(0), &json!(edge.id())));
}

#[tokio::test]
async fn tunnels_are_listed_and_killed() {
    let (edge, _target) = started().await;
    let mut tunnels = edge.tunnels(3).await;
    let all = || (get(&edge, "/api/v1/tunnels")["total"] == 3).then_some(());
    eventually("the tunnels are open", all).await;
    let url = format!("http://{}", edge.admin);
    let (code, text) = culvert(&edge, &["tunnels", "--admin", &url, "--limit", "2"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        text.ends_with("2 shown, 3 open; there are more: see --limit\n"),
        "{text}"
    );
    let (_, text) = culvert(&edge, &["tunnels", "--admin", &url, "--json"]);
    let listed: Value = serde_json::from_str(&text).unwrap();
    let tunnel = listed["tunnels"].as_array().unwrap().iter();
    let id = tunnel
        .clone()
        .find(|tunnel| tunnel["requestUri"] == "/1")
        .unwrap()["id"]
        .clone();

    let kill = [
        "kill",
        id.as_str().unwrap(),
        "--admin",
        &url,
        "--code",
        "4000",
        "--text",
        "a b&c",
    ];
    let (code, text) = culvert(&edge, &kill);

    assert_eq!(
        (code, text.as_str()),
        (Some(0), "culvert: 1 tunnel is told to end with 4000\n")
    );
    assert_eq!(
        tunnels[1].frame().await.unwrap(),
        (8, b"\x0f\xa0a b&c".to_vec())
    );
    tunnels[1].leave(4000).await;
    let are_two = || (get(&edge, "/api/v1/tunnels")["total"] == 2).then_some(());
    eventually("it is gone", are_two).await;
    let (code, text) = culvert(&edge, &kill);
    assert_eq!(
        (code, text.as_str()),
        (Some(1), "no open tunnel has this id\n")
    );
    let (code, text) = culvert(&edge, &["kill", "--rule", "edge", "--admin", &url]);
    let words = "culvert: 2 tunnels are told to end with 1008: it throws out";
    assert!(code == Some(0) && text.starts_with(words), "{text}");
    assert_ne!(culvert(&edge, &["kill", "--admin", &url]).0, Some(0));
}

#[tokio::test]
async fn a_reload_that_is_rejected_shows_every_problem() {
    let (edge, target) = started().await;
    let reload = || culvert(&edge, &["reload", "-c", "culvert.yaml"]);
    assert_eq!(
        reload(),
        (
            Some(0),
            "culvert: the configuration is applied\n".to_owned()
        )
    );
    let broken = Config::forwarding_to(&[target.address])
        .rule("protocol: FTP")
        .http_rule("targetGroup: other");
    edge.configure(&broken);
    let (code, text) = reload();
    assert_eq!(code, Some(1));
    assert!(
        text.contains("no target group named \"other\"") && text.contains("protocol"),
        "{text}"
    );
    assert!(text.contains("nothing has changed"), "{text}");
}

#[tokio::test]
async fn a_drain_ends_the_process_and_then_nobody_is_there() {
    let (edge, _target) = started().await;
    let url = format!("http://{}", edge.admin);
    let address = edge.admin.to_string();
    assert_eq!(
        culvert(&edge, &["drain", "--admin", &address]),
        (
            Some(0),
            "culvert: drains, at most for 30 s; no tunnel is open\n".to_owned()
        )
    );
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(edge.ended().await.0.code(), Some(0));
    let (code, text) = said(run(&["status", "--admin", &url], folder.path()));
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with(&format!("{url}: no running process: ")),
        "{text}"
    );
}

#[tokio::test]
async fn an_explanation_is_readable() {
    let (edge, target) = started().await;
    let rules = Config::forwarding_to(&[target.address]).http_rules("{name: old, type: STATIC, statusCode: 410, responseMessage: gone, conditions: [{type: PATH, condition: STARTS_WITH, value: /old}]}");
    edge.reload(&rules).await;
    let explain = |arguments: &[&str]| {
        let arguments = [&["explain", "-c", "culvert.yaml"], arguments].concat();
        let (code, text) = culvert(&edge, &arguments);
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let expected = format!(
        "forwarding rule edge, client 10.0.0.1
no  old (STATIC)
    no  PATH STARTS_WITH /old: saw \"/chat\"
yes all (FORWARD)
=> all: the tunnel goes to {} of group\n",
        target.address
    );
    assert_eq!(
        explain(&["-w", "--client", "10.0.0.1", "ws://example.com/chat"]),
        expected
    );
    assert!(explain(&["/old/1"]).ends_with("\n=> old: 410\n"));
    let bad = explain(&[
        "-H",
        "Upgrade: websocket",
        "-H",
        "Connection: upgrade",
        "/chat",
    ]);
    assert!(bad.contains("\n=> 400: WebSocket handshake: "), "{bad}");
}

#[tokio::test]
async fn a_token_is_taken_from_the_configuration_or_a_file_and_missed_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let token = file.to_str().unwrap();
    let target = Target::named("a").await;
    let admin = format!("admin: {{listen: '127.0.0.1:ADMIN_PORT', tokenFile: {token}}}");
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).top(&admin)).await;
    let url = format!("http://{}", edge.admin);

    assert_eq!(culvert(&edge, &["status", "-c", "culvert.yaml"]).0, Some(0));
    assert_eq!(
        culvert(&edge, &["status", "--admin", &url, "--token-file", token]).0,
        Some(0)
    );
    let (code, text) = culvert(&edge, &["status", "--admin", &url]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("401") && text.contains("--token-file"),
        "{text}"
    );
}

#[tokio::test]
async fn a_mistake_is_told_before_anybody_is_asked() {
    let (edge, _target) = started().await;
    for (arguments, word) in [
        (&["status", "--admin", "ftp://a"][..], "--admin"),
        (
            &["status", "-c", "missing.yaml"],
            "missing.yaml: cannot be read",
        ),
        (
            &["status", "--admin", "unix:/nonexistent/a"],
            "no running process",
        ),
        (
            &["explain", "-H", "nothing", "/", "-c", "culvert.yaml"],
            "--header",
        ),
        (
            &["status", "--token-file", "missing", "-c", "culvert.yaml"],
            "--token-file: missing",
        ),
    ] {
        let (code, text) = culvert(&edge, arguments);
        assert!(
            code == Some(1) && text.contains(word),
            "{arguments:?}: {text}"
        );
    }
}
