//! Where a `FORWARD` rule leads to: `targetGroup`, or several `targetGroups` with weights, of which
//! some may be no groups but statuses that are answered.

use std::collections::HashSet;

use super::super::model::{Answer, Condition, WeightedAnswer, WeightedGroup};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::none_named;
use super::{changes, defaults};

pub(super) const KEYS: &[&str] = &["name", "weight", "statusCode", "headers", "rewrite"];

/// Groups, and shares that are answered.
type Shares = (Vec<WeightedGroup>, Vec<WeightedAnswer>);

enum Share {
    Group(WeightedGroup),
    Answer(WeightedAnswer),
}

/// `known` are the names that there are, `conditions` the rule's, where they could be read.
pub(super) fn read(
    rule: &Mapping,
    known: &HashSet<&str>,
    conditions: Option<&[Condition]>,
) -> Option<Shares> {
    let Some(list) = rule.get("targetGroups") else {
        let name = rule.required("targetGroup", |node| name(node, known))?;
        return Some((vec![WeightedGroup::whole(name)], Vec::new()));
    };
    rule.forbidden("targetGroup", "is not valid with targetGroups");
    if list.entries()?.is_empty() {
        return list.problem("must have at least one entry");
    }
    let mut names = Unique::new("target group");
    let shares = list.each(|node| entry(node, known, conditions, &mut names))?;
    let (mut groups, mut answers) = (Vec::new(), Vec::new());
    for share in shares {
        match share {
            Share::Group(group) => groups.push(group),
            Share::Answer(answer) => answers.push(answer),
        }
    }
    if groups.is_empty() {
        return list.problem("must name at least one target group: what answers all is STATIC");
    }
    let mut weights = groups.iter().map(|group| group.weight);
    if weights.all(|weight| weight == 0) && answers.iter().all(|answer| answer.weight == 0) {
        list.warning("every weight is 0: only clients with a sticky cookie get anywhere");
    }
    Some((groups, answers))
}

fn entry(
    node: Node,
    known: &HashSet<&str>,
    conditions: Option<&[Condition]>,
    names: &mut Unique<String>,
) -> Option<Share> {
    let mapping = node.mapping(KEYS)?;
    let weight = || {
        let default = u32::from(defaults::WEIGHT);
        mapping.or("weight", default, |node| node.integer(0..=1000))
    };
    if let Some(status) = mapping.get("statusCode") {
        for key in ["name", "headers", "rewrite"] {
            mapping.forbidden(key, "is not valid with statusCode");
        }
        let (status, weight) = (status.integer(200..=599), weight());
        return Some(Share::Answer(WeightedAnswer {
            answer: Answer::Status(status?),
            weight: weight?,
        }));
    }
    let name = mapping.required("name", |node| {
        let name = name(node, known)?.to_owned();
        names.enter(name.clone(), node);
        Some(name)
    });
    let weight = weight();
    let changes = changes::read(&mapping, conditions);
    let has_changes = mapping.get("headers").is_some() || mapping.get("rewrite").is_some();
    Some(Share::Group(WeightedGroup {
        name: name?,
        weight: weight?,
        changes: changes.map(|changes| has_changes.then(|| Box::new(changes)))?,
        cors: None,
        mirrors: Vec::new(),
    }))
}

/// The name of one of these.
pub(super) fn name<'a>(node: &Node<'a>, known: &HashSet<&str>) -> Option<&'a str> {
    let name = node.string()?;
    if !known.contains(name) {
        return node.problem(none_named("target group", name, known.iter().copied()));
    }
    Some(name)
}
