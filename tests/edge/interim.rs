//! Interim answers (RFC 9110 section 15.2) reach clients of either version of HTTP from targets of
//! either, before the answer.

use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::http2::{self, Http2, get, websocket};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target, soon};

const EARLY: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: a\r\n\r\n";
const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// Sends hints, and says go on before it reads a body that it sends back.
async fn target_of_http_1() -> Target {
    Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            connection.send(EARLY).await;
            if head.to_lowercase().contains("expect: 100-continue") {
                connection.send(GO_ON).await;
            }
            if head.contains("pgrade: websocket") {
                connection.send(switching_protocols(&head)).await;
                return connection.echo_messages().await;
            }
            let body = connection.body(&head).await;
            let body = String::from_utf8(body).unwrap();
            connection.send(ok(&body)).await;
        }
    })
    .await
}

/// The same in HTTP/2.
async fn target_of_http_2() -> Target {
    http2::target(
        async |request: Request<RecvStream>, mut answer: SendResponse<Bytes>| {
            let early = Response::builder().status(103).header("link", "</a.css>");
            answer.send_informational(early.body(()).unwrap()).unwrap();
            if request.headers().contains_key("expect") {
                let go_on = Response::builder().status(100).body(()).unwrap();
                answer.send_informational(go_on).unwrap();
            }
            let (mut body, mut all) = (request.into_body(), Vec::new());
            while let Some(Ok(part)) = body.data().await {
                all.extend_from_slice(&part);
            }
            let mut sender = answer.send_response(Response::new(()), false).unwrap();
            sender.send_data(all.into(), true).unwrap();
        },
    )
    .await
}

/// A Culvert before each of the two, for clients of either version.
async fn edges() -> [(&'static str, Target, Edge); 2] {
    let mut one = Vec::new();
    for (version, target) in [
        ("HTTP1", target_of_http_1().await),
        ("HTTP2", target_of_http_2().await),
    ] {
        let configuration = Config::forwarding_to(&[target.address])
            .rule("h2c: true")
            .group(&format!("protocolVersion: {version}"))
            .each_target("healthCheckEnabled: false");
        let edge = Edge::start(&configuration).await;
        one.push((version, target, edge));
    }
    one.try_into().ok().unwrap()
}

/// The next head of an answer, before its last.
async fn interim(answer: &mut ResponseFuture) -> Response<()> {
    let next = std::future::poll_fn(|cx| answer.poll_informational(cx));
    soon("an interim answer", next).await.unwrap().unwrap()
}

/// The answer's status, and its body.
async fn rest(answer: ResponseFuture, _sender: SendStream<Bytes>) -> (u16, Vec<u8>) {
    let answer = soon("the answer", answer).await.unwrap();
    let (status, mut body) = (answer.status().as_u16(), answer.into_body());
    let mut all = Vec::new();
    while let Some(Ok(part)) = soon("the body", body.data()).await {
        all.extend_from_slice(&part);
    }
    (status, all)
}

#[tokio::test]
async fn hints_and_a_go_on_reach_a_client_of_http_1_1() {
    for (version, _target, edge) in edges().await {
        let mut client = edge.connect().await;
        client.send(EXPECTING).await;
        let early = client.head().await;
        assert!(early.starts_with("HTTP/1.1 103 "), "{version}: {early}");
        assert!(
            early.contains("</a.css>") && !early.contains("-Hop: a"),
            "{early}"
        );
        let go_on = client.head().await;
        assert!(go_on.starts_with("HTTP/1.1 100 "), "{version}: {go_on}");
        client.send("hello").await;
        assert_eq!(client.answer().await.text(), "hello", "{version}");
    }
}

#[tokio::test]
async fn hints_and_a_go_on_reach_a_client_of_http_2() {
    for (version, _target, edge) in edges().await {
        let mut client = Http2::connect(edge.address).await;
        let request = Request::post("http://a.example/")
            .header("expect", "100-continue")
            .body(())
            .unwrap();
        let (mut answer, mut sender) = client.send(request);
        let early = interim(&mut answer).await;
        assert_eq!(early.status(), 103, "{version}");
        assert_eq!(early.headers()["link"], "</a.css>");
        assert_eq!(early.headers().len(), 1, "{early:?}");
        assert_eq!(interim(&mut answer).await.status(), 100, "{version}");
        sender.send_data("hello".into(), true).unwrap();
        let expected = (200, b"hello".to_vec());
        assert_eq!(rest(answer, sender).await, expected, "{version}");
    }
}

#[tokio::test]
async fn hints_reach_a_websocket_over_http_2_before_its_200() {
    let target = target_of_http_1().await;
    let configuration = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    let (mut answer, mut sender) = client.send(websocket("/chat"));
    let early = interim(&mut answer).await;
    assert_eq!(early.status(), 103);
    assert_eq!(early.headers()["link"], "</a.css>");
    sender
        .send_data(crate::harness::client::HI[..].into(), false)
        .unwrap();
    let answer = soon("the answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let echo = soon("the echo", answer.into_body().data()).await;
    assert_eq!(&echo.unwrap().unwrap()[..], b"\x81\x02hi");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_alone() {
    for (version, target, edge) in edges().await {
        if version == "HTTP2" {
            continue;
        }
        let mut client = edge.connect().await;
        client.send(EXPECTING.replace("1.1", "1.0") + "hello").await;
        let answer = client.to_end().await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{version}: {answer}");
        assert!(answer.ends_with("hello"), "{version}: {answer}");
        assert!(!target.heads()[0].to_lowercase().contains("expect"));
    }
}

#[tokio::test]
async fn a_target_that_sends_hints_without_end_is_given_up() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let early = EARLY.replace("</a.css>", &"a".repeat(8000));
        for _ in 0..20 {
            connection.send(&early).await;
        }
        connection.send(ok("late")).await;
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    assert_eq!(client.ask(get("/"), "").await.status(), 502);
    let line = edge.log_line().await;
    assert_eq!(line["error"], "the target broke off or sent garbage");
}
