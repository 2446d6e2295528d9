//! The schema of a TargetPolicy.

use serde_json::Value;

use super::schema::{
    Field, boolean, delay, duration, integer, list, matching, may, must, object, port,
    strings_by_name, text, with_rules, word,
};
use super::status::name;

const TOKEN: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

/// What does not go together, as the reader has it.
const RULES: &[(&str, &str)] = &[
    (
        "has(self.hashKey) == (has(self.algorithm) && self.algorithm == 'HASH')",
        "hashKey goes with algorithm HASH, and HASH needs it",
    ),
    (
        "!has(self.rebalance) || (has(self.algorithm) && self.algorithm == 'LEAST_CONNECTION')",
        "rebalance needs the algorithm LEAST_CONNECTION",
    ),
    (
        "!has(self.rebalance) || !has(self.stickiness)",
        "rebalance cannot be combined with stickiness",
    ),
];

/// `spec`
pub(super) fn spec() -> Value {
    let mut fields = vec![must("targetRefs", list("What it is for.", 1, 16, target()))];
    fields.extend(sharing());
    fields.extend(checks());
    with_rules(
        object("How endpoints share what is new, and are checked.", fields),
        RULES,
    )
}

fn target() -> Value {
    let fields = vec![
        must("group", word("Its API group: the core's.", &[""])),
        must("kind", word("Its kind.", &["Service"])),
        must("name", name("Its name, in the namespace of the policy.")),
        may(
            "sectionName",
            name("The name of one of its ports; all where it is missing."),
        ),
    ];
    object("A Service, or one of its ports.", fields)
}

fn sharing() -> Vec<Field> {
    let kinds = ["HEADER", "COOKIE", "QUERY"];
    let hash_key = vec![
        must("type", word("Where it is.", &kinds)),
        must("key", text("Its name.", 4096)),
    ];
    let rebalance = vec![
        must(
            "rate",
            integer("How many tunnels a second, in the whole group.", 1, 10_000),
        ),
        may("minAge", delay("How old a tunnel must be to be moved.")),
    ];
    vec![
        may(
            "algorithm",
            word(
                "How an endpoint is chosen. Default: ROUND_ROBIN.",
                &[
                    "ROUND_ROBIN",
                    "LEAST_CONNECTION",
                    "RANDOM",
                    "SOURCE_IP",
                    "HASH",
                ],
            ),
        ),
        may("hashKey", object("What HASH goes by.", hash_key)),
        may("stickiness", stickiness()),
        may(
            "rebalance",
            object("How load evens out when an endpoint joins.", rebalance),
        ),
        may(
            "slowStart",
            delay("How long an endpoint that joins gets less."),
        ),
        may(
            "connectTimeout",
            duration("How long a connection may take."),
        ),
        may(
            "responseTimeout",
            duration("How long an endpoint may say nothing."),
        ),
        may(
            "deregistrationDelay",
            delay("How long tunnels to an endpoint that left may live."),
        ),
    ]
}

fn stickiness() -> Value {
    let fields = vec![
        must(
            "type",
            word(
                "By what: a cookie or a header of ours, or a cookie of the application's.",
                &["COOKIE", "HEADER", "APPLICATION_COOKIE"],
            ),
        ),
        may("name", matching("Its name.", TOKEN, 4096)),
        may(
            "duration",
            duration("How long a browser keeps it, from 1s."),
        ),
        may(
            "lifetime",
            duration("How long it is known from when it is set, from 1s."),
        ),
        may(
            "sameSite",
            word("Its attribute SameSite.", &["Lax", "Strict", "None"]),
        ),
    ];
    let schema = object("A client stays with its endpoint.", fields);
    with_rules(
        schema,
        &[
            (
                "self.type == 'COOKIE' ? true : has(self.name) && !has(self.duration) && \
         !has(self.sameSite)",
                "HEADER and APPLICATION_COOKIE need a name, and have neither duration nor sameSite",
            ),
            (
                "self.type == 'APPLICATION_COOKIE' ? !has(self.lifetime) : true",
                "APPLICATION_COOKIE has no lifetime",
            ),
        ],
    )
}

fn checks() -> Vec<Field> {
    let outliers = vec![
        may(
            "consecutiveFailures",
            integer("After how many failures.", 1, 10_000),
        ),
        may("baseEjectionTime", duration("For how long at first.")),
        may("maxEjectionTime", duration("For how long at most.")),
        may("maxEjectedPercent", integer("How many at a time.", 1, 100)),
    ];
    vec![
        may("healthCheck", health_check()),
        may(
            "httpHealthCheck",
            object("The check of type HTTP, apart from healthCheck.", http()),
        ),
        may(
            "failOpen",
            boolean("Whether all are used where none is healthy."),
        ),
        may(
            "onUnhealthy",
            word(
                "What becomes of the tunnels of an endpoint.",
                &["keep", "close"],
            ),
        ),
        may(
            "outlierDetection",
            object("Endpoints that fail are left out.", outliers),
        ),
    ]
}

fn health_check() -> Value {
    let mut fields = vec![
        may(
            "type",
            word(
                "What is done. Default: TCP.",
                &["TCP", "HTTP", "GRPC", "WEBSOCKET"],
            ),
        ),
        may("checkInterval", duration("How often.")),
        may("checkTimeout", duration("How long it may take.")),
        may(
            "retries",
            integer("How often it is tried again at once.", 0, 65_535),
        ),
        may(
            "healthyThreshold",
            integer("After how many that pass it is used.", 1, 100),
        ),
        may(
            "unhealthyThreshold",
            integer("After how many that fail it is not.", 1, 100),
        ),
        may("port", port("Another port than the endpoint's own.")),
    ];
    fields.extend(http());
    fields.push(may(
        "subprotocol",
        matching("WEBSOCKET: what is asked for.", TOKEN, 4096),
    ));
    fields.push(may(
        "ping",
        boolean("WEBSOCKET: whether a Ping has to be answered."),
    ));
    fields.push(may(
        "service",
        matching("GRPC: the service of which is asked.", "[!-~]*", 253),
    ));
    object("How endpoints are checked.", fields)
}

fn http() -> Vec<Field> {
    let methods = ["HEAD", "PUT", "POST", "GET", "TRACE", "PATCH", "OPTIONS"];
    let matches = ["STATUS_CODE", "RESPONSE_BODY"];
    vec![
        may("path", matching("What is asked for.", "/[!-~]*", 4096)),
        may("method", word("Default: GET.", &methods)),
        may("host", text("The header Host.", 4096)),
        may("headers", strings_by_name("More headers.", 64)),
        may("matchType", word("What of the answer counts.", &matches)),
        may(
            "response",
            text("What it has to be: 200, 200-399, or text.", 4096),
        ),
        may("regex", boolean("Whether response is an expression.")),
        may("negate", boolean("Whether it must not be that.")),
    ]
}
