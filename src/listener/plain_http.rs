//! Plain HTTP on an address that speaks TLS: the client is told so, instead of seeing the
//! connection end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tap::own_answer;

const STATUS: &str = "400 Bad Request";
const WORDS: &str = "this port speaks TLS: use https:// or wss://";

/// How long the client has to read the answer and to go.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what it sends meanwhile is read; what is left unread would take the answer away from
/// it.
const MOST: u64 = 64 << 10;

/// Whether what a client begins with is the method of a request, and no TLS.
pub(super) fn is_begun_by(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// Tells the client, and ends the connection.
pub(super) async fn refuse(mut socket: TcpStream) {
    let telling = async {
        let answer = own_answer(STATUS, WORDS, "");
        socket.write_all(&answer).await?;
        socket.shutdown().await?;
        let mut rest = socket.take(MOST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // A client that does not want to know is gone.
    timeout(PATIENCE, telling).await.ok();
}
