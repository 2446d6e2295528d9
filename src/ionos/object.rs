//! An object as it is kept.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An object of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// What it is like, with all defaults, in the words in which a client said it.
    pub properties: Map<String, Value>,
    /// When it was made, and by whom.
    pub created: Stamp,
    /// When it was last changed, and by whom.
    pub modified: Stamp,
    /// What log and metrics call it, where its name is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether it is the configuration file's: it is not kept here, and not changed.
    #[serde(skip)]
    pub is_of_file: bool,
}

/// A moment, and who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// After RFC 3339, in UTC, with `Z`: other zones are an error to Go's decoder.
    pub at: String,
    /// A user's name.
    pub by: String,
}

impl Stamp {
    /// By this user, now.
    pub fn now(by: &str) -> Self {
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Stamp {
            at,
            by: by.to_owned(),
        }
    }
}

impl Object {
    /// One that is made now.
    pub fn new(properties: Map<String, Value>, by: &str) -> Self {
        let created = Stamp::now(by);
        Object {
            properties,
            modified: created.clone(),
            created,
            label: None,
            is_of_file: false,
        }
    }

    /// The same with other properties, changed now.
    pub fn changed(&self, properties: Map<String, Value>, by: &str) -> Self {
        Object {
            properties,
            modified: Stamp::now(by),
            ..self.clone()
        }
    }

    /// Its name, if it has one.
    pub fn name(&self) -> &str {
        self.properties
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// What log and metrics call it.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or_else(|| self.name())
    }

    /// What is another for other properties: a checksum of them, in hex.
    pub fn tag(&self) -> String {
        let text = serde_json::to_vec(&self.properties).unwrap_or_default();
        let (low, high) = text.split_at(text.len() / 2);
        let length = text.len() & 0xffff;
        format!(
            "{:08x}{:08x}{length:04x}",
            crc32fast::hash(low),
            crc32fast::hash(high)
        )
    }

    /// A text of its properties.
    pub fn text(&self, name: &str) -> &str {
        self.properties
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}
