//! The properties of each kind of objects: IONOS' own, with the defaults that its clients compare
//! with, and Culvert's.

use serde_json::{Map, Value, json};

use super::error::Problem;
use super::kind::Kind;
use super::schema::{Need, Property, Schema, Shape};

/// The properties of objects of this kind.
pub(super) fn schema(kind: Kind) -> &'static Schema {
    match kind {
        Kind::TargetGroup => &TARGET_GROUP,
        Kind::ForwardingRule => &FORWARDING_RULE,
        Kind::Balancer => &BALANCER,
        Kind::FlowLog => &FLOW_LOG,
        Kind::Datacenter => &DATACENTER,
        Kind::Lan => &LAN,
        Kind::IpBlock => &IP_BLOCK,
        Kind::Nic | Kind::Location | Kind::Contract | Kind::Request => &ANY,
    }
}

/// The properties of an object of this kind, with all defaults.
///
/// Errors: everything that is wrong with them, but what only shows where they are used.
pub(super) fn filled(
    kind: Kind,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut filled = schema(kind).fill(given, "properties", &mut problems);
    match kind {
        Kind::ForwardingRule => fill_rules(&mut filled),
        Kind::Datacenter => fill_datacenter(&mut filled),
        Kind::FlowLog => check_flow_log(&filled, &mut problems),
        Kind::Balancer => check_balancer(&filled, &mut problems),
        _ => {}
    }
    match problems.is_empty() {
        true => Ok(filled),
        false => Err(problems),
    }
}

