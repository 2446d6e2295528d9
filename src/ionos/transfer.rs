//! What is kept, as one JSON document: out of a store, and into one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{self, Journal};
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::state::State;
use super::{properties, server};
use crate::config::Config;

/// The version of the document that is written, and can be read.
const VERSION: u32 = 1;

/// All objects, by their paths.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    revision: u64,
    /// The fleet that has them, where one has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    fleet: String,
    objects: BTreeMap<ResourcePath, Object>,
}

/// What the API of this configuration keeps, as JSON. A process that serves is not disturbed.
pub fn export(file: &Config) -> Result<String, String> {
    let folder = folder(file)?;
    let state = journal::peek(folder).map_err(|error| told(folder, &error))?;
    if journal::is_behind(folder) {
        log::warn!("api.store.path: the copy is behind: other nodes may have more");
    }
    let object = |(path, object): (&ResourcePath, &std::sync::Arc<Object>)| {
        (path.clone(), Object::clone(object))
    };
    let document = Document {
        version: VERSION,
        revision: state.revision,
        fleet: state.fleet.clone(),
        objects: state.objects.iter().map(object).collect(),
    };
    serde_json::to_string_pretty(&document).map_err(|error| error.to_string())
}

/// What was exported.
pub(super) struct Exported {
    revision: u64,
    /// The fleet that had them; empty where none had.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code))]
    pub(super) fleet: String,
    /// All of its objects.
    pub(super) objects: Objects,
}

/// Reads what was exported. Errors: it cannot be used with this configuration.
pub(super) fn read(file: &Config, text: &str) -> Result<Exported, String> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| format!("is no export: {error}"))?;
    if document.version != VERSION {
        return Err(format!(
            "version: must be {VERSION}, not {}",
            document.version
        ));
    }
    for (path, object) in &document.objects {
        check(path, object)?;
    }
    let mut objects = Objects::default();
    let all = document.objects.into_iter();
    objects.apply(all.map(|(path, object)| (path, Some(object.into()))));
    server::configure(file, objects.clone()).map_err(|problems| problems.join("\n"))?;
    Ok(Exported {
        revision: document.revision,
        fleet: document.fleet,
        objects,
    })
}

/// Puts what was exported in the folder of this configuration; returns how many objects that are.
/// Errors: it cannot be used, or a process serves.
pub(super) fn import(file: &Config, text: &str) -> Result<usize, String> {
    let folder = folder(file)?;
    let Exported {
        revision, objects, ..
    } = read(file, text)?;
    let count = objects.iter().count();
    let (mut journal, kept) = Journal::open(folder).map_err(|error| told(folder, &error))?;
    let state = State {
        revision: revision.max(kept.revision) + 1,
        objects,
        requests: kept.requests,
        ..State::default()
    };
    journal
        .replace(&state)
        .map_err(|error| told(folder, &error))?;
    Ok(count)
}

fn check(path: &ResourcePath, object: &Object) -> Result<(), String> {
    let filled = properties::filled(path.kind(), &object.properties);
    let problem = filled
        .err()
        .and_then(|problems| problems.into_iter().next());
    match problem {
        Some(problem) => Err(format!("{path}: {}: {}", problem.path, problem.message)),
        None if !path.kind().is_written() => Err(format!("{path}: is not for clients to make")),
        None => Ok(()),
    }
}

fn folder(file: &Config) -> Result<&Path, String> {
    let api = file.api.as_ref();
    let folder = api.map(|api| api.store.folder());
    folder.ok_or_else(|| "api: is not set, so nothing is kept".to_owned())
}

fn told(folder: &Path, error: &io::Error) -> String {
    format!("api.store.path: {}: {error}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    fn file(folder: &Path) -> Config {
        let text = format!(
            "api: {{listen: 127.0.0.1:9901, store: {{type: FILE, path: {}}}}}",
            folder.display()
        );
        crate::config::parse("edge.yaml", &text).unwrap().config
    }

    #[test]
    fn what_is_exported_can_be_imported_and_says_the_same() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let properties = serde_json::json!({
            "name": "g", "algorithm": "RANDOM", "protocol": "HTTP", "targets": [],
        });
        let group = Object::new(properties.as_object().cloned().unwrap(), "test");
        let (mut journal, mut state) = Journal::open(one.path()).unwrap();
        let path = ResourcePath::of(Kind::TargetGroup, None, "g");
        state.objects.apply([(path, Some(group.into()))]);
        journal.replace(&state).unwrap();
        let text = export(&file(one.path())).unwrap();
        assert_eq!(import(&file(other.path()), &text), Ok(1));
        let again = export(&file(other.path())).unwrap();
        assert_eq!(again, text.replace("\"revision\": 0", "\"revision\": 1"));
        // Somebody has it.
        let error = import(&file(one.path()), &text).unwrap_err();
        assert!(error.ends_with("another process has it"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_not_imported() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text: &str| import(&file(folder.path()), text).unwrap_err();
        assert!(refused("{}").starts_with("is no export: "));
        let of = |path: &str, properties: &str| {
            let stamp = r#"{"at": "2026-11-26T00:00:00Z", "by": "test"}"#;
            format!(
                r#"{{"version": 1, "revision": 1, "objects": {{"{path}": {{
                "properties": {properties}, "created": {stamp}, "modified": {stamp}}}}}}}"#
            )
        };
        let group = r#"{"name": "g", "algorithm": "BEST", "protocol": "HTTP"}"#;
        let problem = refused(&of("/targetgroups/g", group));
        assert!(
            problem.starts_with("api /targetgroups/g: properties.algorithm: "),
            "{problem}"
        );
        let problem = refused(&of("/targetgroups/g", "{}"));
        assert_eq!(problem, "/targetgroups/g: properties.name: is required");
        let problem = refused(&of("/locations/de/txl", "{}"));
        assert_eq!(problem, "/locations/de/txl: is not for clients to make");
    }
}
