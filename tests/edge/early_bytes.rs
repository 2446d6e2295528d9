//! What a client says before its 101, and a target in the packet of its own, is not lost and comes
//! in order.

use crate::handshake::Hesitating;
use crate::harness::client::{HANDSHAKE, status};
use crate::harness::target::switching_protocols;
use crate::harness::{Connection, Edge, Noise, Target, soon};

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
