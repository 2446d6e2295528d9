//! An endpoint that is played: what it answers is up to the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use culvert::etcd::Endpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An endpoint that answers as a test says.
pub struct Played {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Played {
    /// One that gives all who ask this status and body.
    pub async fn answers(status: &str, body: &str) -> Played {
        let answer = answer(status, body);
        Played::says(move |_| answer.clone()).await
    }

    /// One whose answers are made of the path, as bytes of HTTP; none: it closes the connection.
    pub async fn says(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::<Seen>::default(), Arc::new(answer));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&all));
                tokio::spawn(async move { play(stream, &*answer, &seen).await });
            }
        });
        Played { address, seen }
    }

    /// Where it is asked.
    pub fn endpoint(&self) -> Endpoint {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Relaxed)
    }

    /// On how many connections.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }
}

/// An answer of HTTP with a body that has an end.
pub fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The beginning of an answer that has no end, with these messages.
pub fn stream(messages: &[&str]) -> String {
    let chunk = |message: &&str| format!("{:x}\r\n{message}\n\r\n", message.len() + 1);
    let chunks: String = messages.iter().map(chunk).collect();
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

/// Answers each request, which is taken for whole once its last bracket is there.
async fn play(mut stream: TcpStream, answer: &(dyn Fn(&str) -> String + Send + Sync), seen: &Seen) {
    seen.connections.fetch_add(1, Relaxed);
    let mut request = Vec::new();
    while stream
        .read_buf(&mut request)
        .await
        .is_ok_and(|read| read > 0)
    {
        if !request.ends_with(b"}") {
            continue;
        }
        seen.requests.fetch_add(1, Relaxed);
        let head = String::from_utf8_lossy(&request);
        let answer = answer(head.split(' ').nth(1).unwrap());
        request.clear();
        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
