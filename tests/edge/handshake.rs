//! The way from a request to a tunnel: what opens one, what does not, and what each side is told.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::target::{refusing, switching_protocols};
use crate::harness::{Config, Connection, Edge, Noise, Target, soon};

const CHROME: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://example.com\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=1f2e3d; theme=dark\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const FIREFOX: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; \
    rv:127.0) Gecko/20100101 Firefox/127.0\r\nAccept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nSec-WebSocket-Version: 13\r\nOrigin: https://example.com\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Connection: keep-alive, Upgrade\r\nCookie: session=1f2e3d; theme=dark\r\nSec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: websocket\r\nSec-Fetch-Site: same-origin\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
    Upgrade: websocket\r\n\r\n";

/// The conditions by which IONOS' documentation tells a WebSocket handshake.
const HANDSHAKE_CONDITIONS: &str = "conditions: [\
    {type: HEADER, condition: EQUALS, key: Connection, value: upgrade}, \
    {type: HEADER, condition: EQUALS, key: Upgrade, value: websocket}]";

/// A target that sends back all that comes after its 101, which it gives only when told to.
struct Hesitating {
    target: Target,
    asked: Arc<Notify>,
    accept: Arc<Notify>,
}

impl Hesitating {
    async fn start() -> Self {
        let (asked, accept) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (ask, accepted) = (Arc::clone(&asked), Arc::clone(&accept));
        let target = Target::scripted(move |mut connection: Connection| {
            let (ask, accepted) = (Arc::clone(&ask), Arc::clone(&accepted));
            async move {
                let head = connection.head().await;
                ask.notify_one();
                accepted.notified().await;
                connection.send(switching_protocols(&head)).await;
                connection.echo().await;
            }
        })
        .await;
        Hesitating {
            target,
            asked,
            accept,
        }
    }
}

/// A client sends some bytes in the packet of its handshake and some later, all before the 101.
async fn early_bytes_arrive(with_head: &[u8], later: &[u8]) {
    let hesitating = Hesitating::start().await;
    let edge = Edge::forwarding_to(&[hesitating.target.address]).await;
    let mut client = edge.connect().await;
    let handshake = [HANDSHAKE.as_bytes(), with_head].concat();
    client.send(handshake).await;
    soon("the target is asked", hesitating.asked.notified()).await;
    client.send(later).await;
    hesitating.accept.notify_one();
    assert_eq!(status(&client.head().await), 101);
    let early = [with_head, later].concat();
    assert!(client.exactly(early.len()).await == early, "other bytes");

    client.send("after the 101").await;
    assert_eq!(client.exactly(13).await, b"after the 101");
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["requestHeaderBytes"], HANDSHAKE.len());
    assert_eq!(line["requestBodyBytes"], early.len() + 13);
    assert_eq!(line["responseBodyBytes"], early.len() + 13);
}

#[tokio::test]
async fn bytes_in_the_packet_of_the_handshake_reach_the_target_after_its_101() {
    early_bytes_arrive(b"early", b"").await;
}

#[tokio::test]
async fn bytes_between_the_handshake_and_the_101_reach_the_target_after_its_101() {
    early_bytes_arrive(b"", b"early").await;
}

#[tokio::test]
async fn bytes_with_the_handshake_and_behind_it_reach_the_target_in_their_order() {
    early_bytes_arrive(b"with the head, ", b"and later").await;
}

#[tokio::test]
async fn many_bytes_before_the_101_reach_the_target_after_it() {
    let bytes = Noise::seeded(3).bytes(200_000);
    early_bytes_arrive(&bytes, b"").await;
    early_bytes_arrive(b"", &bytes).await;
    let (with_head, later) = bytes.split_at(100_000);
    early_bytes_arrive(with_head, later).await;
}

#[tokio::test]
async fn what_looks_like_a_request_before_the_101_is_not_one() {
    early_bytes_arrive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"").await;
}

#[tokio::test]
async fn a_target_that_speaks_in_the_packet_of_its_101_is_heard() {
    for words in ["hello".to_owned(), "hello ".repeat(20_000)] {
        let (said, count) = (words.clone(), words.len());
        let target = Target::scripted(move |mut connection: Connection| {
            let words = words.clone();
            async move {
                let head = connection.head().await;
                let accepted = switching_protocols(&head);
                connection.send(accepted + &words).await;
                connection.echo().await;
            }
        })
        .await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let (mut client, _) = edge.tunnel().await;
        assert!(client.exactly(count).await == said.as_bytes(), "{count}");
        client.send("thanks").await;
        assert_eq!(client.exactly(6).await, b"thanks");
    }
}