/// What is filled in goes by the type of the rule.
fn fill_rules(rule: &mut Map<String, Value>) {
    let rules = rule.get_mut("httpRules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        let kind = rule.get("type").and_then(Value::as_str).unwrap_or_default();
        let defaults = match kind.to_ascii_uppercase().as_str() {
            "REDIRECT" => json!({"dropQuery": false, "statusCode": 301}),
            "STATIC" => json!({"statusCode": 503, "contentType": "text/plain"}),
            _ => json!({}),
        };
        for (name, value) in defaults.as_object().into_iter().flatten() {
            rule.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Clients find a difference in every plan where there is no processor.
fn fill_datacenter(datacenter: &mut Map<String, Value>) {
    let processor = || {
        json!([{
            "cpuFamily": "INTEL_SKYLAKE", "maxCores": 51, "maxRam": 262_144,
            "vendor": "GenuineIntel",
        }])
    };
    datacenter
        .entry("cpuArchitecture")
        .or_insert_with(processor);
    datacenter.entry("features").or_insert_with(|| json!([]));
    datacenter.entry("version").or_insert_with(|| json!(1));
}

fn check_flow_log(properties: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for (name, words) in [
        ("action", ["ACCEPTED", "REJECTED", "ALL"]),
        ("direction", ["INGRESS", "EGRESS", "BIDIRECTIONAL"]),
    ] {
        let word = properties.get(name).and_then(Value::as_str);
        if let Some(word) = word
            && !words.iter().any(|known| known.eq_ignore_ascii_case(word))
        {
            let message = format!("must be one of {}, not {word:?}", words.join(", "));
            problems.push(Problem::new(format!("properties.{name}"), message));
        }
    }
}

fn check_balancer(properties: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let texts = |name| {
        let list = properties.get(name).and_then(Value::as_array);
        let text = |(place, value): (usize, &Value)| Some((place, value.as_str()?.to_owned()));
        list.into_iter()
            .flatten()
            .enumerate()
            .filter_map(text)
            .collect::<Vec<_>>()
    };
    for (place, ip) in texts("ips") {
        if ip.parse::<std::net::IpAddr>().is_err() {
            let message = format!("must be an IP address, not {ip:?}");
            problems.push(Problem::new(format!("properties.ips[{place}]"), message));
        }
    }
    for (place, block) in texts("lbPrivateIps") {
        if !is_block(&block) {
            let path = format!("properties.lbPrivateIps[{place}]");
            let message = format!("must be an IP address with a mask, not {block:?}");
            problems.push(Problem::new(path, message));
        }
    }
    for name in ["listenerLan", "targetLan"] {
        let number = properties.get(name).and_then(Value::as_i64);
        if let Some(number) = number.filter(|number| *number < 1) {
            let message = format!("must be the number of a LAN, from 1, not {number}");
            problems.push(Problem::new(format!("properties.{name}"), message));
        }
    }
    let (listener, target) = (properties.get("listenerLan"), properties.get("targetLan"));
    if listener.is_some() && listener == target {
        let message = "must be another LAN than listenerLan";
        problems.push(Problem::new("properties.targetLan", message));
    }
}

fn is_block(text: &str) -> bool {
    let Some((ip, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match ip.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

static TARGET_GROUP: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::required("algorithm", Shape::Text),
        Property::required("protocol", Shape::Text),
        Property::text("protocolVersion", "HTTP1"),
        Property::list("targets", &TARGET),
        Property {
            name: "healthCheck",
            shape: Shape::Object(&HEALTH_CHECK),
            need: Need::Defaults,
        },
        Property::optional("httpHealthCheck", Shape::Object(&HTTP_HEALTH_CHECK)),
        Property::own("hashKey"),
        Property::own("serverName"),
        Property::own("subjectAltNames"),
        Property::own("caFile"),
        Property::own("verifyCertificate"),
        Property::own("clientCertificate"),
        Property::own("connectTimeout"),
        Property::own("responseTimeout"),
        Property::own("deregistrationDelay"),
        Property::own("rebalance"),
        Property::own("stickiness"),
        Property::own("sourceAddresses"),
        Property::own("slowStart"),
        Property::own("failOpen"),
        Property::own("onUnhealthy"),
        Property::own("outlierDetection"),
    ],
    is_open: false,
};

static TARGET: Schema = Schema {
    properties: &[
        Property::optional("ip", Shape::Text),
        Property::optional("port", Shape::Integer),
        Property::number("weight", 1),
        Property::text("proxyProtocol", "none"),
        Property::flag("healthCheckEnabled", true),
        Property::flag("maintenanceEnabled", false),
        Property::own("unix"),
        Property::own("maintenanceDrain"),
        Property::own("maxConnections"),
        Property::own("host"),
        Property::own("healthCheckPort"),
    ],
    is_open: false,
};

static HEALTH_CHECK: Schema = Schema {
    properties: &[
        Property::number("checkTimeout", 2000),
        Property::number("checkInterval", 2000),
        Property::number("retries", 3),
        Property::own("healthyThreshold"),
        Property::own("unhealthyThreshold"),
        Property::own("port"),
        Property::own("type"),
        Property::own("path"),
        Property::own("method"),
        Property::own("host"),
        Property::own("headers"),
        Property::own("matchType"),
        Property::own("response"),
        Property::own("regex"),
        Property::own("negate"),
        Property::own("subprotocol"),
        Property::own("ping"),
        Property::own("service"),
    ],
    is_open: false,
};

static HTTP_HEALTH_CHECK: Schema = Schema {
    properties: &[
        Property::text("path", "/"),
        Property::text("method", "GET"),
        Property::required("matchType", Shape::Text),
        Property::required("response", Shape::Text),
        Property::flag("regex", false),
        Property::flag("negate", false),
        Property::own("host"),
        Property::own("headers"),
    ],
    is_open: false,
};

static FORWARDING_RULE: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::required("protocol", Shape::Text),
        Property::required("listenerIp", Shape::Text),
        Property::required("listenerPort", Shape::Integer),
        Property::number("clientTimeout", 50_000),
        Property::optional("serverCertificates", Shape::Texts),
        Property::list("httpRules", &HTTP_RULE),
        Property::own("v6only"),
        Property::own("proxyProtocol"),
        Property::own("trustedProxies"),
        Property::own("underscoresInHeaders"),
        Property::own("maxConnections"),
        Property::own("maxConnectionsPerClient"),
        Property::own("maxRequestsPerSecond"),
        Property::own("maxRequestsPerSecondPerClient"),
        Property::own("maxHandshakesPerSecond"),
        Property::own("maxHandshakesPerSecondPerClient"),
        Property::own("maxTlsHandshakesPerSecond"),
        Property::own("maxTlsHandshakesPerSecondPerClient"),
        Property::own("maxHeaderBytes"),
        Property::own("maxHeaders"),
        Property::own("maxRequestBodyBytes"),
        Property::own("minimumRate"),
        Property::own("minTlsVersion"),
        Property::own("strictSni"),
        Property::own("http2"),
        Property::own("h2c"),
        Property::own("maxConcurrentStreams"),
        Property::own("http2WebSockets"),
        Property::own("clientCertificates"),
        Property::own("tunnel"),
    ],
    is_open: false,
};

static HTTP_RULE: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::required("type", Shape::Text),
        Property::optional("targetGroup", Shape::Text),
        Property::optional("dropQuery", Shape::Flag),
        Property::optional("location", Shape::Text),
        Property::optional("statusCode", Shape::Integer),
        Property::optional("responseMessage", Shape::Text),
        Property::optional("contentType", Shape::Text),
        Property::optional("conditions", Shape::Objects(&CONDITION)),
        Property::own("targetGroups"),
        Property::own("tunnel"),
        Property::own("allowedOrigins"),
        Property::own("allowedSubprotocols"),
        Property::own("checkAccept"),
        Property::own("lenientHandshake"),
        Property::own("upgrades"),
        Property::own("requestTimeout"),
        Property::own("attemptTimeout"),
        Property::own("retry"),
        Property::own("cors"),
        Property::own("mirrors"),
        Property::own("headers"),
        Property::own("rewrite"),
    ],
    is_open: false,
};

