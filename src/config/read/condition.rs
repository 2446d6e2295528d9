//! An entry of `conditions`: which of `key`, `condition` and `value` go together with which `type`.
//!
//! `HEADER`, `QUERY` and `COOKIE` have a key, the others none; `EXISTS` has no value, the other
//! comparisons need one; `SOURCE_IP` has a block of addresses as its value, or many in a file, and
//! no comparison.

use http::HeaderName;

use super::super::model::{Comparison, Condition, Subject};
use super::super::tree::{Mapping, Node};
use super::{defaults, expression, values_file};

pub(super) const KEYS: &[&str] = &["type", "condition", "negate", "key", "value", "valuesFile"];

#[derive(Debug, Clone, Copy)]
enum Type {
    Header,
    Path,
    Query,
    Method,
    Host,
    Cookie,
    SourceIp,
    ServerName,
}

const TYPES: &[(&str, Type)] = &[
    ("HEADER", Type::Header),
    ("PATH", Type::Path),
    ("QUERY", Type::Query),
    ("METHOD", Type::Method),
    ("HOST", Type::Host),
    ("COOKIE", Type::Cookie),
    ("SOURCE_IP", Type::SourceIp),
    ("SERVER_NAME", Type::ServerName),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    Contains,
    Equals,
    Matches,
    StartsWith,
    EndsWith,
    Under,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("EXISTS", Operator::Exists),
    ("CONTAINS", Operator::Contains),
    ("EQUALS", Operator::Equals),
    ("MATCHES", Operator::Matches),
    ("STARTS_WITH", Operator::StartsWith),
    ("ENDS_WITH", Operator::EndsWith),
    ("UNDER", Operator::Under),
];

pub(super) fn read(node: Node) -> Option<Condition> {
    let mapping = node.mapping(KEYS)?;
    let kind = mapping.required("type", |node| node.choice(TYPES, &[]));
    if kind.is_some_and(|kind| !matches!(kind, Type::SourceIp)) {
        mapping.forbidden("valuesFile", "is only valid for SOURCE_IP");
    }
    let subject = kind.and_then(|kind| subject(kind, &mapping));
    let negate = mapping.or("negate", defaults::NEGATE, Node::boolean);
    let condition = Condition {
        subject: subject?,
        negate: negate?,
    };
    warn_if_constant(&condition, &mapping);
    Some(condition)
}

fn subject(kind: Type, mapping: &Mapping) -> Option<Subject> {
    match kind {
        Type::Header => with_key(mapping, header_name, Subject::Header),
        Type::Query => with_key(mapping, key, Subject::Query),
        Type::Cookie => with_key(mapping, key, Subject::Cookie),
        Type::Path => without_key(mapping, Subject::Path),
        Type::Host => without_key(mapping, Subject::Host),
        Type::Method => without_key(mapping, Subject::Method),
        Type::ServerName => without_key(mapping, Subject::ServerName),
        Type::SourceIp => source_ip(mapping),
    }
}

fn with_key(
    mapping: &Mapping,
    read: fn(&Node) -> Option<String>,
    make: fn(String, Comparison) -> Subject,
) -> Option<Subject> {
    let key = mapping.required("key", read);
    let probe = make(key.clone().unwrap_or_default(), Comparison::Exists);
    let comparison = comparison(mapping, &probe);
    Some(make(key?, comparison?))
}

fn without_key(mapping: &Mapping, make: fn(Comparison) -> Subject) -> Option<Subject> {
    forbid_key(mapping);
    let probe = make(Comparison::Exists);
    comparison(mapping, &probe).map(make)
}

fn source_ip(mapping: &Mapping) -> Option<Subject> {
    forbid_key(mapping);
    mapping.forbidden("condition", "is not valid for SOURCE_IP");
    if let Some(node) = mapping.get("valuesFile") {
        mapping.forbidden("value", "cannot be combined with valuesFile");
        return values_file::read(&node).map(Subject::SourceIpIn);
    }
    mapping
        .required("value", Node::block)
        .map(Subject::SourceIp)
}

fn forbid_key(mapping: &Mapping) {
    mapping.forbidden("key", "is only valid for HEADER, QUERY and COOKIE");
}

fn key(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

fn header_name(node: &Node) -> Option<String> {
    let name = node.text()?;
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return node.wrong("the name of a header");
    }
    Some(name.to_owned())
}

fn comparison(mapping: &Mapping, of: &Subject) -> Option<Comparison> {
    let operator = mapping.required("condition", |node| node.choice(OPERATORS, &[]))?;
    if operator == Operator::Under && !matches!(of, Subject::Path(_)) {
        return mapping.problem("condition", "UNDER is only valid for PATH");
    }
    if operator == Operator::Exists {
        mapping.forbidden("value", "is not valid with EXISTS");
        return Some(Comparison::Exists);
    }
    let ignores_case = of.ignores_case();
    mapping.required("value", |node| {
        warn_of_globs(operator, node, of);
        with_value(operator, node, ignores_case)
    })
}

/// Notes where `*` looks as if it stood for anything.
fn warn_of_globs(operator: Operator, node: &Node, of: &Subject) {
    let text = node.value.as_str().unwrap_or_default();
    let is_host = matches!(of, Subject::Host(_) | Subject::ServerName(_));
    let is_path = matches!(of, Subject::Path(_));
    if operator == Operator::Matches {
        if (is_path || is_host) && text.ends_with("/*") {
            node.warning("is an expression and no glob: \"/*\" is any number of slashes");
        }
        return;
    }
    let what = match (is_host, is_path) {
        (true, _) => "ENDS_WITH \".example.com\" is every host below it",
        // `OPTIONS *` has that for its path.
        (_, true) if text != "*" => "UNDER \"/chat\" is that path and every one below it",
        _ => return,
    };
    if text.contains('*') {
        node.warning(format!(
            "there are no globs: * is compared as it is written; {what}"
        ));
    }
}

fn with_value(operator: Operator, node: &Node, ignores_case: bool) -> Option<Comparison> {
    let value = node.string()?;
    if value.is_empty() && operator != Operator::Equals {
        return node.problem("must not be empty: the condition would always hold");
    }
    if operator == Operator::Under && !value.starts_with('/') {
        return node.problem("must begin with \"/\": no path is below anything else");
    }
    let value = value.to_owned();
    match operator {
        Operator::Exists => Some(Comparison::Exists),
        Operator::Contains => Some(Comparison::Contains(value)),
        Operator::Equals => Some(Comparison::Equals(value)),
        Operator::StartsWith => Some(Comparison::StartsWith(value)),
        Operator::EndsWith => Some(Comparison::EndsWith(value)),
        Operator::Under => Some(Comparison::Under(value)),
        Operator::Matches => match expression::compile(&value, ignores_case) {
            Ok(expression) => Some(Comparison::Matches(expression)),
            Err(reason) => node.problem(reason),
        },
    }
}

fn warn_if_constant(condition: &Condition, mapping: &Mapping) {
    use Comparison::Exists;
    if let Subject::Path(Exists) | Subject::Method(Exists) = condition.subject {
        let holds = if condition.negate { "never" } else { "always" };
        mapping.warning(
            "condition",
            format!("every request has a path and a method: this {holds} holds"),
        );
    }
}
