//! When what is tried: before a certificate has used up its time, and not too often.

use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long to wait after so many failed attempts. Let's Encrypt takes five an hour for each name.
const DELAYS: [Duration; 8] = [
    MINUTE,
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    HOUR,
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// When a certificate is renewed that is valid from and to these moments: with a third of its
/// lifetime left, or up to a thirtieth of it earlier. `chance` is from 0 to 1.
pub(super) fn renewal(from: SystemTime, to: SystemTime, chance: f64) -> SystemTime {
    let lifetime = to.duration_since(from).unwrap_or_default();
    let left = lifetime / 3 + (lifetime / 30).mul_f64(chance.clamp(0.0, 1.0));
    to.checked_sub(left).unwrap_or(from)
}

/// How long to wait after so many failed attempts in a row, or a quarter longer. `chance` is from 0
/// to 1.
pub(super) fn delay(failures: u32, chance: f64) -> Duration {
    let place = usize::try_from(failures.max(1) - 1).unwrap_or(usize::MAX);
    let delay = DELAYS[place.min(DELAYS.len() - 1)];
    delay + (delay / 4).mul_f64(chance.clamp(0.0, 1.0))
}

/// A moment between these two.
pub(super) fn between(from: SystemTime, to: SystemTime, chance: f64) -> SystemTime {
    let width = to.duration_since(from).unwrap_or_default();
    from + width.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_third_of_the_lifetime_is_left_when_a_certificate_is_renewed() {
        let day = 24 * HOUR;
        let (from, to) = (UNIX_EPOCH, UNIX_EPOCH + 90 * day);
        assert_eq!(renewal(from, to, 0.0), UNIX_EPOCH + 60 * day);
        assert_eq!(renewal(from, to, 1.0), UNIX_EPOCH + 57 * day);
        assert_eq!(renewal(to, from, 1.0), from);
    }

    #[test]
    fn attempts_that_fail_come_ever_later_and_at_most_five_in_an_hour() {
        let mut at = Duration::ZERO;
        let mut moments = vec![at];
        for failures in 1..=12 {
            at += delay(failures, 0.0);
            moments.push(at);
        }
        for first in &moments {
            let later = moments.iter().filter(|at| **at >= *first);
            assert!(later.filter(|at| **at < *first + HOUR).count() <= 5);
        }
        assert_eq!(delay(0, 0.0), MINUTE);
        assert_eq!(delay(u32::MAX, 1.0), 30 * HOUR);
    }
}