static CONDITION: Schema = Schema {
    properties: &[
        Property::required("type", Shape::Text),
        Property::optional("condition", Shape::Text),
        Property::flag("negate", false),
        Property::optional("key", Shape::Text),
        Property::optional("value", Shape::Text),
        Property::own("valuesFile"),
    ],
    is_open: false,
};

static BALANCER: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::required("listenerLan", Shape::Integer),
        Property {
            name: "ips",
            shape: Shape::Texts,
            need: Need::Empty,
        },
        Property::required("targetLan", Shape::Integer),
        Property::optional("lbPrivateIps", Shape::Texts),
        Property::flag("centralLogging", false),
        Property::optional("loggingFormat", Shape::Text),
    ],
    is_open: false,
};

static FLOW_LOG: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::required("action", Shape::Text),
        Property::required("direction", Shape::Text),
        Property::required("bucket", Shape::Name),
    ],
    is_open: false,
};

static DATACENTER: Schema = Schema {
    properties: &[
        Property::required("name", Shape::Name),
        Property::optional("description", Shape::Text),
        Property::required("location", Shape::Name),
        Property::flag("secAuthProtection", false),
    ],
    is_open: true,
};

static LAN: Schema = Schema {
    properties: &[
        Property::optional("name", Shape::Text),
        Property::flag("public", false),
        Property::optional("ipv6CidrBlock", Shape::Text),
        Property::optional("pcc", Shape::Text),
    ],
    is_open: true,
};

static IP_BLOCK: Schema = Schema {
    properties: &[
        Property::optional("name", Shape::Text),
        Property::required("location", Shape::Name),
        Property::required("size", Shape::Integer),
        Property {
            name: "ips",
            shape: Shape::Texts,
            need: Need::Empty,
        },
    ],
    is_open: true,
};

