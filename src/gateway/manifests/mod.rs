//! Manifests: the objects of files, as `kubectl apply -f` would take them, from files and from
//! folders. The only place of this room that opens files.
//!
//! A document that has not changed since the last time gives the object that it gave then, the same
//! one, so that nothing is done again for it.

mod text;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::objects::{Kind, Name, Object, Place};
use crate::config::bounded::{LARGEST_FILE, read_bounded};
use text::{Document, Found, documents, objects};

/// How many files are read.
const MOST_FILES: usize = 10_000;
/// How much is read.
const MOST_BYTES: usize = 128 << 20;
/// Which files of a folder are meant.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What is in files.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The objects, each kind and name once.
    pub objects: Vec<Object>,
    /// What could not be read, in the order of the files.
    pub problems: Vec<Problem>,
    /// Objects of kinds that are not read: their places and kinds.
    pub others: Vec<(Place, String)>,
    /// The files that were read, to be watched.
    pub files: Vec<PathBuf>,
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; line 0 is the whole file.
    pub place: Place,
    /// Why: one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.line {
            0 => write!(f, "{}: {}", self.place.file, self.message),
            _ => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// Reads manifests, again and again.
#[derive(Debug, Default)]
pub struct Loader {
    /// By file and line: the text of a document, and the objects that it gave.
    known: HashMap<(Arc<str>, usize), (String, Vec<Object>)>,
    now: HashMap<(Arc<str>, usize), (String, Vec<Object>)>,
}

impl Loader {
    /// What these files, and the files of these folders, hold. In a folder those count that end in
    /// .yaml, .yml or .json and do not begin with a dot, in the order of their names.
    pub fn load(&mut self, paths: &[PathBuf]) -> Manifests {
        let mut manifests = Manifests::default();
        let mut left = MOST_BYTES;
        for file in files(paths, &mut manifests) {
            let text = match read(&file, &mut left) {
                Ok(text) => text,
                Err(message) => {
                    manifests.problem(&file, message);
                    continue;
                }
            };
            self.take(&file.display().to_string(), &text, &mut manifests);
            manifests.files.push(file);
        }
        self.known = std::mem::take(&mut self.now);
        manifests.only_once();
        manifests
    }

    /// What is in these texts, which messages call by their names.
    pub fn parse(&mut self, texts: &[(&str, &str)]) -> Manifests {
        let mut manifests = Manifests::default();
        for (name, text) in texts {
            self.take(name, text, &mut manifests);
        }
        self.known = std::mem::take(&mut self.now);
        manifests.only_once();
        manifests
    }

    fn take(&mut self, file: &str, text: &str, manifests: &mut Manifests) {
        let file: Arc<str> = file.into();
        for document in documents(text) {
            let key = (Arc::clone(&file), document.line);
            let known = self.known.remove(&key);
            let known = known.filter(|(text, _)| text == document.text);
            let (text, objects) = match known {
                Some(known) => known,
                None => {
                    let Some(objects) = manifests.read(&file, &document) else {
                        continue;
                    };
                    (document.text.to_owned(), objects)
                }
            };
            manifests.objects.extend(objects.iter().cloned());
            self.now.insert(key, (text, objects));
        }
    }
}

impl Manifests {
    /// The objects of a document; `None` where there was more than objects to note.
    fn read(&mut self, file: &str, document: &Document) -> Option<Vec<Object>> {
        let mut found = Vec::new();
        let mut is_plain = true;
        for one in objects(file, document) {
            match one {
                Found::Object(object) => found.push(object),
                Found::Other(place, kind) => {
                    is_plain = false;
                    self.others.push((place, kind));
                }
                Found::Problem(place, message) => {
                    is_plain = false;
                    self.problems.push(Problem { place, message });
                }
            }
        }
        match is_plain {
            true => Some(found),
            false => {
                self.objects.extend(found);
                None
            }
        }
    }

    fn problem(&mut self, file: &Path, message: String) {
        let place = Place {
            file: file.display().to_string().into(),
            ..Place::default()
        };
        self.problems.push(Problem { place, message });
    }

    /// Of several objects with one name the first is kept.
    fn only_once(&mut self) {
        let mut seen: HashMap<(Kind, Name), Place> = HashMap::new();
        let problems = &mut self.problems;
        self.objects.retain(|object| {
            let meta = object.meta();
            let key = (object.kind(), meta.name.clone());
            let Some(first) = seen.get(&key) else {
                seen.insert(key, meta.place.clone());
                return true;
            };
            let what = format!("{} {}", key.0.as_str(), key.1);
            let message = format!("{what} is at {first} already, and counts from there");
            let place = meta.place.clone();
            problems.push(Problem { place, message });
            false
        });
    }
}

/// The files that are meant, each once.
fn files(paths: &[PathBuf], manifests: &mut Manifests) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match in_folder(path) {
            Ok(found) => files.extend(found),
            Err(error) => manifests.problem(path, format!("cannot be read: {error}")),
        }
    }
    if files.len() > MOST_FILES {
        let path = files.swap_remove(MOST_FILES);
        let message =
            format!("is not read, nor is what follows: there are over {MOST_FILES} files");
        manifests.problem(&path, message);
        files.truncate(MOST_FILES);
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.take(MOST_FILES * 2) {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_hidden = name.is_none_or(|name| name.starts_with('.'));
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_meant = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
        if !is_hidden && is_meant && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path, left: &mut usize) -> Result<String, String> {
    let found = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    // Whoever opens a pipe waits for whoever writes to it.
    if !found.is_file() {
        return Err("is no file".to_owned());
    }
    let bytes = read_bounded(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > LARGEST_FILE {
        return Err("is larger than 16 MiB".to_owned());
    }
    let rest = left.checked_sub(bytes.len());
    *left = rest.ok_or_else(|| "is not read: all manifests are over 128 MiB".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_the_order_of_names_and_what_is_hidden_or_of_another_kind_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let namespace =
            |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        for (file, name) in [
            ("b.yml", "b"),
            ("a.yaml", "a"),
            ("c.json", "c"),
            ("a.txt", "d"),
            (".e.yaml", "e"),
            ("z.yaml", "a"),
        ] {
            fs::write(folder.path().join(file), namespace(name)).unwrap();
        }
        let missing = folder.path().join("none.yaml");
        let found = Loader::default().load(&[folder.path().to_owned(), missing]);
        let names = found
            .objects
            .iter()
            .map(|object| object.meta().name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(found.files.len(), 4);
        let told: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("none.yaml: cannot be read"), "{told:?}");
        assert!(told[1].contains("Namespace a is at"), "{told:?}");
    }

    #[test]
    fn a_document_that_did_not_change_gives_the_same_object() {
        let service = |name: &str, port: u16| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
                 spec: {{ports: [{{port: {port}}}]}}\n"
            )
        };
        let text = |port| format!("{}---\n{}", service("a", 80), service("b", port));
        let mut loader = Loader::default();
        let before = loader.parse(&[("x.yaml", &text(80))]).objects;
        let now = loader.parse(&[("x.yaml", &text(81))]).objects;
        let same: Vec<bool> = before
            .iter()
            .zip(&now)
            .map(|pair| match pair {
                (Object::Service(one), Object::Service(other)) => Arc::ptr_eq(one, other),
                _ => false,
            })
            .collect();
        assert_eq!(same, [true, false]);
    }
}