#[tokio::test]
async fn a_tunnel_stays_open_however_fast_the_target_accepts_it() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for place in 0..300_u16 {
        let (mut client, _) = edge.tunnel().await;
        client.send(place.to_be_bytes()).await;
        assert_eq!(client.exactly(2).await, place.to_be_bytes());
    }
}

#[tokio::test]
async fn heads_may_come_byte_by_byte_from_either_side() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        for byte in switching_protocols(&head).bytes() {
            connection.send([byte]).await;
        }
        connection.echo().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    for byte in HANDSHAKE.bytes() {
        client.send([byte]).await;
    }
    assert_eq!(status(&client.head().await), 101);
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn lines_of_a_head_may_end_with_a_bare_line_feed() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let answer = switching_protocols(&head).replace("\r\n", "\n");
        connection.send(answer + "first").await;
        connection.echo().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE.replace("\r\n", "\n") + "early").await;
    assert_eq!(status(&client.head().await), 101);
    assert_eq!(client.exactly(10).await, b"firstearly");
}

/// A target that gives handshakes this answer and plain requests a 204.
async fn declining(answer: &'static str) -> Target {
    Target::scripted(move |mut connection: Connection| async move {
        while connection.has_more().await {
            let answer = match header(&connection.head().await, "upgrade") {
                Some(_) => answer,
                None => "HTTP/1.1 204 No Content\r\n\r\n",
            };
            connection.send(answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_target_that_declines_is_heard_and_the_connection_goes_on() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied",
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 5\r\n\r\nlogin",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let target = declining(answer).await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        let seen = client.head().await;
        assert_eq!(status(&seen), status(answer));
        assert_eq!(header(&seen, "location"), header(answer, "location"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(client.exactly(body.len()).await, body.as_bytes());
        let line = edge.log_line().await;
        assert_eq!(line["httpStatusCode"], status(answer));
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line.get("upgrade"), None);

        let plain = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
        client.send(plain).await;
        assert_eq!(client.answer().await.status, 204);
    }
}

#[tokio::test]
async fn a_client_that_did_not_wait_hears_a_target_that_declines() {
    let target = declining("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client
        .send([HANDSHAKE.as_bytes(), b"\x81\x85early"].concat())
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "denied"));
    assert_eq!(target.connections(), 1, "the frame went to a target");
}

#[tokio::test]
async fn interim_answers_come_before_the_101_and_before_a_refusal() {
    const INTERIM: &str =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    for code in [101, 403] {
        let target = Target::scripted(move |mut connection: Connection| async move {
            let accepted = switching_protocols(&connection.head().await);
            let answer = match code {
                101 => accepted + "hello",
                _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            };
            connection.send(format!("{INTERIM}{answer}")).await;
            connection.echo().await;
        })
        .await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        assert_eq!(status(&client.head().await), 100);
        assert_eq!(header(&client.head().await, "link"), Some("</style.css>"));
        assert_eq!(status(&client.head().await), code);
        assert_eq!(client.exactly(5).await, b"hello");
        client.finish().await;
        assert_eq!(edge.log_line().await["httpStatusCode"], code);
    }
}

#[tokio::test]
async fn bad_handshakes_are_refused_and_no_target_hears_of_them() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let faults = [
        ("GET", "POST"),
        ("GET", "HEAD"),
        ("Host: example.com\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade", "Connection: keep-alive"),
        (KEY, ""),
        (KEY, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        (KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!!\r\n"),
        (KEY, &format!("{KEY}{KEY}")),
        (VERSION, &format!("{VERSION}Content-Length: 5\r\n")),
        (VERSION, &format!("{VERSION}Transfer-Encoding: chunked\r\n")),
    ];
    for (place, (good, bad)) in faults.into_iter().enumerate() {
        let answer = edge.request(&HANDSHAKE.replacen(good, bad, 1)).await;
        assert_eq!(answer.status, 400, "{good:?} → {bad:?}");
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 400);
        assert_eq!(line["closeReason"], "refused", "{good:?} → {bad:?}");
        assert_eq!(line.get("upgrade"), None);
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn another_websocket_version_is_answered_with_ours() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for version in ["Version: 8", "Version: 14", "Version: 13, 8", "Visions: 13"] {
        let handshake = HANDSHAKE.replace("Version: 13", version);
        let answer = edge.request(&handshake).await;
        assert_eq!(answer.status, 426);
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    }
    for line in edge.log_lines(4).await {
        assert_eq!(line["httpStatusCode"], 426);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["error"], "only WebSocket version 13 is served");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn another_upgrade_is_a_plain_request() {
    let target = Target::answering("plain").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let h2c = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    for (place, request) in [h2c, &HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0")]
        .into_iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "plain"));
        let seen = target.heads().remove(place);
        assert_eq!(header(&seen, "upgrade"), None, "{seen}");
        assert_eq!(header(&seen, "http2-settings"), None, "{seen}");
        assert!(header(&seen, "connection") != Some("Upgrade"), "{seen}");
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line.get("upgrade"), None);
        assert_eq!(line["closeReason"], "completed");
    }
}

#[tokio::test]
async fn the_seeds_rule_matches_the_browsers_handshakes_and_no_plain_request() {
    let target = Target::mirror().await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.http_rule(HANDSHAKE_CONDITIONS)).await;
    for handshake in [CHROME, FIREFOX] {
        let mut client = edge.connect().await;
        client.send(handshake).await;
        assert_eq!(status(&client.head().await), 101);
        let seen = target.heads().pop().unwrap();
        for line in handshake.trim_end().lines() {
            let is_same = seen.lines().any(|seen| seen.eq_ignore_ascii_case(line));
            assert!(
                is_same || line.starts_with("Connection: "),
                "{line}\n{seen}"
            );
        }
    }
    assert_eq!(edge.get("/chat").await.status, 404);
    assert_eq!(target.connections(), 2);
}

#[tokio::test]
async fn a_handshake_that_the_target_leaves_unanswered_gets_a_504() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if head.contains("/interim") {
            connection.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        }
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.group("responseTimeout: 300")).await;
    let interim = handshake("/interim", "");
    for (place, (handshake, early)) in [(HANDSHAKE, ""), (HANDSHAKE, "early"), (&interim, "")]
        .into_iter()
        .enumerate()
    {
        let mut client = edge.connect().await;
        client.send(format!("{handshake}{early}")).await;
        if handshake == interim {
            assert_eq!(status(&client.head().await), 103);
        }
        let answer = client.answer().await;
        assert_eq!(answer.status, 504);
        client.to_end().await;
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 504);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["error"], "the target did not answer in time");
        assert_eq!(line.get("upgrade"), None);
        assert!(line["durationMs"].as_f64().unwrap() >= 300.0, "{line}");
    }
}

