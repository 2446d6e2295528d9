//! What a drain is going to do: from when and until when tunnels are ended, and how many a second.

use std::time::Duration;

use crate::config::model;

/// Over which part of the time that is left tunnels are spread.
pub(super) fn window(left: Duration) -> Duration {
    left * 3 / 4
}

/// What a drain is going to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// When the first tunnel is ended.
    pub begins: Duration,
    /// How many are ended in a second.
    pub rate: f64,
    /// When the last one is, if they end as they are told.
    pub ends: Duration,
}

impl Forecast {
    /// What is to be expected of a drain of so many tunnels.
    pub fn of(settings: &model::Drain, tunnels: usize) -> Self {
        let begins = settings.ready_delay;
        let left = settings.deadline.saturating_sub(begins);
        let even = tunnels as f64 / window(left).as_secs_f64();
        let (rate, span) = match settings.rate.map(f64::from) {
            Some(most) if most < even => {
                let span = Duration::try_from_secs_f64(tunnels as f64 / most);
                (most, span.map_or(left, |span| span.min(left)))
            }
            _ => (even, window(left)),
        };
        Forecast {
            begins,
            rate: if rate.is_finite() { rate } else { 0.0 },
            ends: begins + if tunnels == 0 { Duration::ZERO } else { span },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_tells_the_pace_and_when_it_is_over() {
        let seconds = Duration::from_secs;
        let settings = |rate| model::Drain {
            ready_delay: seconds(10),
            deadline: seconds(50),
            rate,
        };
        for (rate, tunnels, expected) in [
            (None, 600, (20.0, 40)),
            (Some(100), 600, (20.0, 40)),
            (Some(16), 600, (16.0, 47)),
            (Some(10), 600, (10.0, 50)),
            (None, 0, (0.0, 10)),
        ] {
            let forecast = Forecast::of(&settings(rate), tunnels);
            let found = (forecast.rate, forecast.ends.as_secs());
            assert_eq!(found, expected, "{rate:?} {tunnels}");
            assert_eq!(forecast.begins, seconds(10));
        }
    }
}
