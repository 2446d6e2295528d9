//! What is told of a policy: the schemas of its `status`.

use serde_json::{Value, json};

use super::schema::{list, matching, may, must, object, text, word};

const NAME: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// `status` with `ancestors`: conditions for each (GEP-713).
pub(super) fn ancestors() -> Value {
    let entry = object(
        "What one controller tells of the policy for one ancestor.",
        vec![
            must("ancestorRef", ancestor()),
            must(
                "controllerName",
                text("Who has written the entry: DOMAIN/PATH.", 253),
            ),
            must("conditions", conditions()),
        ],
    );
    let ancestors = list("What is told for each target.", 0, 16, entry);
    let fields = vec![must("ancestors", ancestors)];
    object("What is told of the policy.", fields)
}

/// `status` with `conditions` of its own.
pub(super) fn whole() -> Value {
    let fields = vec![may("conditions", conditions())];
    object("What is told of the policy.", fields)
}

fn ancestor() -> Value {
    let fields = vec![
        may(
            "group",
            json!({
                "description": "Its API group.",
                "type": "string",
                "default": "gateway.networking.k8s.io",
                "maxLength": 253,
            }),
        ),
        may(
            "kind",
            json!({
                "description": "Its kind.",
                "type": "string",
                "default": "Gateway",
                "minLength": 1,
                "maxLength": 63,
            }),
        ),
        may("namespace", text("Its namespace.", 63)),
        must("name", text("Its name.", 253)),
        may("sectionName", text("A part of it.", 253)),
        may("port", super::schema::port("A port of it.")),
    ];
    object("What the policy is for.", fields)
}

fn conditions() -> Value {
    let since = json!({
        "description": "When status became what it is.",
        "type": "string",
        "format": "date-time",
    });
    let fields = vec![
        must("type", text("What is told.", 316)),
        must(
            "status",
            word("Whether it holds.", &["True", "False", "Unknown"]),
        ),
        must("reason", text("Why, in one word.", 1024)),
        must(
            "message",
            json!({
                "description": "Why, in words.",
                "type": "string",
                "maxLength": 32_768,
            }),
        ),
        may(
            "observedGeneration",
            json!({
                "description": "The generation of which it is told.",
                "type": "integer",
                "format": "int64",
                "minimum": 0,
            }),
        ),
        must("lastTransitionTime", since),
    ];
    json!({
        "description": "What is told, once for each type.",
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": object("A condition.", fields),
    })
}

/// The name of an object.
pub(super) fn name(description: &str) -> Value {
    matching(description, NAME, 253)
}
