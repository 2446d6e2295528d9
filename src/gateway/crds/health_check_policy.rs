//! The schema of Azure's HealthCheckPolicy, of which no module has one.

use serde_json::Value;

use super::schema::{
    boolean, gep_duration, integer, list, matching, may, must, object, port, text, with_rules, word,
};
use super::status::name;

/// `spec`
pub(super) fn spec() -> Value {
    let fields = vec![
        must("targetRef", target()),
        may("default", check("What holds where nothing else is said.")),
        may("override", check("What comes before everything else.")),
    ];
    object("How the endpoints of a Service are checked.", fields)
}

fn target() -> Value {
    let fields = vec![
        may("group", word("Its API group: the core's.", &[""])),
        must("kind", word("Its kind.", &["Service"])),
        must("name", name("Its name.")),
        may("namespace", name("Its namespace: that of the policy.")),
        may(
            "sectionName",
            name("The name of one of its ports; all where it is missing."),
        ),
    ];
    object("A Service, or one of its ports.", fields)
}

fn check(description: &str) -> Value {
    let grpc = vec![
        may(
            "authority",
            matching("The header :authority.", "[^@\\s]*", 253),
        ),
        may(
            "service",
            matching("The service of which is asked.", "[!-~]*", 253),
        ),
    ];
    let fields = vec![
        may("interval", gep_duration("How often. Default: 5s.")),
        may(
            "timeout",
            gep_duration("How long it may take. Default: 30s."),
        ),
        may(
            "healthyThreshold",
            integer("After how many that pass. Default: 1.", 1, 100),
        ),
        may(
            "unhealthyThreshold",
            integer("After how many that fail. Default: 3.", 1, 100),
        ),
        may("port", port("Another port than the endpoint's own.")),
        may(
            "protocol",
            word(
                "What is asked where http and grpc are missing; HTTPS is HTTP with useTLS, TCP \
                 opens a connection. Default: TCP.",
                &["HTTP", "HTTPS", "TCP"],
            ),
        ),
        may(
            "useTLS",
            boolean("Whether it is asked over TLS, which needs a BackendTLSPolicy."),
        ),
        may("http", http()),
        may(
            "grpc",
            object("A question by grpc.health.v1, over HTTP/2.", grpc),
        ),
    ];
    let rules = [
        (
            "!(has(self.http) && has(self.grpc))",
            "http and grpc exclude each other",
        ),
        (
            "!has(self.protocol) || self.protocol != 'TCP' || !(has(self.http) || has(self.grpc))",
            "protocol TCP goes neither with http nor with grpc",
        ),
        (
            "!has(self.protocol) || self.protocol != 'HTTPS' || !has(self.useTLS) || self.useTLS",
            "protocol HTTPS does not go with useTLS: false",
        ),
    ];
    with_rules(object(description, fields), &rules)
}

fn http() -> Value {
    let codes = vec![
        must("start", integer("The first.", 100, 599)),
        must("end", integer("The last.", 100, 599)),
    ];
    let codes = object("Status codes.", codes);
    let rules = [("self.start <= self.end", "must not end before it starts")];
    let codes = with_rules(codes, &rules);
    let matches = vec![
        may("body", text("What the body has to have.", 4096)),
        may("statusCodes", list("Which answers count.", 0, 16, codes)),
    ];
    let fields = vec![
        may("host", matching("The header Host.", "[^@\\s]*", 4096)),
        may(
            "path",
            matching("What is asked for. Default: /.", "\\s*/[!-~]*\\s*", 4096),
        ),
        may("match", object("What the answer has to be.", matches)),
    ];
    object("A request, and what its answer has to be.", fields)
}
