//! The conditions of HTTP rules hold for what they say, and negated for everything else.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::harness::{Answer, Config, Connection, Edge};

/// A condition; requests for which it holds, and requests for which it does not. Of a request its
/// lines, without the version, which is HTTP/1.1, and the Host, which is example.com, where they
/// are not given.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);
const CONDITIONS: &[Row] = &[
    (
        "{type: HEADER, condition: EXISTS, key: X-Room}",
        &["GET / | X-Room: a", "GET / | x-room:"],
        &["GET /", "GET / | X-Rooms: a"],
    ),
    (
        "{type: HEADER, condition: CONTAINS, key: x-ROOM, value: lu}",
        &["GET / | X-Room: blue", "GET / | X-Room: a | X-Room: lu"],
        &["GET /", "GET / | X-Room: BLUE"],
    ),
    (
        "{type: HEADER, condition: EQUALS, key: X-Room, value: blue}",
        &["GET / | X-Room: blue", "GET / | X-Room: a | x-room: blue"],
        &["GET / | X-Room: blues", "GET / | X-Room: a, blue"],
    ),
    (
        "{type: HEADER, condition: MATCHES, key: X-Room, value: '^b[lr]ue$'}",
        &["GET / | X-Room: blue", "GET / | X-Room: brue"],
        &["GET / | X-Room: glue", "GET / | X-Room: Blue"],
    ),
    (
        "{type: HEADER, condition: STARTS_WITH, key: X-Room, value: bl}",
        &["GET / | X-Room: blue"],
        &["GET / | X-Room: able"],
    ),
    (
        "{type: HEADER, condition: ENDS_WITH, key: X-Room, value: ue}",
        &["GET / | X-Room: blue"],
        &["GET / | X-Room: blues"],
    ),
    (
        "{type: HEADER, condition: EQUALS, key: Connection, value: upgrade}",
        &[
            "GET / | Connection: Upgrade",
            "GET / | Connection: keep-alive, Upgrade",
        ],
        &["GET / | Connection: keep-alive", "GET /"],
    ),
    (
        "{type: HEADER, condition: EQUALS, key: Upgrade, value: websocket}",
        &[
            "GET / | Upgrade: WebSocket",
            "GET / | Upgrade: h2c, websocket",
        ],
        &["GET / | Upgrade: h2c", "GET / | Upgrade: websocket2"],
    ),
    (
        "{type: HEADER, condition: CONTAINS, key: Upgrade, value: SOCK}",
        &["GET / | Upgrade: websocket"],
        &["GET / | Upgrade: h2c"],
    ),
    (
        "{type: HEADER, condition: MATCHES, key: Upgrade, value: '^web.*T$'}",
        &["GET / | Upgrade: a, WebSocket"],
        &["GET / | Upgrade: h2c"],
    ),
    (
        "{type: QUERY, condition: EXISTS, key: room}",
        &["GET /?room", "GET /?a=b&room=", "GET /?room=a"],
        &["GET /", "GET /room=a", "GET /?Room=a", "GET /?rooms=a"],
    ),
    (
        "{type: QUERY, condition: CONTAINS, key: room, value: lu}",
        &["GET /?room=blue"],
        &["GET /?room=bl&room=ue", "GET /?room=b%6Cue"],
    ),
    (
        "{type: QUERY, condition: EQUALS, key: room, value: blue}",
        &["GET /?room=blue", "GET /?room=a&room=blue&b"],
        &["GET /?room=Blue", "GET /?room=blue%20", "GET /?a=room=blue"],
    ),
    (
        "{type: QUERY, condition: MATCHES, key: room, value: '^[0-9]+$'}",
        &["GET /?room=12"],
        &["GET /?room=12a", "GET /?room="],
    ),
    (
        "{type: QUERY, condition: STARTS_WITH, key: room, value: bl}",
        &["GET /?room=blue"],
        &["GET /?room=able"],
    ),
    (
        "{type: QUERY, condition: ENDS_WITH, key: room, value: ue}",
        &["GET /?room=blue"],
        &["GET /?room=blues"],
    ),
    (
        "{type: COOKIE, condition: EXISTS, key: room}",
        &[
            "GET / | Cookie: a=b; room=",
            "GET / | Cookie: a | Cookie: room=a",
        ],
        &[
            "GET /",
            "GET / | Cookie: Room=a",
            "GET / | X-Cookie: room=a",
        ],
    ),
    (
        "{type: COOKIE, condition: CONTAINS, key: room, value: lu}",
        &["GET / | Cookie: room=blue"],
        &["GET / | Cookie: room=b; a=lu"],
    ),
    (
        "{type: COOKIE, condition: EQUALS, key: room, value: blue}",
        &[
            "GET / | Cookie: a=b; room=blue; c=d",
            "GET / | Cookie: room=blue",
        ],
        &["GET / | Cookie: room=BLUE", "GET / | Cookie: room=blue2"],
    ),
    (
        "{type: COOKIE, condition: MATCHES, key: room, value: '^b.*e$'}",
        &["GET / | Cookie: room=blue"],
        &["GET / | Cookie: room=ablue"],
    ),
    (
        "{type: COOKIE, condition: STARTS_WITH, key: room, value: bl}",
        &["GET / | Cookie: room=blue"],
        &["GET / | Cookie: room=able"],
    ),
    (
        "{type: COOKIE, condition: ENDS_WITH, key: room, value: ue}",
        &["GET / | Cookie: room=blue"],
        &["GET / | Cookie: room=blues; b=ue"],
    ),
    (
        "{type: PATH, condition: CONTAINS, value: /b/}",
        &["GET /a/b/c"],
        &["GET /a/b", "GET /a?/b/", "GET /a%2Fb/"],
    ),
    (
        "{type: PATH, condition: EQUALS, value: /a%20b}",
        &["GET /a%20b", "GET /a%20b?c"],
        &["GET /a%20b/", "GET /A%20b", "GET //a%20b"],
    ),
    (
        "{type: PATH, condition: MATCHES, value: '^/[0-9]+$'}",
        &["GET /12", "GET /12?a"],
        &["GET /a12", "GET /12/"],
    ),
    (
        "{type: PATH, condition: STARTS_WITH, value: /a/}",
        &["GET /a/", "GET /a/../b", "GET http://example.com/a/"],
        &["GET /a", "GET /b/a/", "GET /./a/"],
    ),
    (
        "{type: PATH, condition: UNDER, value: /a/b/}",
        &["GET /a/b", "GET /a/b/", "GET /a/b/c?d", "GET /a/b?/c"],
        &["GET /a", "GET /a/bc", "GET /A/b", "GET /c/a/b"],
    ),
    (
        "{type: PATH, condition: ENDS_WITH, value: .js}",
        &["GET /a.js", "GET /a.js?b"],
        &["GET /a.jsx", "GET /?a.js"],
    ),
    (
        "{type: HOST, condition: EXISTS}",
        &["GET /", "GET http://example.com/"],
        &["GET / HTTP/1.0"],
    ),
    (
        "{type: HOST, condition: CONTAINS, value: AMPLE}",
        &["GET /", "GET / | Host: sample"],
        &["GET / | Host: exam.ple"],
    ),
    (
        "{type: HOST, condition: EQUALS, value: chat.example.com}",
        &[
            "GET / | Host: Chat.EXAMPLE.com",
            "GET / | Host: chat.example.com:8080",
            "GET / | Host: chat.example.com.",
        ],
        &["GET /", "GET / | Host: chat.example.com.."],
    ),
    (
        "{type: HOST, condition: MATCHES, value: '^[a-z]+\\.example\\.com$'}",
        &["GET / | Host: CHAT.example.com:1"],
        &["GET /", "GET / | Host: a.chat.example.com"],
    ),
    (
        "{type: HOST, condition: STARTS_WITH, value: chat.}",
        &["GET / | Host: Chat.example.com"],
        &["GET / | Host: chatexample.com"],
    ),
    (
        "{type: HOST, condition: ENDS_WITH, value: .example.com}",
        &["GET / | Host: a.EXAMPLE.com:443"],
        &["GET /", "GET / | Host: a.example.com.evil"],
    ),
    (
        "{type: METHOD, condition: CONTAINS, value: U}",
        &["PUT /", "PURGE /"],
        &["GET /"],
    ),
    (
        "{type: METHOD, condition: EQUALS, value: GET}",
        &["GET /"],
        &["POST / | Content-Length: 0", "get /"],
    ),
    (
        "{type: METHOD, condition: MATCHES, value: '^(PUT|POST)$'}",
        &["PUT /", "POST / | Content-Length: 0"],
        &["GET /", "PUTS /"],
    ),
    (
        "{type: METHOD, condition: STARTS_WITH, value: P}",
        &["PATCH /"],
        &["OPTIONS /"],
    ),
    (
        "{type: METHOD, condition: ENDS_WITH, value: T}",
        &["PUT /", "GET /"],
        &["DELETE /"],
    ),
    (
        "{type: SOURCE_IP, value: 127.0.0.1}",
        &["GET /", "GET / | X-Forwarded-For: 10.0.0.1"],
        &[],
    ),
    ("{type: SOURCE_IP, value: 127.0.0.0/31}", &["GET /"], &[]),
    (
        "{type: SOURCE_IP, value: 127.0.0.2/31}",
        &[],
        &["GET /", "GET / | X-Forwarded-For: 127.0.0.2"],
    ),
    ("{type: SOURCE_IP, value: '::1'}", &[], &["GET /"]),
];

