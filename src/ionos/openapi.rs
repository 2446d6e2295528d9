//! The description of the API (OpenAPI 3.0), made from the kinds and their properties.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::properties;
use super::schema::{LONGEST_NAME, Need, Property, Schema, Shape};

/// The document.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

fn make() -> Value {
    let mut paths = Map::new();
    let mut schemas = common();
    for kind in Kind::ALL {
        let collection = collection_path(kind);
        let one = format!("{collection}/{{{}}}", parameter(kind));
        paths.insert(collection, of_collection(kind));
        paths.insert(one.clone(), of_one(kind));
        if kind == Kind::Request {
            paths.insert(format!("{one}/status"), of_status());
        }
        let schema = properties::schema(kind);
        schemas.insert(name(kind).to_owned(), entity(kind));
        schemas.insert(format!("{}Properties", name(kind)), object(schema, true));
        schemas.insert(format!("{}Patch", name(kind)), object(schema, false));
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Culvert: the IONOS API", "version": "6.0",
            "description": "Target groups, application load balancers and forwarding rules, as in \
                            IONOS Cloud's API.",
        },
        "servers": [{"url": "/cloudapi/v6"}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    })
}

/// What a kind is called in the document.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::TargetGroup => "TargetGroup",
        Kind::Datacenter => "Datacenter",
        Kind::Lan => "Lan",
        Kind::Nic => "Nic",
        Kind::Balancer => "ApplicationLoadBalancer",
        Kind::ForwardingRule => "ApplicationLoadBalancerForwardingRule",
        Kind::FlowLog => "FlowLog",
        Kind::IpBlock => "IpBlock",
        Kind::Location => "Location",
        Kind::Contract => "Contract",
        Kind::Request => "Request",
    }
}

/// What the id of a kind is called in a path.
fn parameter(kind: Kind) -> String {
    let mut letters = name(kind).chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    let rest = letters.as_str();
    format!("{}{rest}Id", first.unwrap_or_default())
}

fn collection_path(kind: Kind) -> String {
    let parent = kind.parent().map(|parent| {
        let path = collection_path(parent);
        format!("{path}/{{{}}}", parameter(parent))
    });
    format!("{}/{}", parent.unwrap_or_default(), kind.segment())
}

/// The ids in the path of a collection, or of one of its objects.
fn ids(kind: Kind, is_one: bool) -> Vec<Value> {
    let mut kinds: Vec<Kind> = std::iter::successors(kind.parent(), |kind| kind.parent()).collect();
    kinds.reverse();
    kinds.extend(is_one.then_some(kind));
    let id = |kind: Kind| {
        json!({
            "name": parameter(kind), "in": "path", "required": true,
            "schema": {"type": "string"},
        })
    };
    kinds.into_iter().map(id).collect()
}

fn depth() -> Value {
    let schema = json!({"type": "integer", "minimum": 0, "maximum": 10, "default": 0});
    json!({"name": "depth", "in": "query", "schema": schema})
}

fn of_collection(kind: Kind) -> Value {
    let (usual, most) = kind.page();
    let number = |name: &str, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    let query = [
        depth(),
        number(
            "offset",
            json!({"type": "integer", "minimum": 0, "default": 0}),
        ),
        number(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": most, "default": usual}),
        ),
        number("orderBy", json!({"type": "string"})),
    ];
    let answers = answers("200", "A page of them", Some(json!({"$ref": COLLECTION})));
    let mut path = json!({
        "parameters": ids(kind, false),
        "get": {
            "operationId": format!("list{}", name(kind)), "parameters": query,
            "responses": answers,
        },
    });
    if kind.is_written() {
        let content = wrapped(&format!("{}Properties", name(kind)));
        path["post"] = write(kind, "create", Some(content));
    }
    path
}

fn of_one(kind: Kind) -> Value {
    let shown = answers("200", "It", Some(reference(name(kind))));
    let mut path = json!({
        "parameters": ids(kind, true),
        "get": {
            "operationId": format!("get{}", name(kind)), "parameters": [depth()],
            "responses": shown,
        },
    });
    if kind.is_written() {
        let whole = wrapped(&format!("{}Properties", name(kind)));
        path["put"] = write(kind, "replace", Some(whole));
        path["patch"] = write(
            kind,
            "patch",
            Some(reference(&format!("{}Patch", name(kind)))),
        );
        path["delete"] = write(kind, "delete", None);
    }
    path
}

fn of_status() -> Value {
    let shown = answers("200", "What came of it", Some(json!({"type": "object"})));
    let get = json!({"operationId": "getRequestStatus", "responses": shown});
    json!({"parameters": ids(Kind::Request, true), "get": get})
}

