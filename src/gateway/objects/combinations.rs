//! What an HTTPRoute, or a rule of one, may not have together. A cluster's API server checks it by
//! the CEL of the CRD; for files it is checked here.

use super::fields::Fields;
use super::filters::{Filter, PathChange};
use super::http_route::{Match, ParentRef, PathMatch, Rule};

/// Notes what does not go together.
pub(super) fn check(rule: &Rule, fields: &Fields) {
    check_filters(&rule.filters, &fields.path_of("filters"), fields);
    check_prefixes(
        &rule.filters,
        &rule.matches,
        &fields.path_of("filters"),
        fields,
    );
    for (place, backend) in rule.backends.iter().enumerate() {
        let path = fields.path_of(&format!("backendRefs[{place}].filters"));
        check_filters(&backend.filters, &path, fields);
        check_prefixes(&backend.filters, &rule.matches, &path, fields);
    }
    let redirects = rule
        .filters
        .iter()
        .any(|one| matches!(one, Filter::Redirect(_)));
    if redirects && !rule.backends.is_empty() {
        let message = "do not go with the filter RequestRedirect";
        fields.flaws.note(&fields.path_of("backendRefs"), message);
    }
}

/// What the message about filters that exclude each other ends with.
pub const EXCLUSIVE: &str = "RequestRedirect and URLRewrite exclude each other";

/// Notes several references to one Gateway that are not told apart, each by a listener or a port.
pub(super) fn check_parents(parents: &[ParentRef], spec: &Fields) {
    let name = |parent: &ParentRef| {
        let to = &parent.to;
        let parts = [&to.group, &to.kind, &to.name].map(std::sync::Arc::clone);
        (parts, to.namespace.clone())
    };
    let says = |parent: &ParentRef| (parent.to.section.is_some(), parent.port.is_some());
    for (place, parent) in parents.iter().enumerate() {
        let mut before = parents[..place].iter();
        let clashes = |other: &&ParentRef| {
            let is_same = parent.to.section == other.to.section && parent.port == other.port;
            name(parent) == name(other) && (is_same || says(parent) != says(other))
        };
        if before.any(|other| clashes(&other)) {
            let path = format!("{}[{place}]", spec.path_of("parentRefs"));
            let message = "must differ from the others to its Gateway by sectionName or port, \
                           which all of them or none have";
            spec.flaws.note(&path, message);
        }
    }
}

/// Notes names that several rules have.
pub(super) fn check_names(rules: &[Rule], spec: &Fields) {
    for (place, rule) in rules.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        let mut before = rules[..place].iter();
        if before.any(|other| other.name.as_ref() == Some(name)) {
            let path = format!("{}[{place}].name", spec.path_of("rules"));
            spec.flaws.note(&path, "is that of another rule");
        }
    }
}

fn check_filters(filters: &[Filter], path: &str, fields: &Fields) {
    let count = |word: &str| filters.iter().filter(|one| one.word() == word).count();
    let once = [
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
        "CORS",
    ];
    for word in once.into_iter().filter(|word| count(word) > 1) {
        fields
            .flaws
            .note(path, format!("{word} occurs more than once"));
    }
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        fields.flaws.note(path, EXCLUSIVE);
    }
}

/// A prefix can be replaced only where the one match is of a prefix.
fn check_prefixes(filters: &[Filter], matches: &[Match], path: &str, fields: &Fields) {
    let replaces = |filter: &Filter| {
        let change = match filter {
            Filter::Redirect(redirect) => redirect.path.as_ref(),
            Filter::Rewrite(rewrite) => rewrite.path.as_ref(),
            _ => None,
        };
        matches!(change, Some(PathChange::Prefix(_)))
    };
    let has_prefix = matches!(
        matches,
        [Match {
            path: PathMatch::Prefix(_),
            ..
        }]
    );
    if filters.iter().any(replaces) && !has_prefix {
        let message = "ReplacePrefixMatch needs exactly one match, of type PathPrefix";
        fields.flaws.note(path, message);
    }
}
