//! A tunnel that is frozen: off its runtime, with all that it needs to go on, here or in another
//! process. As long as it is kept it counts as open here; dropping it ends the tunnel.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use serde::{Serialize, Serializer};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ending::Verdict;
use super::flow::Flow;
use super::handle::{Farewell, Identity};
use super::limits::Limits;
use super::on_end::Account;
use super::state::State;
use crate::stream::FrozenStream;
use crate::telemetry::carried::{future, past};
use crate::telemetry::{CloseReason, Record};
use crate::tls_records::RecordsState;

/// A tunnel that is frozen.
pub struct Frozen {
    client: FrozenStream,
    target: FrozenStream,
    state: State,
    /// It is one of those that a drain waits for.
    token: TaskTrackerToken,
}

impl Frozen {
    pub(super) fn new(
        client: FrozenStream,
        target: FrozenStream,
        state: State,
        token: TaskTrackerToken,
    ) -> Self {
        Frozen {
            client,
            target,
            state,
            token,
        }
    }

    /// The streams to the client and to the target, the state, and what a drain waits for.
    pub(super) fn into_parts(self) -> (FrozenStream, FrozenStream, State, TaskTrackerToken) {
        (self.client, self.target, self.state, self.token)
    }

    /// Which tunnel it is.
    pub fn identity(&self) -> &Identity {
        &self.state.handle.identity
    }

    /// The sockets to the client and to the target.
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.client.socket(), self.target.socket()]
    }

    /// It goes on elsewhere: here it is over, without a word. Returns what it was accounted by.
    pub fn leave(mut self) -> Option<Account> {
        self.state.on_end.leave()
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity().fmt(f)
    }
}

/// What another process is told of a tunnel.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    record: Option<&'a Record>,
    counted: Option<IpAddr>,
    #[serde(with = "past")]
    opened: Instant,
    order: Option<CloseReason>,
    last_words: Option<&'a Farewell>,
    limits: Limits,
    inward: &'a Flow,
    outward: &'a Flow,
    verdict: &'a Verdict,
    #[serde(with = "past")]
    active: Instant,
    #[serde(with = "future")]
    unprobed: Option<Instant>,
    probes_client: bool,
    #[serde(with = "future")]
    death: Option<Instant>,
    #[serde(with = "future")]
    until: Option<Instant>,
    client_tls: Option<RecordsState>,
    target_tls: Option<RecordsState>,
}

impl Serialize for Frozen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = &self.state;
        let account = state.on_end.account();
        let told = Told {
            record: account.map(|account| &account.record),
            counted: account.and_then(|account| account.place.counted()),
            opened: state.handle.opened.into_std(),
            order: state.handle.order(),
            last_words: state.handle.last_words(),
            limits: state.limits,
            inward: &state.inward,
            outward: &state.outward,
            verdict: &state.verdict,
            active: state.active,
            unprobed: state.unprobed,
            probes_client: state.probes_client,
            death: state.death,
            until: state.until,
            client_tls: self.client.tls(),
            target_tls: self.target.tls(),
        };
        told.serialize(serializer)
    }
}
