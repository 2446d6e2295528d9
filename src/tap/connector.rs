//! What Pingora asks for a connection to a target, and gets a tapped one from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::Result;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;

use super::clocks::Clocks;
use super::hand_over::HandOver;
use super::http2_target::Http2Tap;
use super::purpose::Purpose;
use super::target::TargetTap;
use crate::stream::Wire;
use crate::target_connection::{Dialler, Found};

/// Connects to a target for one exchange, or finds a connection that waits.
pub struct Connector {
    /// What connects.
    pub dialler: Dialler,
    /// How long a connect, with its TLS, may take; that of a handshake no longer than it has left.
    pub limit: Duration,
    /// How long the target may take.
    pub clocks: Clocks,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The notes of the connection that the exchange is on.
    pub wire: Arc<Wire>,
    /// Where its tunnel begins.
    pub hand_over: Arc<HandOver>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

#[async_trait]
impl Connect for Connector {
    async fn connect(&self, _: &PeerAddress) -> Result<Stream> {
        let (found, is_kept) = match self.dialler.waiting() {
            Some(found) => (found, true),
            None => (self.dialler.open(self.limit()).await?, false),
        };
        let is_http2 = matches!(found, Found::Shared(_));
        self.wire.connected(is_kept, is_http2);
        Ok(self.tap(found))
    }
}

impl Connector {
    fn limit(&self) -> Duration {
        let deadline = self.clocks.deadline;
        let limit = deadline.map_or(self.limit, |deadline| self.limit.min(deadline.left()));
        match self.purpose {
            Purpose::Handshake => limit.min(self.wire.handshake_left()),
            Purpose::Request | Purpose::Stream => limit,
        }
    }

    fn tap(&self, found: Found) -> Stream {
        let stream = match found {
            Found::Own(stream) => VirtualSocketStream::new(Box::new(TargetTap::new(
                stream,
                self.dialler.pool.clone(),
                self.purpose,
                self.clocks,
                Arc::clone(&self.wire),
                Arc::clone(&self.hand_over),
            ))),
            Found::Shared(ticket) => VirtualSocketStream::new(Box::new(Http2Tap::new(
                ticket,
                self.purpose,
                self.clocks,
                Arc::clone(&self.wire),
            ))),
        };
        stream.into()
    }
}
