//! The ledger: an exchange's record, and where it is entered when the exchange is over: the access
//! log and the counters.
//!
//! It writes once; if nobody has it write, dropping it does, with the reason that the process
//! gives. What a tunnel is accounted by is taken out of it.

use std::sync::Arc;

use crate::forwarding_rule::{ForwardingRule, Route};
use crate::listener::Connection;
use crate::target_group::{Held, Target};
use crate::telemetry::metrics::{CodeCounters, RuleMetrics};
use crate::telemetry::{CloseReason, Record};
use crate::tunnel::{Account, OnEnd};

/// A record that will be written.
pub(super) struct Ledger {
    /// The record so far.
    pub(super) record: Record,
    /// The counters of the HTTP rule that matched.
    pub(super) http_rule: Option<Arc<CodeCounters>>,
    /// Where the request goes. A tunnel does not keep it: it may outlive many configurations.
    pub(super) route: Option<Arc<Route>>,
    /// That its target carries it.
    pub(super) held: Option<Held>,
    connection: Arc<Connection>,
    rule: Arc<RuleMetrics>,
    is_written: bool,
}

impl Ledger {
    /// The ledger of an exchange that begins now.
    pub(super) fn begin(connection: &Arc<Connection>, rule: &ForwardingRule) -> Self {
        Ledger {
            record: connection.record(rule),
            http_rule: None,
            route: None,
            held: None,
            connection: Arc::clone(connection),
            rule: Arc::clone(&rule.metrics),
            is_written: false,
        }
    }

    /// Counts a tunnel to this target as open from now on, notes that it opens, and takes out what
    /// it is accounted by. What stays writes nothing.
    pub(super) fn open_tunnel(&mut self, target: &Target, rule: &ForwardingRule) -> OnEnd {
        self.record.upgraded = true;
        // What the client saw.
        self.record.status = Some(if self.connection.is_http2() { 200 } else { 101 });
        self.connection.write_open(&self.record);
        let route = self.route.take();
        let active = route.and_then(|route| Some((route.open_tunnel(target)?, route.closes())));
        self.is_written = true;
        OnEnd::new(Account {
            record: std::mem::replace(&mut self.record, self.connection.record(rule)),
            log: self.connection.log.clone(),
            rule: Arc::clone(&self.rule),
            http_rule: self.http_rule.take(),
            held: self.held.take(),
            active,
            place: Arc::clone(&self.connection) as _,
        })
    }

    /// What was asked for, secrets redacted.
    pub(super) fn uri(&self) -> Arc<str> {
        let request = self.record.request.as_ref();
        request.map_or_else(|| "".into(), |request| Arc::clone(&request.uri))
    }

    /// Writes the record, if it was not written yet.
    pub(super) fn write(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.is_written, true) {
            return;
        }
        self.held = None;
        self.rule.count(&self.record, self.http_rule.as_ref());
        self.connection.write(&self.record, reason);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if !self.is_written {
            let reason = self.connection.cut_off();
            self.record.note_cut_off(reason);
            self.write(reason);
        }
    }
}
