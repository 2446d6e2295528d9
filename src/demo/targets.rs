//! The demo's targets: WebSockets that say what they are, and then everything that they hear.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::listener::{FailedAccepts, REST, is_passing};

/// What the targets are called in the diagnostics.
const NAME: &str = "demo target";

/// Their sockets, and where those listen.
pub(super) struct Targets {
    sockets: [std::net::TcpListener; 2],
    addresses: [SocketAddr; 2],
}

impl Targets {
    /// Takes free ports.
    pub(super) fn listen() -> io::Result<Targets> {
        let listen = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = [listen()?, listen()?];
        let addresses = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        Ok(Targets { sockets, addresses })
    }

    pub(super) fn ports(&self) -> [u16; 2] {
        self.addresses.map(|address| address.port())
    }

    /// Serves them from now on, in the runtime that this is called in.
    pub(super) fn serve(self) -> io::Result<()> {
        for (socket, address) in self.sockets.into_iter().zip(self.addresses) {
            socket.set_nonblocking(true)?;
            tokio::spawn(serve(TcpListener::from_std(socket)?, address));
        }
        Ok(())
    }
}

async fn serve(socket: TcpListener, address: SocketAddr) {
    let mut failed = FailedAccepts::default();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                failed.end(NAME);
                tokio::spawn(echo(stream, address));
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                failed.note(NAME, &error);
                sleep(REST).await;
            }
        }
    }
}

/// Says which target it is, and sends every message back. A connection without a handshake is a
/// health check.
async fn echo(stream: TcpStream, address: SocketAddr) {
    let Ok(mut socket) = accept_async(stream).await else {
        return;
    };
    let greeting = Message::text(format!("target {address}"));
    if socket.send(greeting).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}