#[tokio::test]
async fn every_condition_holds_for_what_it_says_and_negated_for_everything_else() {
    let mut rules = String::new();
    for (place, (condition, _, _)) in CONDITIONS.iter().enumerate() {
        let negated = condition.replace('}', ", negate: true}");
        for (row, condition) in [
            (format!("is-{place}"), *condition),
            (format!("not-{place}"), &negated),
        ] {
            let selected = format!("{{type: HEADER, key: X-Row, condition: EQUALS, value: {row}}}");
            let answer = "type: STATIC, statusCode: 200, responseMessage: found";
            let rule = format!("{{name: {row}, {answer}, conditions: [{selected}, {condition}]}}");
            writeln!(rules, "- {rule}").unwrap();
        }
    }
    let edge = Edge::start(&with_rules(&rules)).await;

    for (place, (condition, holds_for, not_for)) in CONDITIONS.iter().enumerate() {
        let holds = holds_for.iter().map(|request| (request, [200, 404]));
        let fails = not_for.iter().map(|request| (request, [404, 200]));
        for (request, [plain, negated]) in holds.chain(fails) {
            let is = ask(&edge, &format!("{request} | X-Row: is-{place}")).await;
            assert_eq!(is.status, plain, "{condition} for {request}");
            let not = ask(&edge, &format!("{request} | X-Row: not-{place}")).await;
            assert_eq!(not.status, negated, "not {condition} for {request}");
        }
    }
}

