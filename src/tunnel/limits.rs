//! What bounds a tunnel in time.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::os::random::chance;

/// How long a tunnel may do what.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How long nothing may move in either direction.
    pub idle: Duration,
    /// How long it may be open.
    pub lifetime: Option<Duration>,
    /// The fraction of `lifetime` by which a tunnel's own may be shorter.
    pub lifetime_jitter: f64,
    /// How long one direction may go on once the other has ended.
    pub half_close: Duration,
    /// How long both sides have to answer our Close.
    pub close: Duration,
    /// After which silence the system probes the peers.
    pub keepalive: Duration,
}

impl Limits {
    /// When a tunnel that opens now has lived for long enough.
    pub(super) fn death(&self, now: Instant) -> Option<Instant> {
        let lifetime = self.lifetime?;
        Some(now + lifetime.mul_f64(1.0 - self.lifetime_jitter * chance()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Limits that are all the same, with neither a lifetime nor jitter.
    pub(in crate::tunnel) fn all(limit: Duration) -> Limits {
        Limits {
            idle: limit,
            lifetime: None,
            lifetime_jitter: 0.0,
            half_close: limit,
            close: limit,
            keepalive: limit,
        }
    }

    #[test]
    fn the_jitter_shortens_a_lifetime_by_chance_and_within_its_bounds() {
        let lifetime = Duration::from_secs(1000);
        let mut limits = Limits {
            lifetime: Some(lifetime),
            lifetime_jitter: 0.25,
            ..all(lifetime)
        };
        let now = Instant::now();
        let lives = |limits: Limits| limits.death(now).unwrap() - now;
        let all: Vec<Duration> = (0..200).map(|_| lives(limits)).collect();
        let (shortest, longest) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(*shortest >= lifetime.mul_f64(0.75) && *longest <= lifetime);
        assert!(*longest - *shortest > lifetime.mul_f64(0.15), "they differ");
        limits.lifetime_jitter = 0.0;
        assert_eq!(lives(limits), lifetime);
        limits.lifetime = None;
        assert_eq!(limits.death(now), None);
    }
}
