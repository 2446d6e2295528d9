//! Objects in the words of the configuration file: what clients may write in several ways is
//! written in one, ids are names, and what nothing is done with is left out.

use serde_json::{Map, Value};

/// What ids stand for.
pub(super) trait Names {
    /// What the configuration calls the target group with this id.
    fn target_group(&self, id: &str) -> Option<String>;
    /// What the configuration calls the certificate with this id, or of this name.
    fn certificate(&self, id: &str) -> Option<String>;
}

/// What holds of no request.
const NO_PATH: [(&str, &str); 3] = [("type", "PATH"), ("condition", "EQUALS"), ("value", "")];

/// A target group as the file would have it, with this name.
pub(super) fn target_group(properties: &Map<String, Value>, label: &str) -> Value {
    let mut group = properties.clone();
    group.insert("name".into(), label.into());
    for word in ["algorithm", "protocol", "protocolVersion"] {
        upper(&mut group, word);
    }
    for check in ["healthCheck", "httpHealthCheck"] {
        if let Some(check) = group.get_mut(check).and_then(Value::as_object_mut) {
            for word in ["type", "method", "matchType"] {
                upper(check, word);
            }
            begin_with_slash(check);
        }
    }
    for target in objects(&mut group, "targets") {
        lower(target, "proxyProtocol");
    }
    group.into()
}

/// A forwarding rule as the file would have it, with this name. An id that stands for nothing stays
/// as it is, and is no name there either.
pub(super) fn forwarding_rule(
    properties: &Map<String, Value>,
    label: &str,
    names: &dyn Names,
) -> Value {
    let mut rule = properties.clone();
    rule.insert("name".into(), label.into());
    upper(&mut rule, "protocol");
    if let Some(Value::Array(certificates)) = rule.get_mut("serverCertificates") {
        for id in certificates {
            rename(id, |id| names.certificate(id));
        }
    }
    if rule
        .get("serverCertificates")
        .is_some_and(|list| list.as_array().is_some_and(Vec::is_empty))
    {
        rule.shift_remove("serverCertificates");
    }
    for http_rule in objects(&mut rule, "httpRules") {
        upper(http_rule, "type");
        if let Some(id) = http_rule.get_mut("targetGroup") {
            rename(id, |id| names.target_group(id));
        }
        for share in objects(http_rule, "targetGroups") {
            if let Some(id) = share.get_mut("name") {
                rename(id, |id| names.target_group(id));
            }
        }
        for mirror in objects(http_rule, "mirrors") {
            if let Some(id) = mirror.get_mut("targetGroup") {
                rename(id, |id| names.target_group(id));
            }
        }
        for condition in objects(http_rule, "conditions") {
            upper(condition, "type");
            upper(condition, "condition");
            if condition.get("type").is_some_and(|word| word == "COOKIES") {
                condition.insert("type".into(), "COOKIE".into());
            }
            if asks_for_no_header(condition) {
                // It never holds: a request has a path.
                condition.shift_remove("key");
                condition.extend(NO_PATH.map(|(name, value)| (name.into(), value.into())));
            }
        }
    }
    rule.into()
}

/// The ids of the target groups that a forwarding rule with these properties names.
pub(super) fn named_groups(properties: &Map<String, Value>) -> Vec<&str> {
    let rules = properties.get("httpRules").and_then(Value::as_array);
    let mut named = Vec::new();
    for rule in rules.into_iter().flatten() {
        named.extend(rule.get("targetGroup").and_then(Value::as_str));
        let shares = rule.get("targetGroups").and_then(Value::as_array);
        for share in shares.into_iter().flatten() {
            named.extend(share.get("name").and_then(Value::as_str));
        }
        let mirrors = rule.get("mirrors").and_then(Value::as_array);
        for mirror in mirrors.into_iter().flatten() {
            named.extend(mirror.get("targetGroup").and_then(Value::as_str));
        }
    }
    named
}

/// What a forwarding rule with these properties is warned of: conditions that no header can meet.
pub(super) fn warnings(properties: &Map<String, Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (place, rule) in listed(properties, "httpRules") {
        for (number, condition) in listed(rule, "conditions") {
            if asks_for_no_header(condition) {
                let path = format!("properties.httpRules[{place}].conditions[{number}].key");
                warnings.push(format!("{path}: there is none, and no header has no name"));
            }
        }
    }
    warnings
}

/// IONOS' API takes the condition of a header without its name.
fn asks_for_no_header(condition: &Map<String, Value>) -> bool {
    let kind = condition.get("type").and_then(Value::as_str);
    let key = condition.get("key").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("HEADER")) && key.is_none_or(str::is_empty)
}

/// The objects in a list, with their places.
fn listed<'a>(
    object: &'a Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = (usize, &'a Map<String, Value>)> {
    let list = object.get(list).and_then(Value::as_array);
    let list = list.into_iter().flatten().enumerate();
    list.filter_map(|(place, value)| Some((place, value.as_object()?)))
}

