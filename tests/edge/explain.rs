//! `culvert explain`: what it foretells of a request, for operators and for the tests that they
//! have of their own.

use crate::harness::admin::ask;
use crate::harness::process::run;
use crate::harness::{Config, Edge, Target};
use serde_json::json;

const FILE: &str = "forwardingRules:
  - name: edge
    protocol: HTTP
    listenerIp: 192.0.2.1
    listenerPort: 80
    maxHeaderBytes: 600
    httpRules:
      - name: old
        type: REDIRECT
        location: 'https://{host}/new'
        conditions: [{type: PATH, condition: EQUALS, value: /old}]
      - name: gone
        type: STATIC
        statusCode: 410
        responseMessage: gone
        conditions: [{type: PATH, condition: EQUALS, value: /gone}]
      - {name: canary, type: FORWARD, targetGroups: [{name: a, weight: 1}, {name: b, weight: 1}],
          conditions: [{type: PATH, condition: EQUALS, value: /canary}]}
      - name: empty
        type: FORWARD
        targetGroup: empty
        conditions: [{type: PATH, condition: EQUALS, value: /empty}]
      - name: all
        type: FORWARD
        targetGroup: a
        allowedOrigins: ['https://app.example']
        allowedSubprotocols: [chat]
        upgrades: [tcp]
targetGroups:
  - {name: a, algorithm: ROUND_ROBIN, protocol: HTTP, targets: [{ip: 192.0.2.7, port: 9001}]}
  - name: b
    algorithm: ROUND_ROBIN
    protocol: HTTP
    targets: [{host: chat.internal.example, port: 9002}]
  - name: empty
    algorithm: ROUND_ROBIN
    protocol: HTTP
    targets: [{ip: 192.0.2.8, port: 9001, maintenanceEnabled: true}]
";

/// Asks the file alone; returns the exit code and what was said on either output.
fn explained(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("culvert.yaml"), FILE).unwrap();
    let arguments = [&["explain", "--offline", "-c", "culvert.yaml"], arguments].concat();
    let output = run(&arguments, folder.path());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What it comes to, as the last line says.
fn outcome(arguments: &[&str]) -> String {
    let (code, said, error) = explained(arguments);
    assert_eq!((code, &*error), (Some(0), ""), "{said}");
    let last = said.lines().last().unwrap_or_default();
    last.trim_start_matches("=> ").to_owned()
}

#[test]
fn a_file_is_asked_without_a_process() {
    let origin = ["-H", "Origin: https://app.example"];
    for (arguments, expected) in [
        (
            &["/old", "-H", "Host: x.example"][..],
            "old: 301 https://x.example/new",
        ),
        (&["http://x.example/gone"], "gone: 410"),
        (&["/"], "all: the request goes to 192.0.2.7:9001 of a"),
        (&["/empty"], "503: no target is available"),
        (&["/", "-X", "CONNECT"], "405: CONNECT is not served"),
    ] {
        assert_eq!(outcome(arguments), expected, "{arguments:?}");
    }
    let tunnel = "all: the tunnel goes to 192.0.2.7:9001 of a";
    for url in ["ws://x.example/", "ws://x.example", "WS://x.example?a=b"] {
        assert_eq!(outcome(&[&[url], &origin[..]].concat()), tunnel);
    }
    assert_eq!(outcome(&["-w", "/", origin[0], origin[1]]), tunnel);
}

#[test]
fn a_target_by_name_is_told_by_its_name() {
    let by_chance = |_| outcome(&["/canary"]);
    let all: Vec<String> = (0..40).map(by_chance).collect();
    for end in ["192.0.2.7:9001 of a", "chat.internal.example:9002 of b"] {
        assert!(all.iter().any(|told| told.ends_with(end)), "{all:?}");
    }
}

