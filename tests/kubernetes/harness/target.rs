//! Endpoints of Services: each answers with its name, and sends the messages of a WebSocket back.

use std::convert::Infallible;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::{free_address, soon};

/// A target that answers all requests with a name, at this address with a free port.
pub async fn named(name: &'static str, ip: &str) -> SocketAddr {
    let listener = listen(ip).await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(move |_: Request<Incoming>| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(name))))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

/// A target that takes WebSockets, and sends back what comes.
pub async fn echoing(ip: &str) -> SocketAddr {
    let listener = listen(ip).await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.ok()?;
                while let Some(Ok(message)) = socket.next().await {
                    socket.send(message).await.ok()?;
                }
                Some(())
            });
        }
    });
    address
}

async fn listen(ip: &str) -> TcpListener {
    let address = SocketAddr::new(ip.parse().unwrap(), free_address().port());
    TcpListener::bind(address).await.unwrap()
}

/// Opens a WebSocket for a host at an address.
pub async fn websocket(address: SocketAddr, host: &str, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = client_async(format!("ws://{host}{path}"), stream);
    soon("a handshake", handshake).await.unwrap().0
}
