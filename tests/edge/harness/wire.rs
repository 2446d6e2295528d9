//! A wire between two that speak over TCP, which can be cut: nothing passes then, and nobody is
//! told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::ports::free_addresses;

/// A wire that leads to an address. It needs a runtime that goes on while the test waits for an
/// answer.
pub struct Wire {
    /// Where it begins.
    pub address: SocketAddr,
    is_whole: watch::Sender<bool>,
    _accepting: AbortOnDropHandle<()>,
}

impl Wire {
    /// One that leads there.
    pub async fn to(address: SocketAddr) -> Wire {
        let [here] = free_addresses();
        let listener = TcpListener::bind(here).await.unwrap();
        let (is_whole, whole) = watch::channel(true);
        let accepting = tokio::spawn(accept(listener, address, whole));
        Wire {
            address: here,
            is_whole,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// Cuts it, or mends it: what was on its way arrives then.
    pub fn cut(&self, is_cut: bool) {
        self.is_whole.send_replace(!is_cut);
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, whole: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let mut whole = whole.clone();
        tokio::spawn(async move {
            whole.wait_for(|is_whole| *is_whole).await.ok()?;
            let far = TcpStream::connect(address).await.ok()?;
            let ((near, to_near), (far, to_far)) = (near.into_split(), far.into_split());
            tokio::join!(pass(near, to_far, whole.clone()), pass(far, to_near, whole));
            Some(())
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_whole = whole.wait_for(|is_whole| *is_whole).await.is_ok();
        if !is_whole || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