#[test]
fn each_refusal_that_depends_on_the_request_is_foretold() {
    let long = format!("X-Long: {}", "x".repeat(600));
    let many: Vec<&str> = ["-H", "X-A: b"].repeat(101);
    let upgrade = ["-H", "Connection: upgrade, x-a", "-H", "Upgrade: tcp"];
    for (arguments, expected) in [
        (&["ws://x/"][..], "403: the origin is not allowed"),
        (
            &["ws://x/", "-H", "Origin: https://evil.example"],
            "403: the origin is not allowed",
        ),
        (
            &[
                "ws://x/",
                "-H",
                "Origin: https://app.example",
                "-H",
                "Sec-WebSocket-Protocol: admin",
            ],
            "403: no subprotocol that is asked for is allowed",
        ),
        (
            &["ws://x/", "-X", "POST"],
            "400: WebSocket handshake: the method is not GET",
        ),
        (
            &["ws://x/", "-H", "Sec-WebSocket-Version: 8"],
            "426: only WebSocket version 13 is served",
        ),
        (&["/", "-H", "Host: a,b"], "400: Host is no host"),
        (
            &["/", "-H", "Host: a", "-H", "host: a"],
            "400: malformed request head",
        ),
        (
            &["/", "-H", "Content-Length: 2", "-H", "Content-Length: 2"],
            "400: Content-Length is not one number",
        ),
        (
            &["/", "-H", "Connection: close, host"],
            "400: Connection names what it may not",
        ),
        (&["a"], "400: the request's target is no path"),
        (&["/", "-H", &long], "431: the request's head is too large"),
        (
            &[&["/"], &many[..]].concat(),
            "431: the request's head is too large",
        ),
        (
            &[&["/"], &upgrade[..]].concat(),
            "all: the tunnel goes to 192.0.2.7:9001 of a",
        ),
    ] {
        assert_eq!(outcome(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn what_is_not_as_expected_ends_with_1_and_says_so() {
    for (arguments, expected, said) in [
        (&["ws://x/"][..], "403", None),
        (&["ws://x/"], "101", Some("403: the origin is not allowed")),
        (&["ws://x/"], "a", Some("403: the origin is not allowed")),
        (
            &["ws://x/", "-H", "Origin: https://app.example"],
            "101",
            None,
        ),
        (&["/"], "a", None),
        (
            &["/"],
            "200",
            Some("all: the request goes to 192.0.2.7:9001 of a"),
        ),
        (&["/canary"], "b", None),
        (&["/gone"], "404", Some("gone: 410")),
        (&["/gone"], "410", None),
    ] {
        let (code, told, error) = explained(&[arguments, &["--expect", expected]].concat());
        let line = said.map(|said| format!("culvert: expected {expected}, and it is {said}\n"));
        assert_eq!(error, line.unwrap_or_default(), "{arguments:?}");
        assert_eq!(code, Some(i32::from(said.is_some())), "{arguments:?}");
        assert!(
            told.starts_with("forwarding rule edge, client 127.0.0.1\n"),
            "{told}"
        );
    }
}

#[test]
fn what_cannot_be_asked_for_is_an_error() {
    for (arguments, word) in [
        (&["ftp://a/"][..], "must be a path"),
        (
            &["/", "--http-version", "3"],
            "httpVersion: must be 1.0, 1.1 or 2",
        ),
        (&["/", "--rule", "x"], "no forwarding rule of this name"),
        (
            &["/", "--http-version", "2", "-H", "Connection: close"],
            "HTTP/2 has no connection",
        ),
        (
            &["/", "--admin", "http://127.0.0.1:1"],
            "cannot be used with",
        ),
    ] {
        let (code, _, error) = explained(arguments);
        assert!(
            code != Some(0) && error.contains(word),
            "{arguments:?}: {error}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_none_to_a_handshake_in_http2_is_foretold() {
    let target = Target::named("a").await;
    let rule = "{name: here, type: STATIC, statusCode: 200, responseMessage: hi,
          conditions: [{type: PATH, condition: EQUALS, value: /here}]}";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rules(rule)).await;
    let told = |path: &str, version: &str, headers| {
        let sample = json!({"path": path, "httpVersion": version, "headers": headers});
        let (status, told) = ask(&edge, "POST", "/api/v1/explain", &[], &sample.to_string());
        assert_eq!(status, 200, "{told}");
        told
    };
    let handshake =
        json!({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"});
    let refused = told("/here", "2", handshake.clone());
    assert_eq!(refused["refusal"]["reason"], "bad_handshake", "{refused}");
    assert_eq!(
        told("/here", "1.1", handshake.clone())["action"]["statusCode"],
        200
    );
    assert_eq!(told("/here", "2", json!({}))["action"]["statusCode"], 200);
    assert_eq!(told("/", "2", handshake)["action"]["websocket"], true);
    assert_eq!(
        told("/", "2", json!({"Host": []}))["action"]["targetGroup"],
        "group"
    );
}
