//! `cors` of a rule: preflights are answered here, and the targets' answers say what pages of other
//! sites may do with them.

use crate::harness::process::run;
use crate::harness::target::ok;
use crate::harness::{Answer, Config, Edge, Target};

const CORS: &str = "cors: {allowOrigins: ['https://app.example', 'https://*.example.org'], \
    allowMethods: [PUT, DELETE], allowHeaders: [X-Room], exposeHeaders: [X-Total], maxAge: 1h, \
    allowCredentials: true}";

/// A target with an opinion of its own.
async fn target() -> Target {
    Target::replying(|_, _| {
        let lines = "\r\nAccess-Control-Allow-Origin: https://target.example\r\nVary: Accept\r\n";
        ok("hello").replacen("\r\n", lines, 1)
    })
    .await
}

async fn ask(edge: &Edge, method: &str, lines: &str) -> Answer {
    let head = format!("{method} /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    let mut client = edge.connect().await;
    client.send(head).await;
    match method {
        "OPTIONS" => client.answer_without_body().await,
        _ => client.answer().await,
    }
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_target() {
    let target = target().await;
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(CORS)).await;
    let preflight =
        "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-room\r\n";
    let lines = format!("Origin: https://a.example.org\r\n{preflight}");
    let answer = ask(&edge, "OPTIONS", &lines).await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example.org"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT, DELETE"),
        ("access-control-allow-headers", "X-Room"),
        ("access-control-max-age", "3600"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("vary").unwrap().starts_with("Origin, "));
    let line = edge.log_line().await;
    assert_eq!(
        (&line["httpRule"], &line["httpStatusCode"]),
        (&"all".into(), &204.into())
    );
    assert_eq!(target.heads().len(), 0);
}

#[tokio::test]
async fn answers_say_what_the_rule_says_and_not_what_the_target_says() {
    let target = target().await;
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(CORS)).await;
    let answer = ask(&edge, "GET", "Origin: https://app.example\r\n").await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!(
        (answer.text(), told),
        ("hello", Some("https://app.example"))
    );
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("X-Total")
    );
    let vary = answer.head.to_ascii_lowercase();
    assert!(vary.contains("\r\nvary: accept\r\n") && vary.contains("\r\nvary: origin\r\n"));
}

#[tokio::test]
async fn a_page_that_may_not_passes_and_is_told_nothing_but_a_preflight_ends_here() {
    let target = target().await;
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(CORS)).await;
    for lines in [
        "",
        "Origin: https://example.org\r\n",
        "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
    ] {
        let answer = ask(&edge, "GET", lines).await;
        assert_eq!(answer.text(), "hello");
        assert!(
            !answer.head.to_ascii_lowercase().contains("access-control"),
            "{}",
            answer.head
        );
    }
    let preflight = "Origin: https://other.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = ask(&edge, "OPTIONS", preflight).await;
    assert_eq!(answer.status, 204);
    let head = answer.head.to_ascii_lowercase();
    assert!(!head.contains("\r\naccess-control"), "{head}");
    assert!(head.contains("\r\nvary: origin, access-control"), "{head}");
    assert_eq!(target.heads().len(), 3);
}

#[tokio::test]
async fn without_the_key_the_target_has_the_word() {
    let target = target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = ask(&edge, "GET", "Origin: https://app.example\r\n").await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!(told, Some("https://target.example"));
}

#[test]
fn explain_foretells_the_answer_to_a_preflight() {
    let folder = tempfile::tempdir().unwrap();
    let target = "127.0.0.1:9".parse().unwrap();
    let config = Config::forwarding_to(&[target])
        .http_rule(CORS)
        .rule("listenerPort: 80");
    config.write_to(folder.path());
    let arguments = [
        "explain",
        "--offline",
        "-c",
        "culvert.yaml",
        "-X",
        "OPTIONS",
        "/",
        "-H",
        "Host: a",
        "-H",
        "Origin: https://app.example",
        "-H",
        "Access-Control-Request-Method: PUT",
    ];
    let said = String::from_utf8(run(&arguments, folder.path()).stdout).unwrap();
    assert_eq!(said.lines().last(), Some("=> all: 204"), "{said}");
}

#[tokio::test]
async fn a_redirect_says_who_may_follow_it_and_its_preflights_are_answered() {
    let rule = format!("{{name: old, type: REDIRECT, location: /new, {CORS}}}");
    let edge = Edge::start(&Config::new().http_rules(&rule)).await;
    let origin = "Origin: https://app.example\r\n";
    let answer = ask(&edge, "GET", origin).await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, told), (301, Some("https://app.example")));
    let preflight = format!("{origin}Access-Control-Request-Method: PUT\r\n");
    let answer = ask(&edge, "OPTIONS", &preflight).await;
    let told = answer.header("access-control-allow-methods");
    assert_eq!((answer.status, told), (204, Some("PUT, DELETE")));
    let answer = ask(&edge, "GET", "Origin: https://other.example\r\n").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
