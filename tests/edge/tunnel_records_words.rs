//! A record that cannot be decrypted ends a tunnel: the client is told by an alert, and the log has the
//! words of whatever speaks TLS there. A reload changes that for tunnels that open then.

use std::io::Read as _;

use rustls::{AlertDescription, ClientConnection, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::tls::{Encrypted, HOST, forwarding};
use crate::harness::{Authority, Edge, Target, soon};

pub const OWN: &str = "client: TLS: a record cannot be decrypted";
const RUSTLS: &str = "client: cannot decrypt peer's message";

/// Sends what is no record of the connection, and reads to the alert.
pub async fn alert(
    socket: &mut TcpStream,
    connection: &mut ClientConnection,
) -> Option<AlertDescription> {
    let no_record = [&[23, 3, 3, 0, 40][..], &[0; 40]].concat();
    socket.write_all(&no_record).await.unwrap();
    let mut said = Vec::new();
    // It may be reset, since not all of what it has sent is read.
    soon("the end", socket.read_to_end(&mut said)).await.ok();
    let mut rest = &said[..];
    while connection.read_tls(&mut rest).unwrap() > 0 {
        match connection.process_new_packets() {
            Ok(_) => drop(connection.reader().read(&mut [0; 99])),
            Err(Error::AlertReceived(alert)) => return Some(alert),
            Err(error) => panic!("{error}"),
        }
    }
    None
}

async fn is_told(client: Encrypted) {
    let (mut socket, mut connection) = client.into_parts().0.into_inner();
    let alert = alert(&mut socket, &mut connection).await;
    assert_eq!(alert, Some(AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn a_reload_changes_what_speaks_tls_in_tunnels_that_open_then() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    authority.issue("one", &[HOST]);
    let config = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&config.clone().server("tunnelRecords: own")).await;
    let [first, second] = [(); 2].map(|()| authority.tunnel(edge.address, HOST));
    is_told(first.await).await;
    let second = second.await;
    edge.reload(&config.server("tunnelRecords: rustls")).await;
    is_told(authority.tunnel(edge.address, HOST).await).await;
    assert_eq!(edge.log_lines(2).await[1]["error"], RUSTLS);
    is_told(second).await;
    let lines = edge.log_lines(3).await;
    for place in [0, 2] {
        assert_eq!(lines[place]["error"], OWN);
        assert_eq!(lines[place]["closeReason"], "client_error");
    }
}