/// IONOS' API takes a path without a slash at its beginning.
fn begin_with_slash(check: &mut Map<String, Value>) {
    if let Some(Value::String(path)) = check.get_mut("path")
        && !path.starts_with('/')
    {
        path.insert(0, '/');
    }
}

fn objects<'a>(
    object: &'a mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(list).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn upper(object: &mut Map<String, Value>, word: &str) {
    if let Some(Value::String(word)) = object.get_mut(word) {
        word.make_ascii_uppercase();
    }
}

fn lower(object: &mut Map<String, Value>, word: &str) {
    if let Some(Value::String(word)) = object.get_mut(word) {
        word.make_ascii_lowercase();
    }
}

fn rename(id: &mut Value, name: impl Fn(&str) -> Option<String>) {
    if let Some(name) = id.as_str().and_then(|id| name(&id.to_ascii_lowercase())) {
        *id = name.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Known;

    impl Names for Known {
        fn target_group(&self, id: &str) -> Option<String> {
            (id == "g1").then(|| "chat".to_owned())
        }

        fn certificate(&self, id: &str) -> Option<String> {
            (id == "c1").then(|| "example".to_owned())
        }
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn words_are_written_as_in_the_file_and_ids_are_names() {
        let rule = map(json!({
            "name": "r", "protocol": "http", "serverCertificates": ["C1", "other"],
            "httpRules": [
                {"name": "a", "type": "forward", "targetGroup": "G1",
                 "conditions": [{"type": "cookies", "condition": "equals", "key": "a"}]},
                {"name": "b", "type": "FORWARD", "targetGroups": [{"name": "g1", "weight": 1}]},
                {"name": "c", "type": "FORWARD", "targetGroup": "g2"},
            ],
        }));
        let expected = json!({
            "name": "r 2", "protocol": "HTTP", "serverCertificates": ["example", "other"],
            "httpRules": [
                {"name": "a", "type": "FORWARD", "targetGroup": "chat",
                 "conditions": [{"type": "COOKIE", "condition": "EQUALS", "key": "a"}]},
                {"name": "b", "type": "FORWARD", "targetGroups": [{"name": "chat", "weight": 1}]},
                {"name": "c", "type": "FORWARD", "targetGroup": "g2"},
            ],
        });
        assert_eq!(forwarding_rule(&rule, "r 2", &Known), expected);
        assert_eq!(named_groups(&rule), ["G1", "g1", "g2"]);
        let group = map(json!({
            "name": "g", "algorithm": "round_robin", "protocol": "http",
            "httpHealthCheck": {"method": "get", "matchType": "status_code", "path": "/A"},
            "targets": [{"ip": "192.0.2.1", "proxyProtocol": "NONE"}],
        }));
        let expected = json!({
            "name": "chat", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
            "httpHealthCheck": {"method": "GET", "matchType": "STATUS_CODE", "path": "/A"},
            "targets": [{"ip": "192.0.2.1", "proxyProtocol": "none"}],
        });
        assert_eq!(target_group(&group, "chat"), expected);
    }

    #[test]
    fn a_header_without_a_name_is_none_that_a_request_has() {
        let condition = |key: Value| {
            let header = json!({"type": "header", "condition": "equals", "value": "a", "key": key});
            json!({"name": "r", "httpRules": [{"type": "STATIC", "conditions": [header]}]})
        };
        for key in [json!(null), json!("")] {
            let rule = map(condition(key));
            let canonical = forwarding_rule(&rule, "r", &Known);
            let condition = &canonical["httpRules"][0]["conditions"][0];
            let expected = json!([
                condition["type"],
                condition["condition"],
                condition["value"]
            ]);
            assert_eq!(expected, json!(["PATH", "EQUALS", ""]));
            let warning = "properties.httpRules[0].conditions[0].key: ";
            assert!(warnings(&rule)[0].starts_with(warning));
        }
        let rule = map(condition(json!("X-A")));
        assert_eq!(warnings(&rule), [""; 0]);
        let canonical = forwarding_rule(&rule, "r", &Known);
        assert_eq!(canonical["httpRules"][0]["conditions"][0]["key"], "X-A");
    }

    #[test]
    fn the_path_of_a_check_begins_with_a_slash() {
        for (path, expected) in [("../.", "/../."), ("/a", "/a"), ("", "/")] {
            let group = map(json!({"httpHealthCheck": {"path": path}}));
            assert_eq!(
                target_group(&group, "g")["httpHealthCheck"]["path"],
                expected
            );
        }
    }

    #[test]
    fn no_certificates_are_no_tls() {
        let rule = map(json!({"name": "r", "serverCertificates": []}));
        assert_eq!(forwarding_rule(&rule, "r", &Known), json!({"name": "r"}));
    }
}
