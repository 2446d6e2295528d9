//! The way from a request to a tunnel: what opens one, what does not, and what each side is told.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::harness::client::{HANDSHAKE, header, status};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target};

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
pub struct Hesitating {
    pub target: Target,
    pub asked: Arc<Notify>,
    pub accept: Arc<Notify>,
}

impl Hesitating {
    pub async fn start() -> Self {
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
