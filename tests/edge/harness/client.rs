//! The client's end, byte by byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{Noise, soon};

/// A handshake that RFC 6455 would approve of.
pub const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// [`HANDSHAKE`] for this path, with these further lines in its head, each with its end.
pub fn handshake(path: &str, lines: &str) -> String {
    let (_, head) = HANDSHAKE.split_once("/chat").expect("its path is there");
    let head = head.strip_suffix("\r\n").expect("it ends its head");
    format!("GET {path}{head}{lines}\r\n")
}

/// The opcode of a Close frame.
pub const CLOSE: u8 = 8;
/// The code of a Close for those who are sent away.
pub const GOING_AWAY: u16 = 1001;
/// The code of a Close that asks a client to come back.
pub const SERVICE_RESTART: u16 = 1012;
/// A text frame of a client, with an empty key.
pub const HI: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

/// A connection of a client, or of a target: TCP, or what is spoken over it.
pub struct Connection<S = TcpStream> {
    /// The socket, or what is above it.
    pub stream: S,
    /// What was read beyond what was asked for.
    rest: Vec<u8>,
    /// All heads that were read, on this connection or on those of the same target.
    pub(super) heads: Arc<Mutex<Vec<String>>>,
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
        Connection::over(stream)
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

    /// Opens a tunnel through the Culvert at this address, with [`HANDSHAKE`] for this path; the
    /// head of its 101 comes too.
    pub async fn tunnel(address: SocketAddr, path: &str) -> (Self, String) {
        let mut client = Connection::open(address).await;
        let head = client.upgrade(path).await;
        (client, head)
    }

