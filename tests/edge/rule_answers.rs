//! What is answered by HTTP rules themselves, redirects and static answers, and where none
//! matches.

use std::fmt::Write as _;

use crate::conditions::{ask, text, with_rules};
use crate::harness::Edge;

#[tokio::test]
async fn a_redirect_has_its_status_and_takes_the_query_along_unless_it_drops_it() {
    let mut rules = String::new();
    for code in [301, 302, 303, 307, 308] {
        for drop in [false, true] {
            writeln!(
                rules,
                "- {{name: r-{code}-{drop}, type: REDIRECT, statusCode: {code}, dropQuery: {drop}, \
                 location: 'https://new.example/x', conditions: [\
                 {{type: PATH, condition: EQUALS, value: /{code}/{drop}}}]}}"
            )
            .unwrap();
        }
    }
    let edge = Edge::start(&with_rules(&rules)).await;
    for code in [301, 302, 303, 307, 308] {
        for (request, location) in [
            ("false", "https://new.example/x"),
            ("false?a=1&b=%20", "https://new.example/x?a=1&b=%20"),
            ("true", "https://new.example/x"),
            ("true?a=1&b=%20", "https://new.example/x"),
        ] {
            let answer = ask(&edge, &format!("GET /{code}/{request}")).await;
            assert_eq!(answer.status, code, "{request}");
            assert_eq!(
                answer.header("location"),
                Some(location),
                "{code} {request}"
            );
            assert_eq!(answer.header("content-length"), Some("0"));
        }
    }
}

#[tokio::test]
async fn the_defaults_of_redirect_and_static_are_301_with_the_query_and_503_in_plain_text() {
    let edge = Edge::start(&with_rules(
        "{name: r, type: REDIRECT, location: www.example.com, conditions: [
          {type: PATH, condition: EQUALS, value: /old}]},
        {name: s, type: STATIC, responseMessage: Back at noon.}",
    ))
    .await;

    let answer = ask(&edge, "GET /old?a=b").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.header("location"), Some("www.example.com?a=b"));

    let answer = ask(&edge, "GET /").await;
    assert_eq!((answer.status, answer.text()), (503, "Back at noon."));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let lines = edge.log_lines(2).await;
    assert_eq!(
        [&lines[0]["closeReason"], &lines[1]["closeReason"]],
        ["completed"; 2]
    );
}

#[tokio::test]
async fn a_static_answer_is_as_configured_and_without_its_body_to_head() {
    let edge = Edge::start(&with_rules(
        "{name: s, type: STATIC, statusCode: 418, contentType: application/json,
          responseMessage: '{\"tea\": \"schön\"}'}",
    ))
    .await;
    let mut client = edge.connect().await;
    let body = "{\"tea\": \"schön\"}";

    client
        .send(text("HEAD /") + &text("GET /") + &text("POST / | Content-Length: 3") + "abc")
        .await;

    let head = client.answer_without_body().await;
    for answer in [head, client.answer().await, client.answer().await] {
        assert_eq!(answer.status, 418);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(
            answer.header("content-length"),
            Some(&*body.len().to_string())
        );
        assert!(answer.body.is_empty() || answer.text() == body);
    }
    let sent = edge.log_lines(3).await;
    let sent = sent
        .iter()
        .map(|line| line["responseBodyBytes"].as_u64().unwrap());
    assert_eq!(sent.collect::<Vec<_>>(), [0, 17, 17]);
}

#[tokio::test]
async fn a_static_answer_of_a_status_without_a_body_has_none() {
    let edge = Edge::start(&with_rules(
        "{name: s204, type: STATIC, statusCode: 204, responseMessage: '', conditions: [
          {type: PATH, condition: EQUALS, value: /204}]},
        {name: s304, type: STATIC, statusCode: 304, responseMessage: ''}",
    ))
    .await;
    let mut client = edge.connect().await;
    for status in [204, 304, 204] {
        client.send(text(&format!("GET /{status}"))).await;
        let answer = client.answer_without_body().await;
        assert_eq!(answer.status, status);
        for absent in ["content-length", "transfer-encoding", "content-type"] {
            assert_eq!(answer.header(absent), None, "{absent} with {status}");
        }
    }
}

#[tokio::test]
async fn a_request_that_no_rule_matches_gets_a_404_with_a_short_body() {
    let edge = Edge::start(&with_rules(
        "{name: s, type: STATIC, responseMessage: '', conditions: [
          {type: PATH, condition: EQUALS, value: /a}]}",
    ))
    .await;
    let mut client = edge.connect().await;
    let body = "404 no HTTP rule matches the request\n";

    client
        .send(text("HEAD /b") + &text("GET /b") + &text("POST /b | Content-Length: 1") + "x")
        .await;

    let head = client.answer_without_body().await;
    assert_eq!(
        head.header("content-length"),
        Some(&*body.len().to_string())
    );
    for _ in 0..2 {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (404, body));
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    client.finish().await;
    assert_eq!(client.to_end().await, b"");
    for line in edge.log_lines(3).await {
        assert_eq!(line["httpStatusCode"], 404);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line.get("httpRule"), None);
    }
    edge.refused("no_matching_rule", 3).await;
}

#[tokio::test]
async fn an_answer_of_ours_does_not_break_a_long_request_off() {
    let edge = Edge::start(&with_rules(
        "{name: s, type: STATIC, responseMessage: Back at noon., conditions: [
          {type: PATH, condition: EQUALS, value: /static}]},
        {name: r, type: REDIRECT, location: /static, conditions: [
          {type: PATH, condition: EQUALS, value: /redirect}]}",
    ))
    .await;
    for (path, status) in [("/static", 503), ("/redirect", 301), ("/nowhere", 404)] {
        let mut client = edge.connect().await;
        let head = text(&format!("POST {path} | Content-Length: 10000000"));
        client.send(head).await;
        client.send(vec![b'x'; 10_000_000]).await;
        assert_eq!(client.answer().await.status, status, "{path}");
    }
}
