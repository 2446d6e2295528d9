//! Why nobody answers at a socket: there is nobody, or not for this user.

use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What an error of connecting to a socket means, as an operator reads it.
pub fn silence(socket: &Path, error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no running process: {error}")
        }
        ErrorKind::PermissionDenied => match owned(socket) {
            Some(owned) => format!("permission denied: {owned}"),
            None => "permission denied".to_owned(),
        },
        _ => format!("cannot be reached: {error}"),
    }
}

/// Whose a file is, or the nearest folder above it of which that can be seen.
fn owned(file: &Path) -> Option<String> {
    let mut paths = file.ancestors();
    let (path, found) = paths.find_map(|path| Some((path, fs::metadata(path).ok()?)))?;
    let user = name(Path::new("/etc/passwd"), found.uid());
    let group = name(Path::new("/etc/group"), found.gid());
    Some(format!("{} belongs to {user}:{group}", path.display()))
}

/// The name of a user or a group in the system's list; the number where it is not there.
fn name(list: &Path, id: u32) -> String {
    let list = fs::read_to_string(list).unwrap_or_default();
    let id = id.to_string();
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&id)).then(|| name.to_owned())
    };
    list.lines().find_map(entry).unwrap_or(id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_whether_anybody_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let told = |kind: ErrorKind| silence(&socket, &Error::from(kind));
        assert!(told(ErrorKind::NotFound).starts_with("no running process: "));
        assert!(told(ErrorKind::ConnectionRefused).starts_with("no running process: "));
        assert!(told(ErrorKind::TimedOut).starts_with("cannot be reached: "));
        // A socket that cannot be seen is told by its folder.
        let expected = format!("permission denied: {} belongs to ", folder.path().display());
        assert!(told(ErrorKind::PermissionDenied).starts_with(&expected));
    }

    #[test]
    fn a_user_is_told_by_name_or_number() {
        let list = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            list.path(),
            "root:x:0:0::/:/bin/sh\nculvert:x:998:997::/:/bin/false\n",
        )
        .unwrap();
        assert_eq!(name(list.path(), 998), "culvert");
        assert_eq!(name(list.path(), 99), "99");
        assert_eq!(name(Path::new("/nonexistent/list"), 1), "1");
    }
}
