//! What opens a tunnel, once its handshake is over and its sockets are there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{Handle, Identity};
use super::limits::Limits;
use super::on_end::OnEnd;
use super::registry::Tunnels;
use super::relay::Relay;
use super::state::Rules;
use crate::stream::{ClientStream, End, TargetStream};

/// All that a tunnel needs to be opened, but its sockets.
pub struct Opening {
    /// Where it will be listed.
    pub tunnels: Arc<Tunnels>,
    /// Which one it is.
    pub identity: Identity,
    /// How long it may do what.
    pub limits: Limits,
    /// Whether it carries WebSocket's frames.
    pub has_frames: bool,
    /// After which silence the system probes the client as it is.
    pub client_keepalive: Duration,
    /// What is done when it is over.
    pub on_end: OnEnd,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

impl Opening {
    pub(crate) fn open(self, mut client: End<ClientStream>, mut target: End<TargetStream>) {
        if self.tunnels.has_own_records() {
            client.stream.use_own_records();
            target.stream.use_own_records();
        }
        let rules = Rules {
            limits: self.limits,
            has_frames: self.has_frames,
            probes_client: self.limits.keepalive != self.client_keepalive,
        };
        let is_movable = client.stream.has_own_socket();
        let handle = Arc::new(Handle::new(self.identity, is_movable));
        let tunnels = Arc::clone(&self.tunnels);
        let relay = Relay::new(handle, tunnels, &rules, client, target, self.on_end);
        self.tunnels.tasks.spawn(relay);
    }
}
