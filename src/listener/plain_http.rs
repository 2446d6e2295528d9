//! Plain HTTP on an address that speaks TLS: the client is told so, instead of seeing the connection end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 45\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks TLS: use https:// or wss://\n";

/// How long the client has to read the answer and to go.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what it sends meanwhile is read; what is left unread would take the answer away from it.
const MOST: u64 = 64 << 10;

/// Whether what a client begins with is the method of a request, and no TLS.
pub(super) fn is_begun_by(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// Tells the client, and ends the connection.
pub(super) async fn refuse(mut socket: TcpStream) {
    let telling = async {
        socket.write_all(ANSWER).await?;
        socket.shutdown().await?;
        let mut rest = socket.take(MOST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // A client that does not want to know is gone.
    timeout(PATIENCE, telling).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_that_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "{head}");
    }
}
