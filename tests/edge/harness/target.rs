//! The target's end: a script for every connection that arrives.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Connection;
use super::client::header;

/// A target. Dropping it closes its listener and breaks off its scripts.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Target {
    /// A target that runs `script` for each connection on which something is said; health checks say nothing.
    pub async fn scripted<F, S>(script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        Target::scripted_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// The same at a given address: for a target that comes back.
    pub async fn scripted_at<F, S>(address: SocketAddr, script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        let socket = TcpListener::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let (counted, script) = (Arc::clone(&connections), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (counted, script) = (Arc::clone(&counted), Arc::clone(&script));
                scripts.spawn(async move {
                    if stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
                        counted.fetch_add(1, SeqCst);
                        script(stream.into()).await;
                    }
                });
            }
        });
        Target {
            address,
            connections,
            task,
        }
    }

    /// A target that answers every plain request with 200 and this body, on connections that are kept.
    pub async fn answering(body: &'static str) -> Target {
        Target::scripted(async move |mut connection: Connection| {
            while connection.has_more().await {
                let head = connection.head().await;
                let length =
                    header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                connection.exactly(length).await;
                connection.send(ok(body)).await;
            }
        })
        .await
    }

    /// A WebSocket target, tungstenite's, that sends every message back.
    pub async fn echo() -> Target {
        Target::scripted(async |connection: Connection| {
            let mut socket = accept_async(connection.stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.ok();
                }
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

    /// How many connections something was said on.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
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
    let [address] = super::edge::free_addresses();
    address
}
