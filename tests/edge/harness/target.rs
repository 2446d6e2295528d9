//! The target's end: a script for every connection that arrives.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::client::header;
use super::ports::free_address;
use super::{Connection, eventually};

/// How many connections may wait until a target has time for them.
const BACKLOG: u32 = 4096;

/// A target. Dropping it closes its listener and breaks off its scripts.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Target {
    /// A target that runs `script` for each connection on which something is said; health checks
    /// say nothing.
    pub async fn scripted<F, S>(script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        Target::scripted_at(free_address(), script).await
    }

    /// The same at a given address: for a target that comes back.
    pub async fn scripted_at<F, S>(address: SocketAddr, script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        let socket = listen(address).await;
        let address = socket.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (counted, read, script) = (
            Arc::clone(&connections),
            Arc::clone(&heads),
            Arc::new(script),
        );
        let task = tokio::spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (counted, script) = (Arc::clone(&counted), Arc::clone(&script));
                let heads = Arc::clone(&read);
                scripts.spawn(async move {
                    if stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
                        counted.fetch_add(1, SeqCst);
                        let mut connection = Connection::from(stream);
                        connection.heads = heads;
                        script(connection).await;
                    }
                });
            }
        });
        Target {
            address,
            connections,
            heads,
            task,
        }
    }

    /// A target that answers every plain request with 200 and this body, on connections that are
    /// kept.
    pub async fn answering(body: &'static str) -> Target {
        Target::replying(move |_, _| ok(body)).await
    }

    /// The same at a given address.
    pub async fn answering_at(address: SocketAddr, body: &'static str) -> Target {
        Target::scripted_at(address, replies(move |_, _| ok(body))).await
    }

    /// A target that answers every plain request, given its head and its body, with the text of an
    /// answer, on connections that are kept.
    pub async fn replying<R>(reply: R) -> Target
    where
        R: Fn(&str, &[u8]) -> String + Send + Sync + 'static,
    {
        Target::scripted(replies(reply)).await
    }

    /// A target that shows what reached it: it answers with the head it got, followed by the body.
    pub async fn showing() -> Target {
        Target::replying(|head, body| ok(&format!("{head}{}", String::from_utf8_lossy(body)))).await
    }

    /// A WebSocket target, tungstenite's, that sends every message back.
    pub async fn echo() -> Target {
        Target::websocket(async |mut socket: WebSocketStream<TcpStream>| {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.ok();
                }
            }
        })
        .await
    }

    /// A WebSocket target, tungstenite's, that takes messages of any size and leaves the rest to
    /// `script`.
    pub async fn websocket<F, S>(script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + 'static,
    {
        let script = Arc::new(script);
        Target::scripted(move |connection: Connection| {
            let script = Arc::clone(&script);
            async move {
                let accepting = accept_async_with_config(connection.stream, Some(any_size()));
                script(accepting.await.unwrap()).await;
            }
        })
        .await
    }

    /// A target that accepts the handshake, and leaves the rest to `script`.
    pub async fn upgrading<F, S>(script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        let script = Arc::new(script);
        Target::scripted(move |mut connection: Connection| {
            let script = Arc::clone(&script);
            async move {
                let head = connection.head().await;
                connection.send(switching_protocols(&head)).await;
                script(connection).await;
            }
        })
        .await
    }

    /// A target that accepts the handshake, and sends back every byte that comes then.
    pub async fn mirror() -> Target {
        Target::upgrading(async |mut connection: Connection| connection.echo().await).await
    }

    /// A target that says who it is, in the bodies of its answers and as `X-Target` in the heads of
    /// its 101s. In tunnels it sends messages of at most 125 bytes back, and answers a Close.
    pub async fn named(name: &'static str) -> Target {
        Target::named_at(free_address(), name).await
    }

    /// The same at a given address.
    pub async fn named_at(address: SocketAddr, name: &'static str) -> Target {
        Target::scripted_at(address, move |mut connection: Connection| async move {
            while connection.has_more().await {
                let head = connection.head().await;
                if header(&head, "upgrade").is_some() {
                    let named = format!("\r\nX-Target: {name}\r\n\r\n");
                    let answer = switching_protocols(&head).replace("\r\n\r\n", &named);
                    connection.send(answer).await;
                    return connection.echo_messages().await;
                }
                connection.body(&head).await;
                connection.send(ok(name)).await;
            }
        })
        .await
    }

    /// How many connections something was said on.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// The heads that its scripts have read so far; those of [`Target::websocket`] are not among
    /// them.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens at an address, once whoever had it before has gone: a target that is dropped needs a
/// moment for that.
async fn listen(address: SocketAddr) -> TcpListener {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
            SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
        };
        socket.set_reuseaddr(true).unwrap();
        socket
            .bind(address)
            .and_then(|()| socket.listen(BACKLOG))
            .ok()
    };
    eventually(&format!("{address} is free"), listen).await
}

/// Tungstenite's settings, without a bound on messages and frames.
pub fn any_size() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None)
}

/// The script of [`Target::replying`].
fn replies<R>(
    reply: R,
) -> impl Fn(Connection) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static
where
    R: Fn(&str, &[u8]) -> String + Send + Sync + 'static,
{
    let reply = Arc::new(reply);
    move |mut connection| {
        let reply = Arc::clone(&reply);
        Box::pin(async move {
            while connection.has_more().await {
                let head = connection.head().await;
                let body = connection.body(&head).await;
                connection.send(reply(&head, &body)).await;
            }
        })
    }
}

/// An answer of 200 with this body.
pub fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The 101 to a handshake with this head.
pub fn switching_protocols(head: &str) -> String {
    let key = header(head, "sec-websocket-key").expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// An address at which nothing listens: connections to it are refused.
pub fn refusing() -> SocketAddr {
    taken(|_| ())
}

/// An address at which connections are neither accepted nor refused: the queue of those who wait is
/// full.
pub fn unresponsive() -> SocketAddr {
    let address = taken(|socket| socket.listen(0).unwrap());
    while let Ok(waiting) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        std::mem::forget(waiting);
    }
    address
}

/// An address that stays taken for as long as the test runs, so that nobody else begins to listen
/// there.
fn taken(prepare: impl FnOnce(&Socket)) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = free_address();
    socket.bind(&address.into()).unwrap();
    prepare(&socket);
    std::mem::forget(socket);
    address
}
