//! Looks after one certificate: waits until it is due, orders it, and notes what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::CertificateIdentifier;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::sleep;

use super::attempt::{self, Failure};
use super::challenges::Challenges;
use super::folder::{Folder, Locked};
use super::record::{Issued, Known, Record, moment, seconds, settings};
use super::renewals::{Progress, Renewals, State};
use super::schedule;
use crate::config::model::{Acme, file_name};
use crate::os::random::chance;
use crate::telemetry::metrics::Metrics;

/// How long to wait at most until the files are read again: clocks are set, and other processes
/// renew.
const LOOK: Duration = Duration::from_secs(10 * 60);
/// How long to wait for a lock, and for the next attempt after a success.
const SOON: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(60);
/// How often a directory is asked when to renew, if it says nothing else or something odd.
const ASK: Duration = Duration::from_secs(6 * 60 * 60);
const ASK_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);
const ASK_AT_LEAST: Duration = Duration::from_secs(60);
/// What an attempt is noted to have failed of until its outcome is there.
const CUT_OFF: &str = "the process ended during the attempt";

/// What all certificates have in common.
pub(super) struct Shared {
    pub(super) challenges: Arc<Challenges>,
    pub(super) renewals: Arc<Renewals>,
    pub(super) metrics: Arc<Metrics>,
    /// Tells whoever serves that there is something new on disk.
    pub(super) changed: mpsc::Sender<()>,
    /// How many are ordered at a time.
    pub(super) orders: Semaphore,
}

/// One certificate.
pub(super) struct Tended {
    pub(super) name: String,
    pub(super) acme: Arc<Acme>,
    pub(super) shared: Arc<Shared>,
    /// That an operator wants it now.
    pub(super) wish: Arc<Notify>,
}

/// What came of an attempt.
enum Outcome {
    /// It was not due any more, or is there now.
    Done,
    /// Another process has the lock.
    Locked,
    /// Before this moment nothing is to be tried.
    Failed(SystemTime),
}

