//! What tells whether the process is well: what it uses of what there is, and what goes wrong
//! unseen.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use utoipa::ToSchema;

use super::view::View;
use crate::config::Config;
use crate::config::model;
use crate::os::{open_files, reserve};
use crate::telemetry::diagnostics;

/// The open files of the process, and how many it may have. Absent where that is not known.
#[derive(Serialize, ToSchema)]
pub(super) struct Files {
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<u64>,
    /// Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

/// Places for connections of clients, and for streams of HTTP/2 on them.
#[derive(Serialize, ToSchema)]
pub(super) struct Connections {
    open: usize,
    limit: usize,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    name: String,
    /// The host names that it is for.
    names: Vec<String>,
    /// RFC 3339, UTC.
    not_after: String,
    /// Whole days until then; negative where it has expired.
    days_left: i64,
}

/// Lines that were not written.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LostLines {
    /// Of the access log.
    access_log: u64,
    /// Of the diagnostics, because there were too many of their kind.
    diagnostics: u64,
}

/// A process that has handed over, and still holds tunnels.
#[derive(Serialize, ToSchema)]
pub(super) struct OldProcess {
    pid: u32,
    tunnels: i64,
    /// Why tunnels stay there, as far as it has told: `http2`; `tls` (rustls speaks it there);
    /// `closing` (their end is under way); `waiting` (they come, where there are files for them).
    staying: BTreeMap<String, u64>,
}

impl Files {
    pub(super) fn now() -> Self {
        Files {
            open: reserve::with(1, open_files::open).ok(),
            limit: open_files::limit(),
        }
    }
}

impl Connections {
    pub(super) fn of(view: &View) -> Self {
        let (open, limit) = view.serving.listeners.places();
        Connections { open, limit }
    }
}

impl Certificate {
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let now = SystemTime::now();
        let certificates = config.certificates.iter();
        certificates.map(|one| Certificate::of(one, now)).collect()
    }

    fn of(certificate: &model::Certificate, now: SystemTime) -> Self {
        Certificate {
            name: certificate.name.clone(),
            names: certificate.names.clone(),
            not_after: humantime::format_rfc3339_seconds(certificate.not_after).to_string(),
            days_left: days(now, certificate.not_after),
        }
    }
}

/// Whole days from one time to another.
fn days(from: SystemTime, to: SystemTime) -> i64 {
    const DAY: u64 = 24 * 60 * 60;
    let whole = |days: u64| i64::try_from(days).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(left) => whole(left.as_secs() / DAY),
        Err(past) => -whole(past.duration().as_secs() / DAY) - 1,
    }
}

impl LostLines {
    pub(super) fn of(view: &View) -> Self {
        LostLines {
            access_log: view.serving.metrics.process.access_log_dropped.get(),
            diagnostics: diagnostics::left_out(),
        }
    }
}

impl OldProcess {
    pub(super) fn all(view: &View) -> Vec<Self> {
        let told = view.old_processes.told().into_iter();
        told.map(|(pid, tunnels, staying)| OldProcess {
            pid,
            tunnels,
            staying,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn days_are_whole_and_negative_once_it_is_over() {
        let at = |hours: u64| UNIX_EPOCH + Duration::from_secs(hours * 3600);
        for (from, to, expected) in [(0, 0, 0), (0, 47, 1), (0, 48, 2), (48, 47, -1), (48, 0, -3)] {
            assert_eq!(days(at(from), at(to)), expected, "{from} {to}");
        }
    }
}
