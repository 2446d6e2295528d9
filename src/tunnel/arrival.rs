//! A tunnel that comes from another process: what that has told of it, and its sockets.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use super::ending::Verdict;
use super::flow::Flow;
use super::frozen::Frozen;
use super::handle::{Farewell, Handle, Identity};
use super::limits::Limits;
use super::on_end::{Account, OnEnd};
use super::registry::Tunnels;
use super::shards::Entry;
use super::state::State;
use crate::stream::FrozenStream;
use crate::telemetry::carried::{future, past};
use crate::telemetry::{CloseReason, Record};
use crate::tls_records::RecordsState;

/// What another process has told of a tunnel.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    record: Record,
    #[serde(default)]
    counted: Option<IpAddr>,
    #[serde(with = "past")]
    opened: Instant,
    #[serde(default)]
    order: Option<CloseReason>,
    #[serde(default)]
    last_words: Option<Farewell>,
    limits: Limits,
    inward: Flow,
    outward: Flow,
    #[serde(default)]
    verdict: Verdict,
    #[serde(with = "past")]
    active: Instant,
    #[serde(default, with = "future")]
    unprobed: Option<Instant>,
    #[serde(default)]
    probes_client: bool,
    #[serde(default, with = "future")]
    death: Option<Instant>,
    #[serde(default, with = "future")]
    until: Option<Instant>,
    #[serde(default)]
    client_tls: Option<RecordsState>,
    #[serde(default)]
    target_tls: Option<RecordsState>,
}

/// A tunnel that has come from another process, and does not go on yet.
pub struct Arrived {
    told: Told,
    identity: Identity,
    client: FrozenStream,
    target: FrozenStream,
}

impl Arrived {
    /// Reads what was told, and takes the sockets to the client and to the target. Errors: what
    /// this process cannot go on with.
    pub fn read(text: &[u8], [client, target]: [OwnedFd; 2]) -> io::Result<Self> {
        let mut told: Told = serde_json::from_slice(text)?;
        let idles = told.active.checked_add(told.limits.idle);
        let (Some(identity), Some(_)) = (identity(&told.record), idles) else {
            return Err(io::Error::other(
                "a tunnel without a target, or without an end",
            ));
        };
        let (client_tls, target_tls) = (told.client_tls.take(), told.target_tls.take());
        Ok(Arrived {
            told,
            identity,
            client: FrozenStream::new(client, client_tls.as_ref())?,
            target: FrozenStream::new(target, target_tls.as_ref())?,
        })
    }

    /// Which tunnel it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The HTTP rule that its request met.
    pub fn http_rule(&self) -> &str {
        self.told.record.http_rule.as_deref().unwrap_or_default()
    }

    /// The client that its place was counted for.
    pub fn counted(&self) -> Option<IpAddr> {
        self.told.counted
    }

    /// It is this process's from now on, accounted as `account` makes it of its record.
    pub fn adopt(self, tunnels: &Arc<Tunnels>, account: impl FnOnce(Record) -> Account) -> Frozen {
        let told = self.told;
        let handle = Arc::new(Handle::since(told.opened, self.identity, true));
        if let Some(order) = told.order {
            handle.order_again(order, told.last_words);
        }
        let state = State {
            _entry: Entry::add(&tunnels.shards, &handle),
            handle,
            timer_wheel: Arc::clone(&tunnels.timer_wheel),
            limits: told.limits,
            inward: told.inward,
            outward: told.outward,
            verdict: told.verdict,
            active: told.active,
            watched: Instant::now(),
            unprobed: told.unprobed,
            probes_client: told.probes_client,
            death: told.death,
            until: told.until,
            on_end: OnEnd::new(account(told.record)),
        };
        state.show();
        Frozen::new(self.client, self.target, state, tunnels.tasks.token())
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

fn identity(record: &Record) -> Option<Identity> {
    let uri = record.request.as_ref().map(|request| &request.uri);
    Some(Identity {
        id: record.tracking_id.clone(),
        forwarding_rule: Arc::clone(&record.forwarding_rule),
        target_group: record.target_group.clone()?,
        target: record.target.clone()?,
        client: record.client,
        uri: uri.map_or_else(|| "".into(), Arc::clone),
    })
}
