//! What a rule may say by the specification, and what this program cannot do: the rule is dropped
//! then, and that is told.

use super::objects::{Filter, Rule};

/// What of a rule cannot be done.
pub(super) fn unsupported(rule: &Rule) -> Option<String> {
    if rule.is_sticky {
        return Some("sessionPersistence is not supported".to_owned());
    }
    let own = rule.backends.iter().flat_map(|backend| &backend.filters);
    let mut other = own.filter(|filter| matches!(filter, Filter::Mirror(_) | Filter::Cors(_)));
    let word = other.next()?.word();
    Some(format!("filter {word} is not supported at a backendRef"))
}
