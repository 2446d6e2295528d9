//! `server.pidFile`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The file with our process id, for as long as it is ours.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file beside its place, to see whether it can be written.
    pub(super) fn prepare(path: &Path) -> io::Result<Self> {
        write_beside(path)?;
        Ok(PidFile(path.to_owned()))
    }

    /// Puts the file in its place, in one step: whoever reads it sees the id before or this one.
    pub(super) fn put(&self) -> io::Result<()> {
        write_beside(&self.0)?;
        fs::rename(beside(&self.0), &self.0)
    }
}

fn write_beside(path: &Path) -> io::Result<()> {
    fs::write(beside(path), format!("{}\n", process::id()))
}

fn beside(path: &Path) -> PathBuf {
    with_suffix(path, &format!(".{}", process::id()))
}

impl Drop for PidFile {
    /// Takes the file away, unless another process has written its own.
    fn drop(&mut self) {
        fs::remove_file(beside(&self.0)).ok();
        let is_ours = |text: String| text.trim() == process::id().to_string();
        if fs::read_to_string(&self.0).is_ok_and(is_ours) {
            // One that cannot be removed is stale, as after a crash.
            fs::remove_file(&self.0).ok();
        }
    }
}

/// The path with something added to the name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_taken_away_only_by_the_process_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("culvert.pid");
        let file = PidFile::prepare(&path).unwrap();
        assert!(!path.exists());
        file.put().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", process::id()));
        drop(file);
        assert!(!path.exists());

        let file = PidFile::prepare(&path).unwrap();
        file.put().unwrap();
        fs::write(&path, "1\n").unwrap();
        file.put().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
