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
        for condition in objects(http_rule, "conditions") {
            upper(condition, "type");
            upper(condition, "condition");
            if condition.get("type").is_some_and(|word| word == "COOKIES") {
                condition.insert("type".into(), "COOKIE".into());
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
    }
    named
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
    fn no_certificates_are_no_tls() {
        let rule = map(json!({"name": "r", "serverCertificates": []}));
        assert_eq!(forwarding_rule(&rule, "r", &Known), json!({"name": "r"}));
    }
}
