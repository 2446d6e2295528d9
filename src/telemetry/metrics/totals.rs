//! What was counted in all, whatever its labels: sums over whole families, with what left them
//! again.

use std::collections::HashMap;

use prometheus::IntCounterVec;
use prometheus::core::Collector as _;
use strum::{EnumCount as _, VariantArray as _};

use crate::telemetry::{CloseReason, RefusalReason};

/// What was counted since the process began.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Tunnels closed, by the discriminant of the reason.
    pub closed: [u64; CloseReason::COUNT],
    /// Refusals, by the discriminant of the reason.
    pub refused: [u64; RefusalReason::COUNT],
    /// Bytes of exchanges that are over, from clients.
    pub bytes_in: u64,
    /// Bytes of exchanges that are over, to clients.
    pub bytes_out: u64,
}

impl Totals {
    /// Adds what these families have counted of tunnels that closed, and of bytes.
    pub(super) fn add(&mut self, closed: &IntCounterVec, bytes: &IntCounterVec) {
        let closed = sums(closed, "reason");
        for reason in CloseReason::VARIANTS {
            self.closed[*reason as usize] += closed.get(reason.as_str()).copied().unwrap_or(0);
        }
        let bytes = sums(bytes, "direction");
        self.bytes_in += bytes.get("in").copied().unwrap_or(0);
        self.bytes_out += bytes.get("out").copied().unwrap_or(0);
    }
}

/// The sums of a family's children, by the value of this label.
fn sums(family: &IntCounterVec, label: &str) -> HashMap<String, u64> {
    let mut sums = HashMap::new();
    let families = family.collect();
    for child in families.iter().flat_map(|family| family.get_metric()) {
        let found = child.get_label().iter().find(|found| found.name() == label);
        let value = found.map_or_else(String::new, |found| found.value().to_owned());
        *sums.entry(value).or_default() += child.get_counter().get_value() as u64;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn what_was_counted_stays_in_the_totals_when_its_rule_is_gone() {
        let metrics = Metrics::new().unwrap();
        let tunnels = [metrics.tunnels("edge", "a", [].into_iter())];
        let more = metrics.tunnels("edge", "b", [].into_iter());
        let rule = metrics.forwarding_rule("edge");
        tunnels[0].closes.close(CloseReason::Killed);
        more.closes.close(CloseReason::Killed);
        rule.bytes_in.inc_by(5);
        rule.bytes_out.inc_by(7);
        let before = metrics.totals();
        assert_eq!(before.closed[CloseReason::Killed as usize], 2);
        assert_eq!((before.bytes_in, before.bytes_out), (5, 7));
        drop((tunnels, rule));
        metrics.forget();
        assert_eq!(metrics.totals(), before);
        more.closes.close(CloseReason::Drained);
        assert_eq!(metrics.totals().closed.iter().sum::<u64>(), 3);
    }
}
