//! Asks other nodes for a token that is not known here: one of them may have ordered the
//! certificate.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The header by which a peer knows that it is one who asks, and asks nobody else.
pub const MARK: &str = "culvert-peer";
const PATIENCE: Duration = Duration::from_secs(2);
const LARGEST: usize = 512;

/// What the first answers that knows the token.
pub(super) async fn ask(peers: &[SocketAddr], token: &str) -> Option<Bytes> {
    let asking = peers
        .iter()
        .map(|peer| timeout(PATIENCE, ask_one(*peer, token)));
    let mut answers: FuturesUnordered<_> = asking.collect();
    while let Some(answer) = answers.next().await {
        if let Ok(Some(answer)) = answer {
            return Some(answer);
        }
    }
    None
}

async fn ask_one(peer: SocketAddr, token: &str) -> Option<Bytes> {
    let socket = TcpStream::connect(peer).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.ok()?;
    let request = Request::get(format!("/.well-known/acme-challenge/{token}"))
        .header(HOST, peer.to_string())
        .header(MARK, "1")
        .body(Empty::<Bytes>::new())
        .ok()?;
    // What goes wrong with it is an error of the request as well.
    tokio::spawn(async move { connection.await.ok() });
    let answer = sender.send_request(request).await.ok()?;
    let is_known = answer.status() == StatusCode::OK;
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    Some(body.ok()?.to_bytes()).filter(|_| is_known)
}
