//! A target of HTTP/2 that wants to be asked in HTTP/1.1 is, for that request or altogether, and
//! has not failed (RFC 9113 section 7).

use h2::Reason;
use http::Response;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::config::ONE_IS_ENOUGH;
use crate::harness::http2::{Frames, GOAWAY, HEADERS, SETTINGS, frame};
use crate::harness::target::ok;
use crate::harness::{Answer, Config, Connection, Edge, Target};

const HTTP_1_1_REQUIRED: u8 = 13;

async fn start(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address])
        .group("protocolVersion: HTTP2")
        .group(ONE_IS_ENOUGH);
    Edge::start(&configuration).await
}

async fn is_http2(connection: &Connection) -> bool {
    let mut first = [0; 3];
    while connection.stream.peek(&mut first).await.unwrap() < 3 {}
    first == *b"PRI"
}

/// Says that it was asked in HTTP/1.1, and for what.
async fn answer_in_http1(mut connection: Connection) {
    while connection.has_more().await {
        let head = connection.head().await;
        let body = connection.body(&head).await;
        let line = head.lines().next().unwrap();
        let body = String::from_utf8(body).unwrap();
        connection.send(ok(&format!("{line} {body}"))).await;
    }
}

/// Wants HTTP/1.1 for all below `/private`.
async fn of_two_minds() -> Target {
    Target::scripted(async |connection: Connection| {
        if !is_http2(&connection).await {
            return answer_in_http1(connection).await;
        }
        let mut requests = h2::server::handshake(connection.stream).await.unwrap();
        while let Some(Ok((request, mut answer))) = requests.accept().await {
            if request.uri().path().starts_with("/private") {
                answer.send_reset(Reason::HTTP_1_1_REQUIRED);
                continue;
            }
            let mut body = answer.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"in HTTP/2"), true)
                .unwrap();
        }
    })
    .await
}

async fn post(edge: &Edge, path: &str) -> Answer {
    let fields = "Host: a\r\nContent-Length: 5\r\nConnection: close";
    edge.request(&format!("POST {path} HTTP/1.1\r\n{fields}\r\n\r\nhello"))
        .await
}

#[tokio::test]
async fn a_request_for_which_it_is_wanted_goes_in_http_1_1_and_all_others_in_http_2() {
    let target = of_two_minds().await;
    let edge = start(&target).await;
    for _ in 0..2 {
        assert!(edge.get("/").await.text().contains("in HTTP/2"));
        let private = edge.get("/private").await;
        assert_eq!(private.text(), "GET /private HTTP/1.1 ");
        let private = post(&edge, "/private").await;
        assert_eq!(private.text(), "POST /private HTTP/1.1 hello");
        assert!(post(&edge, "/").await.text().contains("in HTTP/2"));
    }
    let address = target.address;
    let ejections =
        format!("target_ejections_total{{target=\"{address}\",target_group=\"group\"}}");
    assert_eq!(edge.metric(&ejections), 0.0);
    for line in edge.log_lines(8).await {
        assert_eq!(line["closeReason"], "completed", "{line}");
    }
}

#[tokio::test]
async fn a_target_that_wants_it_on_the_whole_connection_is_offered_http_2_no_more() {
    let target = Target::scripted(async |mut connection: Connection| {
        if !is_http2(&connection).await {
            return answer_in_http1(connection).await;
        }
        connection.stream.read_exact(&mut [0; 24]).await.unwrap();
        let mut frames = Frames(connection);
        frames.next_of(&[HEADERS]).await;
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, HTTP_1_1_REQUIRED]);
        let said = [frame(SETTINGS, 0, 0, &[]), goaway].concat();
        frames.0.send(said).await;
        frames.0.to_end().await;
    })
    .await;
    let edge = start(&target).await;
    for _ in 0..2 {
        assert_eq!(post(&edge, "/").await.text(), "POST / HTTP/1.1 hello");
    }
    // One of HTTP/2, and one of HTTP/1.1 that is kept.
    assert_eq!(target.connections(), 2);
}
