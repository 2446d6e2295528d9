//! `rebalance` of a target group: how load evens out when a target joins.

use super::super::model::{Algorithm, Rebalance};
use super::super::tree::{Mapping, Node};
use super::defaults;

pub(super) const KEYS: &[&str] = &["rate", "minAge"];

/// `algorithm` is that of the group, if it has one.
pub(super) fn read(
    group: &Mapping,
    algorithm: Option<&Algorithm>,
    is_sticky: bool,
) -> Option<Option<Rebalance>> {
    let rebalance = group.or("rebalance", None, |node| settings(node).map(Some))?;
    let sends_them_elsewhere = algorithm.is_none_or(|it| *it == Algorithm::LeastConnection);
    if rebalance.is_some() && !sends_them_elsewhere {
        return group.problem(
            "rebalance",
            "needs the algorithm LEAST_CONNECTION: with another, clients may come back to where \
             they were",
        );
    }
    if rebalance.is_some() && is_sticky {
        return group.problem(
            "rebalance",
            "cannot be combined with stickiness: clients would come back to where they were",
        );
    }
    Some(rebalance)
}

fn settings(node: &Node) -> Option<Rebalance> {
    let mapping = node.mapping(KEYS)?;
    let rate = mapping.required("rate", |node| node.integer(1..=10_000));
    let min_age = mapping.or("minAge", defaults::REBALANCE_MIN_AGE, Node::delay);
    Some(Rebalance {
        rate: rate?,
        min_age: min_age?,
    })
}