fn write(kind: Kind, verb: &str, body: Option<Value>) -> Value {
    let shown = match verb {
        "delete" => json!({"type": "object"}),
        _ => reference(name(kind)),
    };
    let mut operation = json!({
        "operationId": format!("{verb}{}", name(kind)),
        "responses": answers("202", "It is done: see Location", Some(shown)),
    });
    if let Some(schema) = body {
        operation["requestBody"] = json!({
            "required": true, "content": {"application/json": {"schema": schema}},
        });
    }
    operation
}

fn answers(status: &str, what: &str, schema: Option<Value>) -> Value {
    let content = |schema: Value| json!({"application/json": {"schema": schema}});
    let mut answers = Map::new();
    let mut done = json!({"description": what});
    if let Some(schema) = schema {
        done["content"] = content(schema);
    }
    answers.insert(status.to_owned(), done);
    let refused = json!({"description": "Refused", "content": content(reference("Error"))});
    for status in [
        "400", "401", "403", "404", "405", "408", "412", "413", "421", "422", "429", "500", "507",
    ] {
        answers.insert(status.to_owned(), refused.clone());
    }
    answers.into()
}

const COLLECTION: &str = "#/components/schemas/Collection";

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Properties in a body.
fn wrapped(properties: &str) -> Value {
    json!({
        "type": "object", "required": ["properties"],
        "properties": {"properties": reference(properties)},
    })
}

fn common() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    let message = json!({
        "type": "object", "required": ["errorCode", "message"],
        "properties": {"errorCode": text(), "message": text()},
    });
    let error = json!({
        "type": "object", "required": ["httpStatus", "messages"],
        "properties": {
            "httpStatus": {"type": "integer"}, "messages": {"type": "array", "items": message},
        },
    });
    let collection = json!({
        "type": "object", "required": ["id", "type", "href", "items"],
        "properties": {
            "id": text(), "type": {"type": "string", "enum": ["collection"]}, "href": text(),
            "items": {"type": "array", "items": {"type": "object"}},
            "offset": {"type": "integer"}, "limit": {"type": "integer"},
            "_links": {"type": "object"},
        },
    });
    let all = [("Error", error), ("Collection", collection)];
    all.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn entity(kind: Kind) -> Value {
    let text = || json!({"type": "string"});
    json!({
        "type": "object", "required": ["id", "type", "href"],
        "properties": {
            "id": text(), "type": {"type": "string", "enum": [kind.word()]}, "href": text(),
            "metadata": {"type": "object"}, "properties": {"type": "object"},
            "entities": {"type": "object"},
        },
    })
}

/// The schema of properties; in a patch nothing is required, and null takes one away.
fn object(schema: &Schema, is_whole: bool) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for property in schema.properties {
        properties.insert(property.name.to_owned(), value(property));
        if is_whole && matches!(property.need, Need::Required) {
            required.push(property.name);
        }
    }
    let mut described = json!({
        "type": "object", "properties": properties, "additionalProperties": schema.is_open,
    });
    if !required.is_empty() {
        described["required"] = required.into();
    }
    described
}

fn value(property: &Property) -> Value {
    let mut described = match &property.shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Name => json!({"type": "string", "pattern": "\\S", "maxLength": LONGEST_NAME}),
        Shape::Integer => json!({"type": "integer", "format": "int32"}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::Object(schema) => object(schema, true),
        Shape::Objects(schema) => json!({"type": "array", "items": object(schema, true)}),
        Shape::Own => json!({"description": "Culvert's own"}),
    };
    described["nullable"] = (!matches!(property.need, Need::Required)).into();
    match &property.need {
        Need::Text(default) => described["default"] = (*default).into(),
        Need::Number(default) => described["default"] = (*default).into(),
        Need::Flag(default) => described["default"] = (*default).into(),
        Need::Empty => described["default"] = json!([]),
        Need::Required | Need::Optional | Need::Defaults => {}
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_and_every_property_is_described() {
        let document = document();
        let balancer = "/datacenters/{datacenterId}/applicationloadbalancers/\
                        {applicationLoadBalancerId}";
        let rules = &document["paths"][format!("{balancer}/forwardingrules")];
        assert!(rules["post"]["requestBody"].is_object());
        assert_eq!(rules["parameters"].as_array().unwrap().len(), 2);
        assert!(document["paths"]["/requests/{requestId}/status"]["get"].is_object());
        assert!(document["paths"]["/locations"].get("post").is_none());
        let group = &document["components"]["schemas"]["TargetGroupProperties"];
        assert_eq!(group["required"], json!(["name", "algorithm", "protocol"]));
        let target = &group["properties"]["targets"]["items"]["properties"];
        assert_eq!(target["weight"]["default"], 1);
        assert!(group["properties"]["stickiness"].is_object());
        let patch = &document["components"]["schemas"]["TargetGroupPatch"];
        assert!(patch.get("required").is_none());
    }
}
