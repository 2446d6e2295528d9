//! `mirrors` of a `FORWARD` rule: which target groups get copies of its requests.

use std::collections::HashSet;

use super::super::model::Mirror;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::{defaults, target_groups};

pub(super) const KEYS: &[&str] = &["targetGroup", "percent", "fraction"];
pub(super) const FRACTION_KEYS: &[&str] = &["numerator", "denominator"];

/// `known` are the names of target groups that there are.
pub(super) fn read(rule: &Mapping, known: &HashSet<&str>) -> Option<Vec<Mirror>> {
    let mut names = Unique::new("target group");
    rule.or("mirrors", Vec::new(), |list| {
        list.each(|node| entry(&node, known, &mut names))
    })
}

fn entry(node: &Node, known: &HashSet<&str>, names: &mut Unique<String>) -> Option<Mirror> {
    let mapping = node.mapping(KEYS)?;
    let name = mapping.required("targetGroup", |node| {
        let name = target_groups::name(node, known)?.to_owned();
        names.enter(name.clone(), node);
        Some(name)
    });
    let percent = mapping.or("percent", defaults::MIRROR_PERCENT, |node| {
        node.integer(0..=100)
    });
    let fraction = mapping.or("fraction", None, |node| fraction(node).map(Some));
    if mapping.get("fraction").is_some() {
        mapping.forbidden("percent", "cannot be combined with fraction");
    }
    let (numerator, denominator) = fraction?.unwrap_or((percent?, 100));
    Some(Mirror {
        target_group: name?,
        numerator,
        denominator,
    })
}

fn fraction(node: &Node) -> Option<(u32, u32)> {
    let mapping = node.mapping(FRACTION_KEYS)?;
    let numerator = mapping.required("numerator", |node| node.integer(0..=1_000_000));
    let denominator = mapping.or("denominator", 100, |node| node.integer(1..=1_000_000));
    let (numerator, denominator) = (numerator?, denominator?);
    match numerator > denominator {
        true => mapping.problem("numerator", "must not be greater than denominator"),
        false => Some((numerator, denominator)),
    }
}