static ANY: Schema = Schema {
    properties: &[],
    is_open: true,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_clients_compare_is_filled_in() {
        let group = map(json!({
            "name": "g", "algorithm": "round_robin", "protocol": "HTTP",
            "targets": [{"ip": "192.0.2.1", "port": 80, "healthCheckEnabled": false}],
        }));
        let target = json!({
            "ip": "192.0.2.1", "port": 80, "weight": 1, "proxyProtocol": "none",
            "healthCheckEnabled": false, "maintenanceEnabled": false,
        });
        let expected = json!({
            "name": "g", "algorithm": "round_robin", "protocol": "HTTP",
            "protocolVersion": "HTTP1", "targets": [target],
            "healthCheck": {"checkTimeout": 2000, "checkInterval": 2000, "retries": 3},
        });
        assert_eq!(
            Value::Object(filled(Kind::TargetGroup, &group).unwrap()),
            expected
        );
        let rule = map(json!({
            "name": "r", "protocol": "HTTP", "listenerIp": "192.0.2.2", "listenerPort": 80,
            "httpRules": [
                {"name": "a", "type": "redirect", "location": "www.ionos.com", "conditions": null},
                {"name": "b", "type": "STATIC", "responseMessage": "no", "statusCode": 200},
                {"name": "c", "type": "FORWARD", "targetGroup": "g",
                 "conditions": [{"type": "SOURCE_IP", "value": "10.0.0.0/8", "condition": null}]},
            ],
        }));
        let filled = filled(Kind::ForwardingRule, &rule).unwrap();
        assert_eq!(filled["clientTimeout"], 50_000);
        let expected = json!([
            {"name": "a", "type": "redirect", "location": "www.ionos.com", "dropQuery": false,
             "statusCode": 301},
            {"name": "b", "type": "STATIC", "statusCode": 200, "responseMessage": "no",
             "contentType": "text/plain"},
            {"name": "c", "type": "FORWARD", "targetGroup": "g",
             "conditions": [{"type": "SOURCE_IP", "negate": false, "value": "10.0.0.0/8"}]},
        ]);
        assert_eq!(filled["httpRules"], expected);
    }

    #[test]
    fn a_balancer_has_addresses_and_two_lans() {
        let balancer = |change: Value| {
            let mut given = map(json!({"name": "b", "listenerLan": 1, "targetLan": 2}));
            given.extend(map(change));
            filled(Kind::Balancer, &given)
        };
        let filled = balancer(json!({})).unwrap();
        assert_eq!(filled["ips"], json!([]));
        assert!(!filled.contains_key("lbPrivateIps"));
        assert!(balancer(json!({"ips": ["192.0.2.1", "2001:db8::1"]})).is_ok());
        for number in [0, -1] {
            assert!(balancer(json!({"listenerLan": number})).is_err());
            assert!(balancer(json!({"targetLan": number})).is_err());
        }
        assert!(balancer(json!({"lbPrivateIps": ["10.20.30.40/24"]})).is_ok());
        for (wrong, path) in [
            (json!({"ips": ["www"]}), "properties.ips[0]"),
            (
                json!({"lbPrivateIps": ["10.0.0.1"]}),
                "properties.lbPrivateIps[0]",
            ),
            (
                json!({"lbPrivateIps": ["10.0.0.1/33"]}),
                "properties.lbPrivateIps[0]",
            ),
            (json!({"targetLan": 1}), "properties.targetLan"),
            (json!({"targetLan": null}), "properties.targetLan"),
        ] {
            assert_eq!(balancer(wrong).unwrap_err()[0].path, path);
        }
    }

    #[test]
    fn a_flow_log_has_words_of_a_list() {
        let flow_log = json!({"name": "f", "action": "all", "direction": "IN", "bucket": "b"});
        let problems = filled(Kind::FlowLog, &map(flow_log)).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "properties.direction");
    }

    #[test]
    fn whatever_the_file_may_say_the_api_may_say() {
        use std::collections::BTreeSet;
        for (object, schema) in [
            ("target group", &TARGET_GROUP),
            ("target", &TARGET),
            ("health check", &HEALTH_CHECK),
            ("HTTP health check", &HTTP_HEALTH_CHECK),
            ("forwarding rule", &FORWARDING_RULE),
            ("HTTP rule", &HTTP_RULE),
            ("condition", &CONDITION),
        ] {
            let known: BTreeSet<&str> = schema.properties.iter().map(|one| one.name).collect();
            let keys = crate::config::objects::keys(object).iter().copied();
            assert_eq!(keys.collect::<BTreeSet<_>>(), known, "{object}");
        }
    }
}
