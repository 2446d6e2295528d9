//! A record of which a part has come before the 101 is read whole, and from then on our own records
//! are used.

use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::handshake::Hesitating;
use crate::harness::client::HANDSHAKE;
use crate::harness::tls::{HOST, forwarding};
use crate::harness::{Authority, Edge, Noise, soon};
use crate::tunnel_records_words::{OWN, alert};

/// How much of the head of the second record, or of its body, comes with the handshake.
async fn half_a_record_is_read_whole(part: usize) {
    let (authority, hesitating) = (Authority::new(), Hesitating::start().await);
    authority.issue("one", &[HOST]);
    let config = forwarding(&authority, &["one"], "", hesitating.target.address);
    let edge = Edge::start(&config.server("tunnelRecords: own")).await;
    let client = authority.connect(edge.address, HOST).await;
    let (mut socket, mut connection) = client.into_parts().0.into_inner();
    let mut records = Vec::new();
    connection.writer().write_all(HANDSHAKE.as_bytes()).unwrap();
    while connection.write_tls(&mut records).unwrap() > 0 {}
    let first = records.len();
    let early = Noise::seeded(1).bytes(10_000);
    connection.writer().write_all(&early).unwrap();
    while connection.write_tls(&mut records).unwrap() > 0 {}
    let (with_head, later) = records.split_at(first + part);
    socket.write_all(with_head).await.unwrap();
    soon("the target is asked", hesitating.asked.notified()).await;
    hesitating.accept.notify_one();
    socket.readable().await.unwrap();
    socket.write_all(later).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(&early) {
        let mut bytes = [0; 4096];
        let count = soon("the echo", socket.read(&mut bytes)).await.unwrap();
        assert!(connection.read_tls(&mut &bytes[..count]).unwrap() == count);
        connection.process_new_packets().unwrap();
        std::io::copy(&mut connection.reader(), &mut said).ok();
    }
    alert(&mut socket, &mut connection).await;
    assert_eq!(edge.log_line().await["error"], OWN);
}

#[tokio::test]
async fn half_of_a_records_head_may_come_before_the_101() {
    half_a_record_is_read_whole(3).await;
}

#[tokio::test]
async fn half_of_a_record_may_come_before_the_101() {
    half_a_record_is_read_whole(5000).await;
}

#[tokio::test]
async fn a_whole_record_may_come_before_the_101() {
    half_a_record_is_read_whole(10_022).await;
}
