//! Secret, ConfigMap, Namespace and ReferenceGrant.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::fields::{Fields, Node};
use super::meta::Meta;

/// A Secret. What is in it does not show in a message.
pub struct Secret {
    /// What all objects have.
    pub meta: Meta,
    /// `type`
    pub kind: Arc<str>,
    /// `data` and `stringData`, as bytes.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.meta.name)
    }
}

impl Secret {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let mut data = BTreeMap::new();
        for (key, text) in top.text_map("data") {
            match STANDARD.decode(text.replace(['\n', ' '], "")) {
                Ok(bytes) => drop(data.insert(key.to_owned(), bytes.into())),
                Err(_) => top
                    .flaws
                    .note(&format!("data[{key:?}]"), "must be base64 (RFC 4648)"),
            }
        }
        let plain = top.text_map("stringData").into_iter();
        data.extend(plain.map(|(key, text)| (key.to_owned(), text.as_bytes().to_vec().into())));
        Secret {
            meta,
            kind: top.text("type").unwrap_or("Opaque").into(),
            data,
        }
    }
}

/// A ConfigMap.
#[derive(Debug)]
pub struct ConfigMap {
    /// What all objects have.
    pub meta: Meta,
    /// `data`
    pub data: BTreeMap<String, String>,
}

impl ConfigMap {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        ConfigMap {
            meta,
            data: top.text_map("data").into_iter().map(own).collect(),
        }
    }
}

/// A Namespace.
#[derive(Debug)]
pub struct Namespace {
    /// What all objects have; its labels have `kubernetes.io/metadata.name`.
    pub meta: Meta,
}

impl Namespace {
    pub(super) fn read(mut meta: Meta) -> Self {
        let name = meta.name.name.to_string();
        meta.labels
            .insert("kubernetes.io/metadata.name".to_owned(), name);
        Namespace { meta }
    }
}

/// Group, kind, and the name if only one object of that kind is meant.
pub type Granted = (Arc<str>, Arc<str>, Option<Arc<str>>);

/// A ReferenceGrant.
#[derive(Debug)]
pub struct ReferenceGrant {
    /// What all objects have.
    pub meta: Meta,
    /// `from`: group, kind and namespace.
    pub from: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    /// `to`
    pub to: Vec<Granted>,
}

impl ReferenceGrant {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let from = |node: Node| {
            let fields = node.fields();
            let group = fields.text("group").unwrap_or_default();
            let kind = fields.required_text("kind")?;
            let namespace = fields.required_text("namespace")?;
            Some((group.into(), kind.into(), namespace.into()))
        };
        let to = |node: Node| {
            let fields = node.fields();
            // What should be a name, and is none, does not mean all of them.
            let name = match fields.node("name") {
                Some(node) => Some(node.text()?.into()),
                None => None,
            };
            let group = fields.text("group").unwrap_or_default();
            Some((group.into(), fields.required_text("kind")?.into(), name))
        };
        ReferenceGrant {
            meta,
            from: spec.list("from", 16).into_iter().filter_map(from).collect(),
            to: spec.list("to", 16).into_iter().filter_map(to).collect(),
        }
    }
}
