//! `outlierDetection` of a target group.

use super::super::model::OutlierDetection;
use super::super::tree::{Mapping, Node};
use super::defaults;

pub(super) const KEYS: &[&str] = &[
    "consecutiveFailures",
    "baseEjectionTime",
    "maxEjectionTime",
    "maxEjectedPercent",
];

/// `outlierDetection` of a group with this many targets.
pub(super) fn read(group: &Mapping, targets: Option<usize>) -> Option<Option<OutlierDetection>> {
    let Some(node) = group.get("outlierDetection") else {
        return Some(None);
    };
    let mapping = node.mapping(KEYS)?;
    let failures = mapping.or(
        "consecutiveFailures",
        defaults::CONSECUTIVE_FAILURES,
        |node| node.integer(1..=10000),
    );
    let (base, most) = (defaults::BASE_EJECTION_TIME, defaults::MAX_EJECTION_TIME);
    let base = mapping.or("baseEjectionTime", base, Node::duration);
    let most = mapping.or("maxEjectionTime", most, Node::duration);
    if base > most && most.is_some() {
        mapping.problem::<()>("maxEjectionTime", "is shorter than baseEjectionTime");
        return None;
    }
    let percent = mapping.or("maxEjectedPercent", defaults::MAX_EJECTED_PERCENT, |node| {
        node.integer(1..=100)
    });
    if let (Some(percent), Some(targets)) = (percent, targets)
        && percent * targets < 100
    {
        let message =
            format!("{percent} % of {targets} targets are less than one: none is ejected");
        mapping.warning("maxEjectedPercent", message);
    }
    Some(Some(OutlierDetection {
        consecutive_failures: failures?,
        base_ejection_time: base?,
        max_ejection_time: most?,
        max_ejected_percent: percent?,
    }))
}
