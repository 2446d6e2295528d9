//! What a process serves with.

use std::sync::Arc;

use crate::gateway::Gateways;
use crate::ionos::Service;
use crate::serving::Serving;
use crate::upgrade::InheritedSocket;

/// What a process serves with.
pub(super) struct Built {
    pub(super) serving: Arc<Serving>,
    /// The IONOS API, where it is offered.
    pub(super) api: Option<Arc<Service>>,
    /// What serves of the Gateway API.
    pub(super) gateways: Arc<Gateways>,
    /// `server.upgradeSocket`, where it came from the process before.
    pub(super) upgrade_socket: Option<InheritedSocket>,
}
