//! Where a `FORWARD` rule leads to: `targetGroup`, or several `targetGroups` with weights.

use std::collections::HashSet;

use super::super::model::WeightedGroup;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::quoted;
use super::defaults;

pub(super) const KEYS: &[&str] = &["name", "weight"];

/// `known` are the names that there are.
pub(super) fn read(rule: &Mapping, known: &HashSet<&str>) -> Option<Vec<WeightedGroup>> {
    let Some(list) = rule.get("targetGroups") else {
        let name = rule.required("targetGroup", |node| name(node, known))?;
        return Some(vec![WeightedGroup::whole(name)]);
    };
    rule.forbidden("targetGroup", "is not valid with targetGroups");
    if list.entries()?.is_empty() {
        return list.problem("must have at least one entry");
    }
    let mut names = Unique::new("target group");
    let groups = list.each(|node| entry(node, known, &mut names))?;
    if groups.iter().all(|group| group.weight == 0) {
        list.warning("every weight is 0: only clients with a sticky cookie get anywhere");
    }
    Some(groups)
}

fn entry(node: Node, known: &HashSet<&str>, names: &mut Unique<String>) -> Option<WeightedGroup> {
    let mapping = node.mapping(KEYS)?;
    let name = mapping.required("name", |node| {
        let name = name(node, known)?.to_owned();
        names.enter(name.clone(), node);
        Some(name)
    });
    let weight = mapping.or("weight", defaults::WEIGHT, |node| node.integer(0..=1000));
    Some(WeightedGroup {
        name: name?,
        weight: weight?,
    })
}

fn name<'a>(node: &Node<'a>, known: &HashSet<&str>) -> Option<&'a str> {
    let name = node.string()?;
    if !known.contains(name) {
        return node.problem(format!("no target group named {}", quoted(name)));
    }
    Some(name)
}
