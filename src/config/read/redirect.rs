//! What a `REDIRECT` rule says: `location` and what goes with it.

use super::super::model::{Condition, NewPath, Redirect};
use super::super::template::{Part, Template, Value};
use super::super::tree::{Mapping, Node};
use super::{changes, cors, defaults};

/// With what an address begins that is made for each request: else a host of the client's choice
/// could become a scheme.
const BEGINNINGS: &[&str] = &["http://", "https://", "/"];

/// `conditions` are the rule's, where they could be read.
pub(super) fn read(rule: &Mapping, conditions: Option<&[Condition]>) -> Option<Redirect> {
    let location = rule.required("location", location);
    let drop_query = rule.or("dropQuery", defaults::DROP_QUERY, Node::boolean);
    let status_code = rule.or("statusCode", defaults::REDIRECT_STATUS, status);
    let path = path(rule, location.as_ref(), conditions);
    let cors = cors::read(rule);
    let is_made = location
        .as_ref()
        .is_some_and(|location| location.literal().is_none());
    if is_made {
        rule.forbidden(
            "dropQuery",
            "cannot be combined with placeholders: the query goes where {query} stands",
        );
    }
    Some(Redirect {
        location: location?,
        status_code: status_code?,
        drop_query: drop_query?,
        path: path?,
        cors: cors?.map(Box::new),
    })
}

fn location(node: &Node) -> Option<Template> {
    let text = node.string()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.wrong("an address of visible ASCII characters");
    }
    match Template::parse_of_request(text) {
        Err(why) => node.problem(why),
        Ok(location) if has_beginning(&location) => Some(location),
        Ok(_) => node.problem(
            "must begin with http://, https://, {scheme}://, {path} or /, since it has \
             placeholders",
        ),
    }
}

fn has_beginning(location: &Template) -> bool {
    match location.parts() {
        [_] | [] if location.literal().is_some() => true,
        [Part::Text(text), ..] => BEGINNINGS.iter().any(|start| text.starts_with(start)),
        [Part::Value(Value::Scheme), Part::Text(text), ..] => text.starts_with("://"),
        [Part::Value(first), ..] => *first == Value::Path,
        [] => false,
    }
}

/// What `{path}` stands for, if not for the path that was asked for.
fn path(
    rule: &Mapping,
    location: Option<&Template>,
    conditions: Option<&[Condition]>,
) -> Option<Option<NewPath>> {
    let mapping = rule.section("rewrite", changes::REWRITE_KEYS)?;
    mapping.forbidden("host", "is only valid for FORWARD: write it into location");
    let path = changes::path(&mapping, conditions)?;
    let is_used = location.is_none_or(|location| location.has(Value::Path));
    match path {
        Some(_) if !is_used => {
            rule.problem("rewrite", "changes nothing: there is no {path} in location")
        }
        path => Some(path),
    }
}

fn status(node: &Node) -> Option<u16> {
    let status = node.value.as_u64().and_then(|code| code.try_into().ok());
    match status {
        Some(301 | 302 | 303 | 307 | 308) => status,
        _ => node.wrong("301, 302, 303, 307 or 308"),
    }
}
