//! What an idle tunnel in TLS keeps, also when large messages have passed.

use crate::harness::tls::{Encrypted, HOST, forwarding};
use crate::harness::{Authority, Edge, Noise, Target, eventually};

const COUNT: usize = 300;

/// Less than what rustls keeps: twice as much.
const MOST: usize = 8000;

#[tokio::test]
async fn an_idle_tunnel_keeps_no_buffers_after_large_messages() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    authority.issue("one", &[HOST]);
    let config = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&config.server("tunnelRecords: own")).await;
    let bytes = Noise::seeded(1).bytes(60_000);
    let mut clients: Vec<Encrypted> = Vec::new();
    let mut before = 0;
    // What grows with the first ones is not theirs alone.
    for number in 0..COUNT + 20 {
        if number == 20 {
            before = edge.resident_memory();
        }
        let mut client = authority.tunnel(edge.address, HOST).await;
        client.send(&bytes).await;
        assert!(client.exactly(bytes.len()).await == bytes);
        clients.push(client);
    }
    let is_little = || {
        let of_each = edge.resident_memory().saturating_sub(before) / COUNT;
        (of_each < MOST).then_some(())
    };
    eventually("little memory is taken", is_little).await;
}