    /// Connects from this address of the machine.
    pub async fn open_from(client: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(client, 0)).unwrap();
        soon("connecting", socket.connect(address))
            .await
            .unwrap()
            .into()
    }

    /// Breaks the connection off with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection above another.
    pub fn over(stream: S) -> Self {
        Connection {
            stream,
            rest: Vec::new(),
            heads: Arc::default(),
        }
    }

    /// What is below, and what was read beyond what was asked for.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.rest)
    }

    /// Makes it a tunnel, with [`HANDSHAKE`] for this path; returns the head of the 101.
    pub async fn upgrade(&mut self, path: &str) -> String {
        self.send(handshake(path, "")).await;
        let head = self.head().await;
        assert_eq!(status(&head), 101, "{head}");
        head
    }

    /// Sends bytes. They have left when this is over.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
        soon("sending", self.stream.flush()).await.unwrap();
    }

    /// Sends a FIN.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
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
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        head
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

    /// Sends bytes in chunks of random sizes, and reads this many at the same time.
    pub async fn swap(&mut self, mut bytes: &[u8], count: usize, sizes: &mut Noise) -> Vec<u8> {
        let (mut reader, mut writer) = split(&mut self.stream);
        let sending = async {
            while !bytes.is_empty() {
                let (chunk, later) = bytes.split_at(bytes.len().min(1 + sizes.below(20_000)));
                soon("sending", writer.write_all(chunk)).await.unwrap();
                bytes = later;
            }
            soon("sending", writer.flush()).await.unwrap();
        };
        let reading = async {
            while self.rest.len() < count {
                let read = soon("reading", reader.read_buf(&mut self.rest)).await;
                assert!(read.unwrap() > 0, "the end instead of {count} bytes");
            }
        };
        tokio::join!(sending, reading);
        self.rest.drain(..count).collect()
    }

    /// Sends back all that comes, to the end.
    pub async fn echo(&mut self) {
        while self.has_more().await {
            let bytes = std::mem::take(&mut self.rest);
            self.send(bytes).await;
        }
    }

    /// Reads a frame of at most 125 bytes, however long it takes: its opcode and its payload.
    /// `None` at the end.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = take_frame(&mut self.rest) {
                return Some(frame);
            }
            let read = self.stream.read_buf(&mut self.rest).await;
            read.ok().filter(|read| *read > 0)?;
        }
    }

    /// Says hi as a client in a tunnel to a target that sends messages back, such as
    /// [`Target::named`], and hears it.
    ///
    /// [`Target::named`]: super::Target::named
    pub async fn say_hi(&mut self) {
        self.send(HI).await;
        let echo = soon("the echo", self.frame()).await;
        assert_eq!(echo, Some((1, b"hi".to_vec())));
    }

    /// Reads, as a client, a Close of 1012 and nothing before it, answers it, and reads to the end,
    /// before which nothing comes.
    pub async fn is_sent_away(&mut self) {
        self.is_ended_with(SERVICE_RESTART).await;
    }

    /// The same with this code.
    pub async fn is_ended_with(&mut self, code: u16) {
        let close = soon("the Close", self.frame()).await;
        assert_eq!(close, Some((CLOSE, code.to_be_bytes().to_vec())));
        self.leave(code).await;
        assert_eq!(self.to_end().await, b"");
    }

    /// Sends a client's Close with this code and a FIN, if anybody is still there to hear them.
    pub async fn leave(&mut self, code: u16) {
        let close = [&[0x88, 0x82, 0, 0, 0, 0], code.to_be_bytes().as_slice()].concat();
        self.stream.write_all(&close).await.ok();
        self.stream.flush().await.ok();
        self.stream.shutdown().await.ok();
    }

    /// Sends every message back as a target, answers a Close, and hears the client out.
    pub async fn echo_messages(&mut self) {
        while let Some((opcode, payload)) = self.frame().await {
            let head = [0x80 | opcode, u8::try_from(payload.len()).unwrap()];
            let echo = [head.as_slice(), &payload].concat();
            if self.stream.write_all(&echo).await.is_err() {
                return;
            }
            if opcode == CLOSE {
                while self.frame().await.is_some() {}
                return;
            }
        }
    }

    /// Reads one chunk of a chunked body; the last one is empty, and its trailers are passed over.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(self.exactly(1).await[0].into());
        }
        let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
        let chunk = self.exactly(size).await;
        let mut end = self.exactly(2).await;
        while size == 0 && end != b"\r\n" {
            // A trailer: up to the empty line.
            end = self.line_after(end).await;
        }
        assert_eq!(end, b"\r\n");
        chunk
    }

    /// Reads a line to its end, and the first two bytes of the next one.
    async fn line_after(&mut self, mut line: Vec<u8>) -> Vec<u8> {
        while !line.ends_with(b"\r\n") {
            line.extend(self.exactly(1).await);
        }
        self.exactly(2).await
    }

    /// Reads the body that a head announces: chunked, or of a certain length, or none.
    pub async fn body(&mut self, head: &str) -> Vec<u8> {
        if header(head, "transfer-encoding") != Some("chunked") {
            let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            return self.exactly(length).await;
        }
        let mut body = Vec::new();
        loop {
            match &self.chunk().await[..] {
                [] => return body,
                chunk => body.extend_from_slice(chunk),
            }
        }
    }

    /// Reads an answer whose end its head tells.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let body = self.body(&head).await;
        Answer {
            status: status(&head),
            head,
            body,
        }
    }

    /// Reads an answer that has no body, whatever its head says: to HEAD, 204 and 304.
    pub async fn answer_without_body(&mut self) -> Answer {
        let head = self.head().await;
        Answer {
            status: status(&head),
            head,
            body: Vec::new(),
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
    #[allow(
        clippy::wrong_self_convention,
        reason = "it reads, and converts nothing"
    )]
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

/// When each of these clients, sent away (see [`Connection::is_sent_away`]), saw its connection
/// end, since a moment; in order.
pub async fn sent_away(clients: Vec<Connection>, since: Instant) -> Vec<Duration> {
    let mut waiting = JoinSet::new();
    for mut client in clients {
        waiting.spawn(async move {
            client.is_sent_away().await;
            since.elapsed()
        });
    }
    let mut moments = waiting.join_all().await;
    moments.sort();
    moments
}

/// Takes a whole frame from the front, if there is one.
fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let &[first, second] = bytes.first_chunk()?;
    let length = usize::from(second & 0x7F);
    assert!(length < 126, "a frame of more than 125 bytes");
    let (key, start) = match second & 0x80 {
        0 => ([0; 4], 2),
        _ => (*bytes.get(2..)?.first_chunk()?, 6),
    };
    let payload = bytes.get(start..start + length)?;
    let clear = payload.iter().zip(key.iter().cycle());
    let clear = clear.map(|(byte, key)| byte ^ key).collect();
    bytes.drain(..start + length);
    Some((first & 0x0F, clear))
}

/// The status in an answer's head.
pub fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status in {head:?}"))
}
