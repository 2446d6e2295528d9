//! What those who ask at the admin address see, and whom they can give orders.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::event_streams::EventStreams;
use super::history::History;
use crate::control::{Bodies, MOST_CONNECTIONS, Slots};
use crate::gateway::Gateways;
use crate::os::signals::{Asked, Order};
use crate::serving::Serving;
use crate::upgrade::OldProcesses;

/// How large a request's body may be, and how long it may take.
const LARGEST_BODY: usize = 64 << 10;
const BODY: Duration = Duration::from_secs(10);

/// What every handler is given.
pub(super) type View = Arc<Admin>;

/// What is behind the admin address.
pub struct Admin {
    pub(super) serving: Arc<Serving>,
    pub(super) old_processes: Arc<OldProcesses>,
    pub(super) gateways: Arc<Gateways>,
    orders: mpsc::Sender<Asked>,
    /// A drain was asked for.
    pub(super) is_draining: AtomicBool,
    pub(super) slots: Arc<Slots>,
    pub(super) bodies: Bodies,
    pub(super) event_streams: EventStreams,
    pub(super) history: History,
}

impl Admin {
    /// Shows this process and those before it; orders go where `orders` leads.
    pub fn new(
        serving: Arc<Serving>,
        old_processes: Arc<OldProcesses>,
        gateways: Arc<Gateways>,
        orders: mpsc::Sender<Asked>,
    ) -> Self {
        Admin {
            serving,
            old_processes,
            gateways,
            orders,
            is_draining: AtomicBool::new(false),
            slots: Arc::new(Slots::new(Duration::ZERO)),
            bodies: Bodies::new(LARGEST_BODY, MOST_CONNECTIONS * LARGEST_BODY, BODY),
            event_streams: EventStreams::new(),
            history: History::default(),
        }
    }

    /// Returns when all requests have had their answers, or after a moment.
    pub async fn is_served(&self) {
        self.slots.is_served().await;
    }

    /// Gives an order; the outcome comes where it is carried out now.
    pub(super) async fn order(
        &self,
        order: Order,
    ) -> Option<oneshot::Receiver<Result<(), String>>> {
        let (outcome, comes) = oneshot::channel();
        let asked = Asked { order, outcome };
        self.orders.send(asked).await.ok()?;
        Some(comes)
    }
}