#[tokio::test]
async fn a_target_that_declines_and_then_falls_silent_is_given_up() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nden";
        connection.send(answer).await;
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]);
    let configuration = configuration.group("responseTimeout: 300");
    let edge = Edge::start(&configuration).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    let answer = client.answer_to_end().await;
    assert_eq!((answer.status, answer.text()), (403, "den"));
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 403);
    assert_eq!(line["closeReason"], "target_error");
}

#[tokio::test]
async fn a_client_that_is_gone_before_the_101_leaves_its_line() {
    for (does_reset, reason) in [(false, "client_closed"), (true, "client_error")] {
        let hesitating = Hesitating::start().await;
        let edge = Edge::forwarding_to(&[hesitating.target.address]).await;
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        soon("the target is asked", hesitating.asked.notified()).await;
        if does_reset {
            client.reset();
        } else {
            drop(client);
        }
        hesitating.accept.notify_one();
        assert_eq!(edge.log_line().await["closeReason"], reason);
    }
}

#[tokio::test]
async fn a_handshake_without_a_target_gets_a_503() {
    let edge = Edge::forwarding_to(&[refusing()]).await;
    let answer = edge.request(HANDSHAKE).await;
    assert_eq!(answer.status, 503);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 503);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line.get("upgrade"), None);
}

#[tokio::test]
async fn a_handshake_whose_target_breaks_off_gets_a_502() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = edge.request(HANDSHAKE).await;
    assert_eq!(answer.status, 502);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 502);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line.get("upgrade"), None);
}

#[tokio::test]
async fn a_handshake_goes_on_to_the_next_target_when_one_cannot_be_connected_to() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[refusing(), target.address]).await;
    for _ in 0..4 {
        edge.tunnel().await;
    }
    for line in edge.log_lines(4).await {
        assert_eq!(line["target"], target.address.to_string());
        assert_eq!(line["closeReason"], "client_closed");
    }
}

#[tokio::test]
async fn the_target_learns_who_the_client_is_and_the_exchanges_id() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    let lies = "Host: Example.com:8080\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil\r\nX-Request-Id: mine\r\nForwarded: for=192.0.2.1\r\n";
    client
        .send(HANDSHAKE.replace("Host: example.com\r\n", lies))
        .await;
    client.head().await;
    client.finish().await;

    let line = edge.log_line().await;
    let head = target.heads().remove(0);
    assert_eq!(header(&head, "host"), Some("Example.com:8080"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("Example.com:8080"));
    assert_eq!(header(&head, "x-request-id"), line["trackingId"].as_str());
    assert_eq!(header(&head, "forwarded"), None);
    for lie in ["192.0.2.1", "evil", "mine"] {
        assert!(!head.contains(lie), "{head}");
    }
}
