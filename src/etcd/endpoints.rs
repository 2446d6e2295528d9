//! Which endpoint is asked next, and which of them fail.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::Error;
use super::settings::Endpoint;
use crate::os::random;

/// How often it is told that one endpoint still fails.
const TOLD: Duration = Duration::from_secs(60);

/// All endpoints. One is preferred until it fails.
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    state: Mutex<State>,
}

struct State {
    preferred: usize,
    /// When it was last told that this one fails.
    told: Vec<Option<Instant>>,
    trouble: Option<Trouble>,
}

/// That no endpoint has answered for a while.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Since when.
    pub since: Instant,
    /// What failed last.
    pub error: Error,
}

impl Endpoints {
    /// At least one. Many clients begin with different ones. Errors: there are none.
    pub(super) fn new(all: Vec<Endpoint>) -> Result<Self, String> {
        if all.is_empty() {
            return Err("there must be at least one endpoint".to_owned());
        }
        let state = State {
            preferred: (random::seed() % all.len() as u64) as usize,
            told: vec![None; all.len()],
            trouble: None,
        };
        Ok(Endpoints {
            all,
            state: Mutex::new(state),
        })
    }

    pub(super) fn at(&self, place: usize) -> &Endpoint {
        &self.all[place % self.all.len()]
    }

    /// All places, the preferred one first.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (preferred, count) = (self.preferred(), self.all.len());
        (0..count).map(move |step| (preferred + step) % count)
    }

    pub(super) fn preferred(&self) -> usize {
        self.state.lock().preferred
    }

    pub(super) fn after(&self, place: usize) -> usize {
        (place + 1) % self.all.len()
    }

    /// Notes that this one has answered.
    pub(super) fn answered(&self, place: usize) {
        let mut state = self.state.lock();
        state.trouble = None;
        if state.told[place].take().is_some() {
            log::info!("etcd at {} answers again", self.all[place]);
        }
    }

    /// Notes that this one has failed; the next one is preferred.
    pub(super) fn failed(&self, place: usize, error: &Error) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.preferred == place {
            state.preferred = self.after(place);
        }
        let since = state.trouble.take().map_or(now, |trouble| trouble.since);
        let error = error.clone();
        if state.told[place].is_none_or(|told| now - told >= TOLD) {
            state.told[place] = Some(now);
            log::warn!("etcd at {error}");
        }
        state.trouble = Some(Trouble { since, error });
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.state.lock().trouble.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Cause;
    use super::*;

    #[test]
    fn one_that_fails_is_asked_last() {
        let all = ["http://a", "http://b", "http://c"].map(|text| text.parse().unwrap());
        let endpoints = Endpoints::new(all.to_vec()).unwrap();
        let first = endpoints.preferred();
        let error = Error::not_done(endpoints.at(first), Cause::Busy);
        endpoints.failed(first, &error);
        let order: Vec<_> = endpoints.order().collect();
        assert_eq!(order, [1, 2, 3].map(|step| (first + step) % 3));
        assert_eq!(endpoints.trouble().unwrap().error, error);
        endpoints.answered(order[0]);
        assert!(endpoints.trouble().is_none());
        assert_eq!(endpoints.preferred(), order[0]);
    }

    #[test]
    fn there_must_be_one() {
        assert!(Endpoints::new(Vec::new()).is_err());
    }
}
