//! How far each certificate is: what the admin address tells, and what an operator may ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use strum::IntoStaticStr;
use tokio::sync::Notify;

/// What is done about a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum State {
    /// Nothing, until the next attempt.
    #[default]
    Waiting,
    /// It is ordered.
    Renewing,
    /// Another process has the lock.
    Elsewhere,
}

/// How far a certificate is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What is done.
    pub state: State,
    /// How many attempts have failed since the last that has not.
    pub failures: u32,
    /// When the next attempt is due.
    pub next: Option<SystemTime>,
    /// When it was issued last.
    pub issued: Option<SystemTime>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// How far all are that are issued by ACME.
#[derive(Default)]
pub struct Renewals(Mutex<BTreeMap<String, (Progress, Arc<Notify>)>>);

impl Renewals {
    /// How far the certificate of this name is; `None` of one that is not issued by ACME.
    pub fn of(&self, name: &str) -> Option<Progress> {
        self.0
            .lock()
            .get(name)
            .map(|(progress, _)| progress.clone())
    }

    /// Has one be renewed now, whatever is due; false if there is none of this name.
    pub fn wish(&self, name: &str) -> bool {
        let all = self.0.lock();
        let found = all.get(name).map(|(_, wish)| wish.notify_one());
        found.is_some()
    }
}

#[cfg(feature = "acme")]
impl Renewals {
    /// Shows how far a certificate is.
    pub(super) fn show(&self, name: &str, progress: Progress) {
        if let Some((shown, _)) = self.0.lock().get_mut(name) {
            *shown = progress;
        }
    }

    /// Shows what is done about a certificate.
    pub(super) fn enter(&self, name: &str, state: State) {
        if let Some((shown, _)) = self.0.lock().get_mut(name) {
            shown.state = state;
        }
    }

    /// Shows a certificate from now on; returns what tells that it is wished for.
    pub(super) fn begin(&self, name: &str) -> Arc<Notify> {
        let mut all = self.0.lock();
        let (_, wish) = all.entry(name.to_owned()).or_default();
        Arc::clone(wish)
    }

    /// Shows no other certificates than these.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().retain(|name, _| is_there(name));
    }
}
