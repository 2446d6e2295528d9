//! What the server is asked.

use serde_json::Value;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) accept: String,
    pub(super) content_type: String,
    pub body: Value,
    pub plural: String,
    pub namespace: String,
    /// Empty where it is for all objects.
    pub name: String,
    pub is_status: bool,
    /// The node that asks.
    pub node: String,
}

impl Request {
    /// The one with this request line and these headers.
    pub(super) fn read(method: &str, target: &str, headers: &str, body: &[u8]) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // `api/VERSION`, or `apis/GROUP/VERSION`.
        let skipped = if parts[0] == "api" { 2 } else { 3 };
        let rest = &parts[skipped.min(parts.len())..];
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let part = |place: usize| rest.get(place).copied().unwrap_or("").to_owned();
        let header = |name| super::super::client::header(headers, name).unwrap_or("");
        Request {
            method: method.to_owned(),

            query: query.split('&').map(parameter).collect(),
            accept: header("accept").to_owned(),
            content_type: header("content-type").to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            namespace: namespace.to_owned(),
            plural: part(0),
            name: part(1),
            is_status: part(2) == "status",
            node: header("authorization")
                .trim_start_matches("Bearer ")
                .to_owned(),
        }
    }

    /// The value of a parameter; empty where there is none.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let mut all = self.query.iter();
        all.find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether it asks for a stream.
    pub fn is_watch(&self) -> bool {
        matches!(self.parameter("watch"), "true" | "1")
    }

    /// Whether it asks for all objects of a kind.
    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.name.is_empty() && !self.is_watch()
    }

    /// Whether it writes a status.
    pub fn is_status_write(&self) -> bool {
        self.is_status && self.method != "GET"
    }

    /// Whether an object is among those that it asks for.
    pub(super) fn wants(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let is_there = self.namespace.is_empty() || metadata["namespace"] == *self.namespace;
        let field = self.parameter("fieldSelector");
        let name = field.strip_prefix("metadata.name=");
        let label = self.parameter("labelSelector").split_once('=');
        is_there
            && name.is_none_or(|name| metadata["name"] == name)
            && label.is_none_or(|(key, value)| metadata["labels"][key] == value)
    }

    /// An object as it wants it: whole, or its metadata.
    pub(super) fn shown(&self, object: &Value) -> Value {
        match self.accept.contains("PartialObjectMetadata") {
            true => serde_json::json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": object["metadata"],
            }),
            false => object.clone(),
        }
    }
}

fn parameter(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), decoded(value))
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        bytes.extend(u8::from_str_radix(&part[..2], 16).ok());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}
