//! What was counted since the process began, and the ages of what is open.

use std::cell::RefCell;
use std::time::Duration;

use serde::Serialize;
use strum::VariantArray as _;
use utoipa::ToSchema;

use super::view::View;
use crate::telemetry::CloseReason;
use crate::telemetry::metrics::Totals;
use crate::tunnel::{Handle, Tunnels};

/// The ages that tunnels are sorted by, in seconds.
const AGES: [u64; 6] = [10, 60, 600, 3600, 21_600, 86_400];

/// What was counted since the process began, and the ages of what is open.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    /// Tunnels opened.
    pub(super) opened: u64,
    /// Tunnels closed, by reason.
    closed: Vec<Closed>,
    /// From clients, in this process: of exchanges that are over, and of open tunnels.
    pub(super) bytes_in: u64,
    /// To clients, likewise.
    pub(super) bytes_out: u64,
    /// How old the open tunnels are, the youngest first.
    ages: Vec<Ages>,
}

#[derive(Serialize, ToSchema)]
struct Closed {
    /// A `closeReason` of the access log.
    reason: &'static str,
    tunnels: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ages {
    /// Younger than this, and not in the entry before; absent in the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    below_seconds: Option<u64>,
    tunnels: usize,
}

impl Traffic {
    pub(super) fn of(view: &View, totals: &Totals) -> Self {
        let tunnels = &view.serving.drain.tunnels;
        let open = Sums::of(tunnels);
        let [before_in, before_out] = tunnels.carried_before();
        let closed = |reason: CloseReason| Closed {
            reason: reason.as_str(),
            tunnels: totals.closed[reason as usize],
        };
        let bounds = AGES.into_iter().map(Some).chain([None]);
        let ages = bounds.zip(open.ages).map(|(below_seconds, tunnels)| Ages {
            below_seconds,
            tunnels,
        });
        Traffic {
            opened: tunnels.opened(),
            closed: CloseReason::VARIANTS.iter().copied().map(closed).collect(),
            bytes_in: (totals.bytes_in + open.bytes_in).saturating_sub(before_in),
            bytes_out: (totals.bytes_out + open.bytes_out).saturating_sub(before_out),
            ages: ages.collect(),
        }
    }
}

/// What is known of all open tunnels together.
#[derive(Default)]
struct Sums {
    bytes_in: u64,
    bytes_out: u64,
    ages: [usize; AGES.len() + 1],
}

impl Sums {
    fn of(tunnels: &Tunnels) -> Self {
        let open = RefCell::new(Sums::default());
        // Looking at each, and wanting none, copies nothing.
        let look = |tunnel: &Handle| {
            let mut open = open.borrow_mut();
            let (bytes_in, bytes_out) = tunnel.bytes();
            open.bytes_in += bytes_in;
            open.bytes_out += bytes_out;
            open.ages[place_of(tunnel.opened.elapsed())] += 1;
            false
        };
        tunnels.for_each(look, |_| {});
        open.into_inner()
    }
}

fn place_of(age: Duration) -> usize {
    AGES.partition_point(|bound| *bound <= age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_belongs_to_the_first_bound_above_it() {
        for (seconds, place) in [(0, 0), (9, 0), (10, 1), (3599, 3), (3600, 4), (86_400, 6)] {
            assert_eq!(place_of(Duration::from_secs(seconds)), place, "{seconds}");
        }
    }
}
