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

    /// How many bytes it has carried, from its client and to it.
    pub fn carried(&self) -> [u64; 2] {
        [self.told.inward.passed(), self.told.outward.passed()]
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use tokio_util::task::TaskTracker;

    use super::super::on_end::tests::Lines;
    use super::*;

    /// As format 1 tells a tunnel: what is told once must be understood ever after.
    const FORMAT_1: &str = r#"{
        "record": {
            "started": {"secs_since_epoch": 1700000000, "nanos_since_epoch": 5},
            "clock": {"secs": 60, "nanos": 0}, "trackingId": "one", "forwardingRule": "edge",
            "httpRule": "all", "client": {"ip": "192.0.2.2", "port": 80}, "scheme": "https",
            "tls": {"protocol": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256",
                "serverName": "a.example", "clientCertificate": {"verify": "SUCCESS",
                "subject": "CN=a", "fingerprint": "00"}},
            "request": {"version": "HTTP/1.1", "method": "GET", "host": "a.example",
                "uri": "/chat", "userAgent": null, "referer": null},
            "status": 101, "upgraded": true, "protocol": null, "targetGroup": "chat",
            "target": "192.0.2.1:80", "targetConnect": null,
            "targetLatency": {"secs": 0, "nanos": 1000000},
            "bytes": {"requestHeader": 5, "requestBody": 0, "responseHeader": 6, "responseBody": 0}
        },
        "counted": "192.0.2.2", "opened": {"secs": 59, "nanos": 0}, "order": "killed",
        "lastWords": {"code": 4000, "text": "bye"},
        "limits": {"idle": {"secs": 60, "nanos": 0}, "lifetime": null, "lifetimeJitter": 0.0,
            "halfClose": {"secs": 1, "nanos": 0}, "close": {"secs": 1, "nanos": 0},
            "keepalive": {"secs": 1, "nanos": 0}},
        "inward": {"follower": {"frames": 2, "part": {"head": [129, 254]}, "close": null,
            "sender": "client"}, "stage": {"closing": [136, 0]},
            "rest": {"bytes": "aGVsbG8=", "isStuck": false}, "passed": 7},
        "outward": {"follower": {"frames": 3, "part": {"payload": 4}, "close": {"code": 1000},
            "sender": "target"}, "stage": {"discarding": {"isReceiverEnded": true}},
            "rest": {"bytes": "", "isStuck": true}, "passed": 8},
        "verdict": {"saidClose": "client_closed", "ordered": null, "ended": null, "code": 1000,
            "error": null},
        "active": {"secs": 10, "nanos": 0}, "unprobed": null, "probesClient": false,
        "death": {"secs": 30, "nanos": 0}, "until": {"secs": 1, "nanos": 0},
        "clientTls": null, "targetTls": null
    }"#;

    fn sockets() -> [OwnedFd; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        [(); 2].map(|()| TcpStream::connect(address).unwrap().into())
    }

    fn read(text: &str) -> io::Result<Arrived> {
        Arrived::read(text.as_bytes(), sockets())
    }

    #[test]
    fn what_format_1_tells_is_understood_and_told_again() {
        let arrived = read(FORMAT_1).unwrap();
        let identity = arrived.identity();
        assert_eq!((&*identity.id, &*identity.uri), ("one", "/chat"));
        assert_eq!(
            (arrived.http_rule(), arrived.counted()),
            ("all", "192.0.2.2".parse().ok())
        );
        let (lines, tunnels) = (Lines::new(), Arc::new(Tunnels::new(TaskTracker::new())));
        let frozen = arrived.adopt(&tunnels, |record| Account {
            record,
            ..lines.account()
        });
        let listed = tunnels.list();
        assert_eq!((listed[0].bytes(), listed[0].frames()), ((7, 8), (2, 3)));
        assert!(listed[0].is_ending() && listed[0].idle() >= Duration::from_secs(10));
        let again = serde_json::to_string(&frozen).unwrap();
        for part in [
            r#""bytes":"aGVsbG8=""#,
            r#"{"closing":[136,0]}"#,
            r#"{"head":[129,254]}"#,
        ] {
            assert!(again.contains(part), "{part} in {again}");
        }
        assert!(read(&again).is_ok());
        drop(frozen);
        let line = lines.all().remove(0);
        assert_eq!(line["startTime"], "2023-11-14T22:13:20.000Z");
        assert_eq!(line["closeReason"], "client_closed");
        assert!(line["durationMs"].as_f64().unwrap() >= 60_000.0);
    }

    #[test]
    fn unknown_fields_are_passed_over_and_many_may_be_missing() {
        let more = FORMAT_1.replacen("\"counted\"", "\"news\": [1], \"counted\"", 1);
        assert!(read(&more).is_ok());
        let less = FORMAT_1.replacen("\"order\": \"killed\",", "", 1);
        assert!(less != FORMAT_1 && read(&less).is_ok());
    }

    #[test]
    fn what_this_process_cannot_go_on_with_is_refused() {
        for (part, other) in [
            ("client_closed", "other_reason"),
            ("TLSv1.3", "TLSv1.9"),
            ("[129, 254]", "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
            (
                "\"idle\": {\"secs\": 60",
                "\"idle\": {\"secs\": 18446744073709551615",
            ),
            ("\"192.0.2.1:80\"", "null"),
            ("aGVsbG8=", "%"),
        ] {
            let text = FORMAT_1.replacen(part, other, 1);
            assert!(text != FORMAT_1 && read(&text).is_err(), "{other}");
        }
    }
}
