//! `gateway.cache`: what a cluster had last, in a file, for a start while no API server answers.
//!
//! A line of what it is, and a line of JSON for each object. It is written beside its place and put
//! there in one step, and nobody else may read it: it has keys of certificates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use serde_json::{Value, json};

use super::news::Entry;
use super::objects::{Object, Place};

/// What such a file begins with.
const WHAT: &str = "culvert gateway cache";
/// The way in which it is written.
const FORMAT: u64 = 1;
/// How much of it is read, in bytes.
const LARGEST: u64 = 512 << 20;

/// Writes these objects of this controller.
pub(super) fn write(path: &Path, controller: &str, texts: &[Arc<str>]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", process::id()));
    let beside = PathBuf::from(beside);
    let written = write_to(&beside, controller, texts).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not even be there.
        fs::remove_file(&beside).ok();
    }
    written
}

fn write_to(path: &Path, controller: &str, texts: &[Arc<str>]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut out = BufWriter::new(file);
    let head = json!({
        "what": WHAT, "format": FORMAT, "controller": controller, "objects": texts.len(),
    });
    writeln!(out, "{head}")?;
    for text in texts {
        writeln!(out, "{text}")?;
    }
    out.into_inner()?.sync_all()
}

/// Reads the objects of this controller. Errors: why there are none, in words.
pub(super) fn read(path: &Path, controller: &str) -> Result<Vec<Entry>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut lines = BufReader::new(file.take(LARGEST)).lines();
    let head = lines
        .next()
        .transpose()
        .map_err(|error| error.to_string())?;
    let count = of_head(&head.unwrap_or_default(), controller)?;
    let mut entries = Vec::new();
    let mut lines_read = 0;
    for line in lines {
        lines_read += 1;
        let line = line.map_err(|error| format!("cannot be read: {error}"))?;
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| format!("line {}: {error}", lines_read + 1))?;
        // One that an older version has written and this one does not know.
        if let Ok(object) = Object::read(&value, Place::default()) {
            let text = Some(line.into());
            entries.push(Entry { object, text });
        }
    }
    match lines_read == count {
        true => Ok(entries),
        false => Err(format!("has {lines_read} objects, not {count}")),
    }
}

/// How many objects are to follow.
fn of_head(line: &str, controller: &str) -> Result<usize, String> {
    let head: Value = serde_json::from_str(line).unwrap_or_default();
    if head["what"] != WHAT || head["format"] != FORMAT {
        return Err(format!("is no {WHAT} of format {FORMAT}"));
    }
    if head["controller"] != controller {
        return Err(format!("is of the controller {}", head["controller"]));
    }
    let count = head["objects"]
        .as_u64()
        .and_then(|count| count.try_into().ok());
    count.ok_or_else(|| "does not say how many objects it has".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SECRET: &str =
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"b"}}"#;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        write(&path, "c.d/e", &[SECRET.into(), SECRET.into()]).unwrap();
        let read = read(&path, "c.d/e").unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].key().1.to_string(), "b/a");
        assert_eq!(read[0].text.as_deref(), Some(SECRET));
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_whole_or_not_ours_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let told = |path: &Path| read(path, "c.d/e").unwrap_err();
        assert!(told(&path).starts_with("cannot be read: No such file"));
        write(&path, "c.d/e", &[SECRET.into(), SECRET.into()]).unwrap();
        let whole = fs::read(&path).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for length in 0..whole.len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            let told = told(&path);
            assert_eq!(told.starts_with("is no culvert"), length < head, "{told}");
        }
        write(&path, "other/one", &[]).unwrap();
        assert_eq!(told(&path), "is of the controller \"other/one\"");
    }
}
