//! A client of HTTP/2, h2's, whose streams can be read and written like connections; and a target
//! of it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h2::client::{SendRequest, handshake};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Bytes;

use super::{Config, Connection, Edge, Target, eventually, soon};

/// A connection of HTTP/2.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A configuration that forwards everything to a target, and takes HTTP/2 without TLS, with these
/// settings of the rule.
pub fn clear(target: SocketAddr, settings: &str) -> Config {
    Config::forwarding_to(&[target])
        .rule("h2c: true")
        .rule(settings)
}

/// A Culvert with [`clear`].
pub async fn start(target: &Target, settings: &str) -> Edge {
    Edge::start(&clear(target.address, settings)).await
}

/// A target of HTTP/2 that runs `script` for each request.
pub async fn target<F, S>(script: S) -> Target
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
{
    let script = Arc::new(script);
    Target::scripted(move |connection: Connection| {
        let script = Arc::clone(&script);
        async move {
            let (stream, _) = connection.into_parts();
            let Ok(mut requests) = h2::server::handshake(stream).await else {
                return;
            };
            while let Some(Ok((request, answer))) = requests.accept().await {
                tokio::spawn(script(request, answer));
            }
        }
    })
    .await
}

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    /// Its body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A GET of this path at a.example.
pub fn get(path: &str) -> Request<()> {
    let uri = format!("http://a.example{path}");
    Request::get(uri).body(()).unwrap()
}

