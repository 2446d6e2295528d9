//! How many requests, WebSocket handshakes and TLS handshakes a second may bring; what a client
//! alone may ask is in `limits`.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::harness::client::{HANDSHAKE, header, status};
use crate::harness::tls;
use crate::harness::{Authority, Config, Connection, Edge, Target, eventually, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn client(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

async fn start(keys: &str, target: &Target) -> Edge {
    Edge::start(&Config::forwarding_to(&[target.address]).rule(keys)).await
}

/// The first line of the access log about a 429.
async fn refused_line(edge: &Edge) -> Value {
    let line = || {
        let mut lines = edge.log().into_iter();
        lines.find(|line| line["httpStatusCode"] == 429)
    };
    eventually("its line", line).await
}

/// The head of the answer to a handshake of the client with this last byte.
async fn shake(edge: &Edge, number: u8) -> String {
    let mut connection = Connection::open_from(client(number), edge.address).await;
    connection.send(HANDSHAKE).await;
    connection.head().await
}

/// Handshakes of clients with different last bytes, until one is refused; its answer's head.
async fn shake_until_refused(edge: &Edge, mut numbers: impl Iterator<Item = u8>) -> String {
    let refusal = async {
        loop {
            let head = shake(edge, numbers.next().unwrap()).await;
            if status(&head) != 101 {
                return head;
            }
        }
    };
    soon("a handshake too many", refusal).await
}

#[tokio::test]
async fn all_clients_together_have_a_number_of_requests_in_a_second() {
    let target = Target::answering("hello").await;
    let edge = start("maxRequestsPerSecond: 5", &target).await;
    let mut clients = Vec::new();
    for number in 1..=4 {
        clients.push(Connection::open_from(client(number), edge.address).await);
    }
    let asking = async {
        loop {
            for client in &mut clients {
                client.send(GET).await;
                let answer = client.answer().await;
                if answer.status != 200 {
                    return answer;
                }
            }
        }
    };
    let answer = soon("a request too many", asking).await;

    assert_eq!(answer.status, 429);
    assert_eq!(answer.text(), "429 too many requests to this address\n");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    edge.refused("max_requests_per_second", 1).await;
    let line = refused_line(&edge).await;
    assert_eq!(line["error"], "too many requests to this address");
}

#[tokio::test]
async fn handshakes_have_a_limit_of_their_own_and_requests_do_not_count_for_it() {
    let target = Target::named("target").await;
    let edge = start("maxHandshakesPerSecond: 3", &target).await;
    let mut plain = edge.connect().await;
    for _ in 0..20 {
        plain.send(GET).await;
        assert_eq!(plain.answer().await.status, 200);
    }

    let head = shake_until_refused(&edge, (1..=9).cycle()).await;

    assert_eq!(status(&head), 429);
    assert!(header(&head, "retry-after").is_some());
    edge.refused("max_handshakes_per_second", 1).await;
    plain.send(GET).await;
    assert_eq!(plain.answer().await.status, 200);
    let line = refused_line(&edge).await;
    assert_eq!(
        line["error"],
        "too many WebSocket handshakes to this address"
    );
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["httpRule"], "all");
}

#[tokio::test]
async fn a_clients_handshakes_are_counted_by_themselves() {
    let target = Target::named("target").await;
    let edge = start("maxHandshakesPerSecondPerClient: 2", &target).await;
    let head = shake_until_refused(&edge, std::iter::repeat(2)).await;
    assert_eq!(status(&head), 429);
    assert_eq!(status(&shake(&edge, 3).await), 101);
    edge.refused("max_handshakes_per_second_per_client", 1)
        .await;
    soon("it is served again", async {
        while status(&shake(&edge, 2).await) != 101 {}
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_is_refused_for_another_reason_is_not_counted() {
    let target = Target::named("target").await;
    let edge = start("maxHandshakesPerSecond: 1", &target).await;
    let mut connection = edge.connect().await;
    let handshake = HANDSHAKE.replace("Version: 13", "Version: 8");
    for _ in 0..3 {
        connection.send(&handshake).await;
        assert_eq!(status(&connection.head().await), 426);
        connection = edge.connect().await;
    }
    edge.refused("max_handshakes_per_second", 0).await;
}

#[tokio::test]
async fn tls_handshakes_beyond_the_limit_are_not_begun_and_leave_no_line() {
    let target = Target::answering("hello").await;
    assert_tls_refused(&target, "maxTlsHandshakesPerSecond", [1, 2, 3, 4]).await;
    assert_tls_refused(&target, "maxTlsHandshakesPerSecondPerClient", [7; 4]).await;
    assert_eq!(target.connections(), 0);
}

async fn assert_tls_refused(target: &Target, key: &str, numbers: [u8; 4]) {
    let authority = Authority::new();
    let edge = tls::start(&authority, &format!("{key}: 1"), target).await;
    let (mut failed, mut served) = (0, 0);
    let shaking = async {
        while failed == 0 || served == 0 {
            for number in numbers {
                let socket = Connection::open_from(client(number), edge.address)
                    .await
                    .stream;
                match authority.shake_hands(socket, tls::HOST).await {
                    Ok(_) => served += 1,
                    Err(_) => failed += 1,
                }
            }
        }
    };
    soon("a handshake too many", shaking).await;
    let reason = match key {
        "maxTlsHandshakesPerSecond" => "max_tls_handshakes_per_second",
        _ => "max_tls_handshakes_per_second_per_client",
    };
    edge.refused(reason, failed).await;
    edge.refused("tls_handshake", 0).await;
    assert_eq!(edge.log().len(), 0);
}

#[tokio::test]
async fn another_client_shakes_hands_while_one_has_had_its_share() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let key = "maxTlsHandshakesPerSecondPerClient: 1";
    let edge = tls::start(&authority, key, &target).await;
    let shake = async |number: u8| {
        let socket = Connection::open_from(client(number), edge.address)
            .await
            .stream;
        authority.shake_hands(socket, tls::HOST).await.is_ok()
    };
    soon("one too many", async { while shake(2).await {} }).await;
    assert!(shake(3).await);
}
