//! The folder in which certificates, keys and what was tried are kept, for nobody else to read. A
//! file is written anew and put in the place of the one before, so that none is half there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

const OWN_FOLDER: u32 = 0o700;
const OWN_FILE: u32 = 0o600;
const OTHERS: u32 = 0o077;
const LARGEST: u64 = 1 << 20;
/// How old a file is that a process which has died left.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder, or one in it.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// The lock of a certificate, as long as it is kept.
pub(super) struct Locked(#[expect(dead_code, reason = "closing it gives it back")] File);

impl Folder {
    /// The folder at this path, which is made where there is none. Errors name it.
    pub(super) fn at(path: &Path) -> Result<Self, String> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(OWN_FOLDER).create(path);
        made.and_then(|()| close(path))
            .map_err(|error| told(path, error))?;
        Ok(Folder(path.to_owned()))
    }

    /// A folder in it.
    pub(super) fn inner(&self, name: &str) -> Result<Self, String> {
        Folder::at(&self.0.join(name))
    }

    /// What is in a file; `None` where there is none. Errors name it.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        read(&self.0.join(name))
    }

    /// Puts a file in its place. Errors name it.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let path = self.0.join(name);
        let new = self.0.join(format!(".{name}.{}", Uuid::new_v4().simple()));
        let put = put(&new, content).and_then(|()| fs::rename(&new, &path));
        if put.is_err() {
            // It may not be there.
            fs::remove_file(&new).ok();
        }
        put.and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(|error| told(&path, error))
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) {
        let path = self.0.join(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{}", told(&path, error));
        }
    }

    /// Takes the lock of this name; `None` while another has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<Locked>, String> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        options
            .create(true)
            .write(true)
            .truncate(false)
            .mode(OWN_FILE);
        let file = options.open(&path).map_err(|error| told(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Locked(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(told(&path, error)),
        }
    }

    /// Removes what processes have left here that died.
    pub(super) fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return;
        };
        let is_old = |path: &Path| {
            let changed = fs::symlink_metadata(path).and_then(|found| found.modified());
            let age = changed.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            age.is_ok_and(|age| age > LEFT)
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if is_old(&path) {
                // Another may have been faster.
                fs::remove_file(&path).ok();
            }
        }
    }
}

/// What is in a file; `None` where there is none. Errors name it.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let mut content = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(path, error)),
    };
    let read = file.take(LARGEST).read_to_end(&mut content);
    read.map_err(|error| told(path, error))?;
    Ok(Some(content))
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(OWN_FILE)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Takes the folder away from others, whoever has made it.
fn close(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    match mode & OTHERS {
        0 => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS)),
    }
}

fn told(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_can_read_what_is_kept() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("state/acme");
        let folder = Folder::at(&path).unwrap();
        folder.write("chat.pem", b"one").unwrap();
        folder.write("chat.pem", b"two").unwrap();
        assert_eq!(folder.read("chat.pem").unwrap().unwrap(), b"two");
        assert_eq!(folder.read("absent").unwrap(), None);
        assert_eq!((mode(&path), mode(&path.join("chat.pem"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Folder::at(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn one_at_a_time_has_a_lock() {
        let top = tempfile::tempdir().unwrap();
        let folder = Folder::at(top.path()).unwrap();
        let first = folder.lock("chat.lock").unwrap();
        assert!(first.is_some());
        assert!(folder.lock("chat.lock").unwrap().is_none());
        assert!(folder.lock("other.lock").unwrap().is_some());
        drop(first);
        assert!(folder.lock("chat.lock").unwrap().is_some());
    }

    #[test]
    fn errors_name_the_file() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Folder::at(&file.join("acme")).unwrap_err();
        assert!(
            error.starts_with(&format!("{}/acme: ", file.display())),
            "{error}"
        );
    }
}
