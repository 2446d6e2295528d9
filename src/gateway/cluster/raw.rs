//! An object as the API server has it, whatever it holds: nothing in it can hide another one.

use std::borrow::Cow;
use std::sync::Arc;

use kube::Resource;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::gateway::news::Entry;
use crate::gateway::objects::{Name, NotRead, Object, Place};

/// A value with as much of its metadata as a watch needs.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    metadata: ObjectMeta,
    pub(super) value: Value,
}

impl Raw {
    /// One that is to be written.
    pub(super) fn new(value: Value) -> Self {
        let text = |key: &str| {
            let value = value.get("metadata").and_then(|metadata| metadata.get(key));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            uid: text("uid"),
            ..ObjectMeta::default()
        };
        Raw { metadata, value }
    }

    /// `metadata.resourceVersion`
    pub(super) fn version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or("")
    }

    /// The text at a path.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// What it is called.
    pub(super) fn name(&self) -> Name {
        let text = |pointer| self.text(pointer);
        Name::new(text("/metadata/namespace"), text("/metadata/name"))
    }

    /// The object that it is. Lists do not say what their items are.
    pub(super) fn into_entry(self, of: &ApiResource, keeps_text: bool) -> Result<Entry, NotRead> {
        let mut value = self.value;
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), of.api_version.clone().into());
            fields.insert("kind".to_owned(), of.kind.clone().into());
        }
        let object = Object::read(&value, Place::default())?;
        let text = keeps_text.then(|| Arc::from(value.to_string()));
        Ok(Entry { object, text })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        // Who has written what is longer than the rest, and of no use here.
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.remove("managedFields");
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        Ok(Raw::new(value))
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(of)
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(of)
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(of)
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(of)
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
