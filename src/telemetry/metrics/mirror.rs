//! What the copies of requests count that a forwarding rule sends to a target group.

use std::array;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::families::Families;
use super::kept::Kept;

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Mirrored {
    /// It was answered, whatever the answer was.
    Answered,
    /// There was no target, or no answer.
    Failed,
    /// Its body was larger than what is kept: it was not sent.
    TooLarge,
    /// Too many were under way: it was not sent.
    TooMany,
}

/// The family of copies.
pub(super) struct MirrorFamily {
    mirrored: IntCounterVec,
    kept: Kept<MirrorMetrics, 2>,
}

impl MirrorFamily {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let mirrored = families.counter(
            "mirrored_requests_total",
            "Copies of requests, by what became of them.",
            &["forwarding_rule", "target_group", "result"],
        )?;
        Ok(MirrorFamily {
            mirrored,
            kept: Kept::default(),
        })
    }

    /// What the copies from a forwarding rule to a target group count.
    pub(super) fn mirror(&self, rule: &str, group: &str) -> Arc<MirrorMetrics> {
        let counter = |result: Mirrored| {
            let labels = [rule, group, result.into()];
            self.mirrored.with_label_values(&labels)
        };
        self.kept.get([rule, group], || MirrorMetrics {
            results: array::from_fn(|place| counter(Mirrored::VARIANTS[place])),
        })
    }

    /// Drops the children with which nobody counts any more.
    pub(super) fn forget(&self) {
        self.kept.sweep(|[rule, group]| {
            for result in Mirrored::VARIANTS {
                let labels = [rule, group, result.into()];
                self.mirrored.remove_label_values(&labels).ok();
            }
        });
    }
}

/// The counters of the copies to one target group.
pub struct MirrorMetrics {
    results: [IntCounter; Mirrored::COUNT],
}

impl MirrorMetrics {
    /// Counts what became of one.
    pub fn count(&self, result: Mirrored) {
        self.results[result as usize].inc();
    }
}
