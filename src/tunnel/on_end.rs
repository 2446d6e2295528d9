//! What is done when a tunnel is over: its record is written and counted, and what it took up is
//! given back.
//!
//! All of it is data, so that another process can go on with it. It is done once; if nobody has it
//! done, dropping it does, with the reason that the process gives.

use std::sync::Arc;

use super::ending::Ending;
use crate::target_group::Held;
use crate::telemetry::access_log::{AccessLog, Entry};
use crate::telemetry::metrics::{ActiveTunnel, CloseCounters, CodeCounters, RuleMetrics};
use crate::telemetry::{CloseReason, Frames, Record};

/// The place that a tunnel's client has in the process, for as long as this is kept.
pub trait Place: Send + Sync {
    /// Why the tunnel ends, if it is cut off from outside.
    fn cut_off(&self) -> CloseReason;

    /// The client that the place is counted for, if there is one.
    fn counted(&self) -> Option<std::net::IpAddr>;
}

/// What a tunnel is accounted by.
pub struct Account {
    /// The record of its exchange so far.
    pub record: Record,
    /// Where the record is written.
    pub log: AccessLog,
    /// The counters of its forwarding rule.
    pub rule: Arc<RuleMetrics>,
    /// The counters of the HTTP rule that matched.
    pub http_rule: Option<Arc<CodeCounters>>,
    /// That its target carries it.
    pub held: Option<Held>,
    /// That it is counted as open, and where its end is counted.
    pub active: Option<(ActiveTunnel, Arc<CloseCounters>)>,
    /// Its client's place.
    pub place: Arc<dyn Place>,
}

/// What is done when a tunnel is over.
pub struct OnEnd(Option<Box<Open>>);

/// A tunnel that is not over.
struct Open {
    account: Account,
    /// That its end is not written yet, in case the process dies.
    _entry: Option<Entry>,
}

impl OnEnd {
    /// What is done at the end of a tunnel with this account.
    pub fn new(account: Account) -> Self {
        let _entry = account.log.enter(&account.record);
        OnEnd(Some(Box::new(Open { account, _entry })))
    }

    /// The account, unless it is closed.
    pub(super) fn account(&self) -> Option<&Account> {
        self.0.as_deref().map(|open| &open.account)
    }

    /// The tunnel is over.
    pub fn end(&mut self, ending: Ending) {
        let Some(mut open) = self.0.take() else {
            return;
        };
        let account = &mut open.account;
        let record = &mut account.record;
        record.bytes.request_body = ending.bytes_in;
        record.bytes.response_body = ending.bytes_out;
        record.close_code = ending.code;
        record.frames = Some(Frames {
            from_client: ending.frames_in,
            to_client: ending.frames_out,
            since_activity: ending.since_activity,
        });
        record.error = ending.error;
        let reason = ending.reason.unwrap_or_else(|| account.cut_off());
        open.account.write(reason);
    }

    /// The tunnel goes on elsewhere, where its record is written: the account, unless it is closed.
    pub(super) fn leave(&mut self) -> Option<Account> {
        Some(self.0.take()?.account)
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        if let Some(mut open) = self.0.take() {
            let reason = open.account.cut_off();
            open.account.write(reason);
        }
    }
}

impl Account {
    fn write(self, reason: CloseReason) {
        drop(self.held);
        self.rule.count(&self.record, self.http_rule.as_ref());
        if let Some((_active, closes)) = self.active {
            closes.close(reason);
        }
        self.log.record(&self.record, reason);
    }

    /// Why a tunnel ends that was cut off from outside.
    fn cut_off(&mut self) -> CloseReason {
        let reason = self.place.cut_off();
        self.record.note_cut_off(reason);
        reason
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read as _;
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Style;
    use crate::telemetry::access_log::Output;
    use crate::telemetry::metrics::Metrics;

    struct Nowhere;

    impl Place for Nowhere {
        fn cut_off(&self) -> CloseReason {
            CloseReason::ProcessExit
        }

        fn counted(&self) -> Option<IpAddr> {
            None
        }
    }

    /// The lines that accounts have written.
    pub(crate) struct Lines {
        log: AccessLog,
        file: tempfile::NamedTempFile,
    }

    impl Lines {
        /// No line yet.
        pub(crate) fn new() -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            let output = Output::open(Some(file.path())).unwrap();
            let dropped = Metrics::new().unwrap().process.access_log_dropped;
            let open = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
            let log = AccessLog::start(output, open, Style::default(), dropped).unwrap();
            Lines { log, file }
        }

        /// What is done at the end of a tunnel whose line comes here.
        pub(crate) fn on_end(&self) -> OnEnd {
            OnEnd::new(self.account())
        }

        /// Such an account.
        pub(crate) fn account(&self) -> Account {
            let metrics = Metrics::new().unwrap();
            let client = SocketAddr::from(([192, 0, 2, 2], 80));
            Account {
                record: Record::begin("edge".into(), client.into()),
                log: self.log.clone(),
                rule: metrics.forwarding_rule("edge"),
                http_rule: None,
                held: None,
                active: None,
                place: Arc::new(Nowhere),
            }
        }

        /// All lines.
        pub(crate) fn all(&self) -> Vec<serde_json::Value> {
            self.log.flush(Duration::from_secs(10));
            let mut text = String::new();
            let read = self.file.reopen().unwrap().read_to_string(&mut text);
            read.unwrap();
            let lines = text.lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }

        /// The reasons that are told.
        pub(crate) fn reasons(&self) -> Vec<String> {
            let reason =
                |line: &serde_json::Value| line["closeReason"].as_str().unwrap().to_owned();
            self.all().iter().map(reason).collect()
        }
    }

    #[test]
    fn a_tunnel_leaves_one_line_whoever_ends_it_and_none_where_it_goes_on_elsewhere() {
        let lines = Lines::new();
        let mut ended = lines.on_end();
        ended.end(Ending::unopened(CloseReason::Killed, None));
        ended.end(Ending::unopened(CloseReason::Drained, None));
        drop(ended);
        drop(lines.on_end());
        let mut left = lines.on_end();
        left.leave();
        drop(left);
        assert_eq!(lines.reasons(), ["killed", "process_exit"]);
    }
}
