//! The ledger: an exchange's record, and where it is entered when the exchange is over: the access
//! log and the counters.
//!
//! It is moved with what it is about, from the exchange to the tunnel. It writes once; if nobody
//! has it write, dropping it does, with the reason that the process gives.

use std::sync::Arc;

use crate::forwarding_rule::{ForwardingRule, Route};
use crate::listener::Connection;
use crate::target_group::{Held, Target};
use crate::telemetry::metrics::{ActiveTunnel, CloseCounters, CodeCounters, RuleMetrics};
use crate::telemetry::{CloseReason, Frames, Record};
use crate::tunnel::Ending;

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
    tunnel: Option<(ActiveTunnel, Arc<CloseCounters>)>,
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
            tunnel: None,
            is_written: false,
        }
    }

    /// Takes the ledger out; what stays in its place writes nothing.
    pub(super) fn take(&mut self, rule: &ForwardingRule) -> Ledger {
        let mut spent = Ledger::begin(&self.connection, rule);
        spent.is_written = true;
        std::mem::replace(self, spent)
    }

    /// Counts a tunnel to this target as open from now on.
    pub(super) fn open_tunnel(&mut self, target: &Target) {
        self.record.upgraded = true;
        // What the client saw.
        self.record.status = Some(if self.connection.is_http2() { 200 } else { 101 });
        let Some(route) = self.route.take() else {
            return;
        };
        let active = route.open_tunnel(target);
        self.tunnel = active.map(|active| (active, route.closes()));
    }

    /// What was asked for, secrets redacted.
    pub(super) fn uri(&self) -> Arc<str> {
        let request = self.record.request.as_ref();
        request.map_or_else(|| "".into(), |request| Arc::clone(&request.uri))
    }

    /// The tunnel is over.
    pub(super) fn end(mut self, ending: Ending) {
        let record = &mut self.record;
        record.bytes.request_body = ending.bytes_in;
        record.bytes.response_body = ending.bytes_out;
        record.close_code = ending.code;
        record.frames = Some(Frames {
            from_client: ending.frames_in,
            to_client: ending.frames_out,
            since_activity: ending.since_activity,
        });
        record.error = ending.error;
        let reason = ending.reason.unwrap_or_else(|| self.cut_off());
        self.write(reason);
    }

    /// Writes the record, if it was not written yet.
    pub(super) fn write(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.is_written, true) {
            return;
        }
        self.held = None;
        self.rule.count(&self.record, self.http_rule.as_ref());
        if let Some((_active, closes)) = self.tunnel.take() {
            closes.close(reason);
        }
        self.connection.write(&self.record, reason);
    }

    /// Why an exchange ends that was cut off from outside.
    fn cut_off(&mut self) -> CloseReason {
        if std::thread::panicking() {
            self.record.error = Some("internal error: a panic".to_owned());
        }
        let reason = self.connection.cut_off();
        if reason == CloseReason::Memory {
            self.record.error = Some("reset, for memory is short".to_owned());
        }
        reason
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if !self.is_written {
            let reason = self.cut_off();
            self.write(reason);
        }
    }
}