/// The extended CONNECT of a WebSocket at a.example.
pub fn websocket(path: &str) -> Request<()> {
    Request::connect(format!("http://a.example{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap()
}

impl Http2 {
    /// Connects without TLS.
    pub async fn connect(address: SocketAddr) -> Http2 {
        Http2::over(Connection::open(address).await.stream).await
    }

    /// A connection above another.
    pub async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Http2 {
        let shaken = soon("the handshake of HTTP/2", handshake(stream)).await;
        let (requests, connection) = shaken.unwrap();
        let driver = tokio::spawn(connection);
        let is_told = || {
            requests
                .is_extended_connect_protocol_enabled()
                .then_some(())
        };
        eventually("WebSockets are offered", is_told).await;
        Http2 { requests, driver }
    }

    /// Sends a request whose body is what is written to the stream.
    pub async fn begin(&mut self, request: Request<()>) -> (Stream, Response<()>) {
        let sent = self.requests.send_request(request, false).unwrap();
        soon("an answer", answered(sent)).await.unwrap()
    }

    /// Sends a request without a body, and reads no more than the head of its answer.
    pub async fn open(&mut self, request: Request<()>) -> (Stream, Response<()>) {
        let sent = self.requests.send_request(request, true).unwrap();
        soon("an answer", answered(sent)).await.unwrap()
    }

    /// Sends a request with this body.
    pub async fn ask(&mut self, request: Request<()>, body: &str) -> Reply {
        let (answer, mut sender) = self
            .requests
            .send_request(request, body.is_empty())
            .unwrap();
        if !body.is_empty() {
            sender.send_data(body.to_owned().into(), true).unwrap();
        }
        let (mut stream, head) = soon("an answer", answered((answer, sender))).await.unwrap();
        let body = soon("its body", stream.read_to_end()).await;
        let trailers = soon("its trailers", stream.receiver.trailers()).await;
        let trailers = trailers.ok().flatten();
        Reply {
            head,
            body,
            trailers,
        }
    }

    /// Sends a request with this body in steps, as the caller has time for.
    pub fn send(
        &mut self,
        request: Request<()>,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        self.requests.send_request(request, false).unwrap()
    }

    /// Opens a tunnel.
    pub async fn tunnel(&mut self, path: &str) -> Connection<Stream> {
        let (stream, head) = self.begin(websocket(path)).await;
        assert_eq!(head.status(), 200, "{head:?}");
        Connection::over(stream)
    }

    /// How many streams may be open at a time.
    pub fn most_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Waits for its end; tells why it was ended, if it was told.
    pub async fn ended(self) -> Option<Reason> {
        drop(self.requests);
        let result = soon("the end of the connection", self.driver).await;
        result.unwrap().err().and_then(|error| error.reason())
    }

    /// Waits for a GOAWAY without an error: no new request may be sent.
    pub async fn is_sent_away(&mut self) {
        let polled = std::future::poll_fn(|cx| match self.requests.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Pending => Poll::Pending,
        });
        let error = soon("a GOAWAY", polled).await;
        assert!(
            matches!(error.reason(), None | Some(Reason::NO_ERROR)),
            "{error}"
        );
    }

    /// Breaks the connection off, with all that is on it.
    pub async fn close(self) {
        self.driver.abort();
        self.driver.await.ok();
    }
}

async fn answered(
    (answer, sender): (h2::client::ResponseFuture, SendStream<Bytes>),
) -> Result<(Stream, Response<()>), h2::Error> {
    let (head, receiver) = answer.await?.into_parts();
    let stream = Stream {
        sender,
        receiver,
        rest: Bytes::new(),
    };
    Ok((stream, Response::from_parts(head, ())))
}

/// One stream, after its answer's head.
pub struct Stream {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    rest: Bytes,
}

impl Stream {
    /// Resets it.
    pub fn reset(&mut self, reason: Reason) {
        self.sender.send_reset(reason);
    }

    /// What is left of it, or how it was broken off.
    pub async fn into_result(mut self) -> Result<Vec<u8>, h2::Error> {
        let mut all = Vec::new();
        while let Some(piece) = soon("the rest", self.receiver.data()).await {
            let piece = piece?;
            self.receiver.flow_control().release_capacity(piece.len())?;
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// What is left of it; a reset is an end, too.
    async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Ok(piece)) = self.receiver.data().await {
            self.receiver
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
            all.extend_from_slice(&piece);
        }
        all
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.receiver.poll_data(cx)) {
                Some(Ok(piece)) => {
                    self.receiver
                        .flow_control()
                        .release_capacity(piece.len())
                        .unwrap();
                    self.rest = piece;
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sender.reserve_capacity(bytes.len());
        let room = match ready!(self.sender.poll_capacity(cx)) {
            Some(room) => room.map_err(broken)?.min(bytes.len()),
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let piece = Bytes::copy_from_slice(&bytes[..room]);
        self.sender.send_data(piece, false).map_err(broken)?;
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.send_data(Bytes::new(), true).map_err(broken))
    }
}

/// Frames as they are, for what no library would send.
pub struct Frames(pub Connection<TcpStream>);

impl Frames {
    /// Connects, says the preface and empty settings.
    pub async fn connect(address: SocketAddr) -> Frames {
        let mut connection = Connection::open(address).await;
        connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        connection.send(frame(SETTINGS, 0, 0, &[])).await;
        Frames(connection)
    }

    /// The reason of the GOAWAY that comes at last; `None` when the connection just ends.
    pub async fn goaway(&mut self) -> Option<u32> {
        loop {
            let head = self.part(9).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let payload = self.part(length).await?;
            if head[3] == GOAWAY {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    }

    /// The next frame of one of these kinds: its kind and its payload.
    pub async fn next_of(&mut self, kinds: &[u8]) -> (u8, Vec<u8>) {
        loop {
            let head = self.part(9).await.expect("a frame, not the end");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let payload = self.part(length).await.expect("a frame, not the end");
            if kinds.contains(&head[3]) {
                return (head[3], payload);
            }
        }
    }

    async fn part(&mut self, length: usize) -> Option<Vec<u8>> {
        use tokio::io::AsyncReadExt as _;
        let mut part = vec![0; length];
        let read = soon("a frame", self.0.stream.read_exact(&mut part)).await;
        read.ok().map(|_| part)
    }
}

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
