//! The client's end, byte by byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::soon;

/// A handshake that RFC 6455 would approve of.
pub const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A TCP connection of a client, or of a target.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// What was read beyond what was asked for.
    rest: Vec<u8>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, whole.
    pub head: String,
    /// Its body, as it came over the wire.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever its case; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The value of a header in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Connection {
            stream,
            rest: Vec::new(),
        }
    }
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        soon("connecting", TcpStream::connect(address))
            .await
            .unwrap()
            .into()
    }

    /// The socket, and what was read beyond what was asked for.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.rest)
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// Sends a FIN.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Breaks the connection off with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads a head, up to and with its empty line.
    pub async fn head(&mut self) -> String {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            let read = soon("reading a head", self.stream.read_buf(&mut self.rest))
                .await
                .unwrap();
            assert!(
                read > 0,
                "the end instead of a head: {:?}",
                String::from_utf8_lossy(&self.rest)
            );
        };
        String::from_utf8(self.rest.drain(..end).collect()).unwrap()
    }

    /// Whether anything comes before the end of the connection.
    pub async fn has_more(&mut self) -> bool {
        !self.rest.is_empty()
            || self
                .stream
                .read_buf(&mut self.rest)
                .await
                .is_ok_and(|read| read > 0)
    }

    /// Reads this many bytes.
    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.rest.len() < count {
            let read = soon("reading", self.stream.read_buf(&mut self.rest))
                .await
                .unwrap();
            assert!(
                read > 0,
                "the end after {} of {count} bytes",
                self.rest.len()
            );
        }
        self.rest.drain(..count).collect()
    }

    /// Reads an answer whose length its head tells.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.exactly(length).await;
        Answer {
            status: status(&head),
            head,
            body,
        }
    }

    /// Reads an answer that ends with the connection.
    pub async fn answer_to_end(&mut self) -> Answer {
        let head = self.head().await;
        let body = self.to_end().await;
        Answer {
            status: status(&head),
            head,
            body,
        }
    }

    /// Reads to the end of the connection, which may be a reset.
    pub async fn to_end(&mut self) -> Vec<u8> {
        let reading = soon(
            "the end of the connection",
            self.stream.read_to_end(&mut self.rest),
        )
        .await;
        if let Err(error) = reading {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        std::mem::take(&mut self.rest)
    }
}

fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status in {head:?}"))
}