impl Tended {
    /// Looks after it until it is dropped.
    pub(super) async fn tend(self) {
        let (mut is_wished, mut not_before) = (false, SystemTime::UNIX_EPOCH);
        if Known::read(&self.name, &self.acme).issued.is_none() {
            let (name, directory) = (&self.name, &self.acme.directory);
            log::warn!(
                "certificate {name:?}: there is none yet: a self-signed one is served until \
                 {directory} has issued one"
            );
        }
        loop {
            let known = Known::read(&self.name, &self.acme);
            let due = known.due(&self.acme).max(not_before);
            self.show(&known.record, due);
            if is_wished || due <= SystemTime::now() {
                match self.attempt(is_wished).await {
                    Outcome::Done => is_wished = false,
                    Outcome::Failed(until) => (is_wished, not_before) = (false, until),
                    Outcome::Locked => {
                        // It is ordered, if not here.
                        is_wished = false;
                        self.shared.renewals.enter(&self.name, State::Elsewhere);
                        sleep(SOON).await;
                    }
                }
                continue;
            }
            if self.ask(&known).await {
                continue;
            }
            let left = due.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                () = self.wish.notified() => is_wished = true,
            }
        }
    }

    fn show(&self, record: &Record, due: SystemTime) {
        self.shared.renewals.show(
            &self.name,
            Progress {
                state: State::Waiting,
                failures: record.failures,
                next: Some(due),
                issued: record.issued.map(moment),
                error: record.error.clone(),
            },
        );
        let metrics = &self.shared.metrics.process;
        metrics.renewals.show(&self.name, record.failures);
    }

    /// Orders it, if it is still due or wished for.
    async fn attempt(&self, is_wished: bool) -> Outcome {
        let Ok(_place) = self.shared.orders.acquire().await else {
            return Outcome::Locked;
        };
        let (folder, lock) = match self.lock() {
            Ok((_, None)) => return Outcome::Locked,
            Ok((folder, Some(lock))) => (folder, lock),
            Err(why) => {
                let failures = self.failures() + 1;
                let failure = Failure {
                    why,
                    wait: Duration::ZERO,
                };
                return self.failed(
                    Record {
                        failures,
                        ..Record::default()
                    },
                    None,
                    failure,
                );
            }
        };
        let outcome = self.attempt_in(&folder, is_wished).await;
        drop(lock);
        outcome
    }

    fn lock(&self) -> Result<(Folder, Option<Locked>), String> {
        let folder = Folder::at(&self.acme.state_directory)?;
        let lock = folder.lock(&format!("{}.lock", file_name(&self.name)))?;
        Ok((folder, lock))
    }

    /// How many attempts have failed, as far as is known without the folder.
    fn failures(&self) -> u32 {
        let progress = self.shared.renewals.of(&self.name);
        progress.map_or(0, |progress| progress.failures)
    }

    async fn attempt_in(&self, folder: &Folder, is_wished: bool) -> Outcome {
        // Another process may have renewed it a moment ago.
        let Known { mut record, issued } = Known::read(&self.name, &self.acme);
        let known = Known {
            record: record.clone(),
            issued,
        };
        if !is_wished && known.due(&self.acme) > SystemTime::now() {
            return Outcome::Done;
        }
        // A process that is started over and over again waits ever longer.
        record.failures = record.failures.saturating_add(1);
        record.settings = settings(&self.acme);
        record.error = Some(CUT_OFF.to_owned());
        let wait = schedule::delay(record.failures, chance());
        record.next_attempt = seconds(SystemTime::now() + wait);
        let file = Record::file(&self.name);
        if let Err(why) = folder.write(&file, &record.text()) {
            let wait = Duration::ZERO;
            return self.failed(record, None, Failure { why, wait });
        }
        self.shared.renewals.enter(&self.name, State::Renewing);
        let challenges = &self.shared.challenges;
        let replaced = self.replaced(&known);
        let pem = attempt::issue(&self.name, &self.acme, challenges, replaced).await;
        let stored = pem.and_then(|pem| {
            let name = format!("{}.pem", file_name(&self.name));
            let stored = folder.write(&name, &pem);
            let wait = Duration::ZERO;
            stored.map(|()| pem).map_err(|why| Failure { why, wait })
        });
        match stored {
            Ok(pem) => {
                self.issued(folder, record, &pem);
                Outcome::Done
            }
            Err(failure) => self.failed(record, Some(folder), failure),
        }
    }

    /// The certificate that an order is to replace, if its directory has issued it.
    fn replaced(&self, known: &Known) -> Option<CertificateIdentifier<'static>> {
        let is_of = known.record.directory == self.acme.directory;
        known.issued.as_ref().filter(|_| is_of)?.id.clone()
    }

    fn issued(&self, folder: &Folder, record: Record, pem: &[u8]) {
        let Some(issued) = Issued::of(pem) else {
            return;
        };
        let now = SystemTime::now();
        let lifetime = issued.to.duration_since(now).unwrap_or_default();
        let renewal = schedule::renewal(issued.from, issued.to, chance());
        let record = Record {
            directory: self.acme.directory.clone(),
            settings: record.settings,
            failures: 0,
            next_attempt: seconds(now + REST.min(lifetime / 10)),
            issued: Some(seconds(now)),
            error: None,
            certificate: issued.digest,
            renewal: seconds(renewal),
            ask: 0,
        };
        self.note(folder, &record);
        let end = humantime::format_rfc3339_seconds(issued.to);
        let (name, directory) = (&self.name, &self.acme.directory);
        log::info!("certificate {name:?}: issued by {directory}, good until {end}");
        self.shared
            .metrics
            .process
            .renewals
            .renewed(name, "renewed");
        // A word that waits is enough.
        self.shared.changed.try_send(()).ok();
    }

    fn failed(&self, mut record: Record, folder: Option<&Folder>, failure: Failure) -> Outcome {
        let wait = schedule::delay(record.failures, chance()).max(failure.wait);
        let next = SystemTime::now() + wait;
        record.next_attempt = seconds(next);
        record.error = Some(failure.why.clone());
        match folder {
            Some(folder) => _ = self.note(folder, &record),
            None => self.show(&record, next),
        }
        let (name, why) = (&self.name, &failure.why);
        let at = humantime::format_rfc3339_seconds(next);
        log::error!(
            "certificate {name:?}: cannot be issued: {why}; what is served stays, and the next \
             attempt is at {at}"
        );
        self.shared.metrics.process.renewals.renewed(name, "failed");
        Outcome::Failed(next)
    }

    /// Keeps a record; returns whether it is kept.
    fn note(&self, folder: &Folder, record: &Record) -> bool {
        let noted = folder.write(&Record::file(&self.name), &record.text());
        if let Err(why) = &noted {
            log::error!("certificate {:?}: {why}", self.name);
        }
        noted.is_ok()
    }

    /// Asks the directory when it wants the certificate to be renewed, if that is due; returns
    /// whether there is an answer.
    async fn ask(&self, known: &Known) -> bool {
        let Known { record, issued } = known;
        let id = issued.as_ref().and_then(|issued| issued.id.as_ref());
        let now = seconds(SystemTime::now());
        let is_of = record.directory == self.acme.directory;
        let Some(id) = id.filter(|_| is_of && record.ask <= now) else {
            return false;
        };
        let window = attempt::window(&self.acme, id).await;
        let Ok((folder, Some(_lock))) = self.lock() else {
            return false;
        };
        let mut record = Known::read(&self.name, &self.acme).record;
        let ask = window.as_ref().map_or(ASK, |window| window.ask);
        record.ask = now + ask.clamp(ASK_AT_LEAST, ASK_AT_MOST).as_secs();
        if let Some(window) = window.filter(|window| !window.has(record.renewal)) {
            record.renewal = window.pick(chance());
            let at = humantime::format_rfc3339_seconds(moment(record.renewal));
            let name = &self.name;
            log::info!("certificate {name:?}: its directory wants it renewed at {at}");
        }
        self.note(&folder, &record)
    }
}