#[tokio::test]
async fn all_conditions_of_a_rule_must_hold() {
    let edge = Edge::start(&with_rules(
        "{name: r, type: STATIC, statusCode: 200, responseMessage: '', conditions: [
          {type: PATH, condition: STARTS_WITH, value: /a}, {type: METHOD, condition: EQUALS, value: GET},
          {type: QUERY, condition: EXISTS, key: b, negate: true}]}",
    ))
    .await;
    for (request, status) in [
        ("GET /a", 200),
        ("GET /b", 404),
        ("PUT /a", 404),
        ("GET /a?b", 404),
    ] {
        assert_eq!(ask(&edge, request).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn the_source_is_the_address_that_the_connection_comes_from() {
    let edge = Edge::start(&with_rules(
        "{name: one, type: STATIC, statusCode: 200, responseMessage: '', conditions: [
          {type: SOURCE_IP, value: 127.0.0.2}]},
        {name: block, type: STATIC, statusCode: 200, responseMessage: '', conditions: [
          {type: SOURCE_IP, value: 127.0.1.0/24}]},
        {name: others, type: STATIC, statusCode: 200, responseMessage: '', conditions: [
          {type: SOURCE_IP, value: 127.0.0.1, negate: true}]}",
    ))
    .await;
    for (place, (client, rule)) in [
        ([127, 0, 0, 2], Some("one")),
        ([127, 0, 1, 77], Some("block")),
        ([127, 0, 2, 1], Some("others")),
        ([127, 0, 0, 1], None),
    ]
    .into_iter()
    .enumerate()
    {
        let client = IpAddr::V4(Ipv4Addr::from(client));
        let mut connection = Connection::open_from(client, edge.address).await;
        connection
            .send(text("GET / | X-Forwarded-For: 127.0.0.2"))
            .await;
        connection.answer().await;
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["clientIp"], client.to_string());
        let found = line.get("httpRule").and_then(Value::as_str);
        assert_eq!(found, rule, "from {client}");
    }
}

pub async fn ask(edge: &Edge, request: &str) -> Answer {
    let mut client = edge.connect().await;
    client.send(text(request)).await;
    client.answer().await
}

/// The head of a request that is written as in a [`Row`].
pub fn text(request: &str) -> String {
    let (line, headers) = request.split_once(" | ").unwrap_or((request, ""));
    let mut head = line.to_owned();
    if !line.contains(" HTTP/") {
        head.push_str(" HTTP/1.1");
        if !headers.contains("Host: ") {
            head.push_str("\r\nHost: example.com");
        }
    }
    for header in headers.split(" | ").filter(|header| !header.is_empty()) {
        head.push_str("\r\n");
        head.push_str(header);
    }
    head + "\r\n\r\n"
}

pub fn with_rules(rules: &str) -> Config {
    Config::new().http_rules(rules)
}
