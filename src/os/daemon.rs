//! `-d`: the process in the background. The command starts itself anew, detached from the terminal,
//! and ends when that serves.
//!
//! Standard output is given up, so the access log needs a file; the diagnostics stay where they
//! were.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::config::Config;

/// Set for the process in the background, which has one end of a stream as its standard input.
pub(crate) const VARIABLE: &str = "CULVERT_DAEMON";
/// The program that runs, also where its file was replaced.
pub(crate) const OURSELVES: &str = "/proc/self/exe";

/// Whether this is the process in the background.
pub fn is_this() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Starts the process in the background, with the same arguments, and waits until it serves.
pub fn start(config: &Config) -> Result<(), String> {
    if config.access_log.path.is_none() {
        return Err(
            "accessLog.path: is required with -d, which gives standard output up".to_owned(),
        );
    }
    let failed = |error: io::Error| format!("-d: {error}");
    let (mut life, theirs) = UnixStream::pair().map_err(failed)?;
    let mut arguments = env::args_os();
    let mut child = Command::new(OURSELVES)
        .arg0(arguments.next().unwrap_or_else(|| "culvert".into()))
        .args(arguments)
        .env(VARIABLE, "1")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if life.read_exact(&mut [0]).is_ok() {
        return Ok(());
    }
    let status = child.wait().map_err(failed)?;
    Err(format!("-d: the process ended before it served: {status}"))
}

/// Leaves the terminal, in the process in the background.
pub fn detach() {
    if let Err(error) = rustix::process::setsid() {
        log::debug!("-d: setsid: {error}");
    }
}

/// Tells whoever started this process that it serves.
pub fn serves() {
    let tell = || {
        let mut life = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        life.write_all(&[1])
    };
    if let Err(error) = tell() {
        let error: io::Error = error;
        log::debug!("-d: {error}");
    }
}
