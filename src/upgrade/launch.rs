//! Starts a new binary: checks it first, and lets it go its own way.
//!
//! It is started by an intermediate process that ends at once, so that it is a child of the service
//! manager, which hears of its end, and not of the process that it replaces. A stream on its
//! standard input tells whether it still lives.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::os::daemon;
use crate::os::reserve;

const LAST_WORDS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// How many files a program that is started needs here at once.
const FILES_OF_A_START: usize = 8;

/// Where the new process finds the running one, whatever its own configuration says.
pub(super) const SOCKET_VARIABLE: &str = "CULVERT_UPGRADE_SOCKET";

/// Has the binary check the configuration. The error is what it said.
pub(super) fn check(binary: &Path, conf: &Path, limit: Duration) -> Result<(), String> {
    let name = binary.display();
    let mut command = Command::new(binary);
    command
        // This process has the sockets, so that they are not tried.
        .args(["-t", "-u", "-c"])
        .arg(conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = reserve::with(FILES_OF_A_START, || command.spawn())
        .map_err(|error| format!("{name}: cannot be started: {error}"))?;
    let stderr = child.stderr.take();
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        // What comes before an error is what there is. Nobody may wait for it any more.
        stderr.map(|stderr| stderr.take(1 << 20).read_to_end(&mut said));
        sender.send(said).ok();
    });
    let Some(status) = wait(&mut child, limit).map_err(|error| format!("{name}: {error}"))? else {
        return Err(format!("{name}: no end of its check (-t) within {limit:?}"));
    };
    if status.success() {
        return Ok(());
    }
    // A process that it started may keep the stream open.
    let said = said.recv_timeout(LAST_WORDS).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    Err(match said.trim() {
        "" => format!("{name}: its check (-t) failed: {status}"),
        said => said.to_owned(),
    })
}

/// Waits for a child's end; kills it when it takes too long.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// A process that was started.
pub(super) struct Launched {
    life: UnixStream,
    pid: Option<Pid>,
}

impl Launched {
    /// Starts `binary -c conf -u`, which will look for us at `socket`.
    pub(super) fn start(binary: &Path, conf: &Path, socket: &Path) -> io::Result<Self> {
        let (life, theirs) = reserve::with(2, UnixStream::pair)?;
        let mut command = Command::new(daemon::OURSELVES);
        command
            .arg("launch")
            .arg(binary)
            .arg("-c")
            .arg(conf)
            .arg("-u")
            .env(SOCKET_VARIABLE, socket)
            .env_remove(daemon::VARIABLE)
            .stdin(OwnedFd::from(theirs));
        let launching = reserve::with(FILES_OF_A_START, || command.spawn());
        // Its end of the stream is the only one.
        drop(command);
        let status = launching?.wait()?;
        if !status.success() {
            let why = format!("{}: cannot be started: {status}", binary.display());
            return Err(io::Error::other(why));
        }
        let mut pid = [0; 4];
        (&life).read_exact(&mut pid)?;
        life.set_nonblocking(true)?;
        Ok(Launched {
            life,
            pid: Pid::from_raw(i32::from_ne_bytes(pid)),
        })
    }

    /// Whether it, or a process that it started, still lives.
    pub(super) fn is_alive(&self) -> bool {
        let mut rest = [0; 64];
        match (&self.life).read(&mut rest) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        if let Some(pid) = self.pid.filter(|_| self.is_alive()) {
            // It may have ended just now.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// The intermediate process: starts a program with the arguments that follow it, and tells its
/// process id.
pub fn launch(program: &[OsString]) -> Result<(), String> {
    let [program, arguments @ ..] = program else {
        return Err("culvert: launch: no program".to_owned());
    };
    let child = Command::new(program).args(arguments).spawn();
    let child = child.map_err(|error| format!("{}: {error}", program.display()))?;
    let tell = || {
        let mut life = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        life.write_all(&child.id().to_ne_bytes())
    };
    tell().map_err(|error: io::Error| format!("culvert: launch: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(script: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        Command::new("chmod")
            .arg("+x")
            .arg(&binary)
            .status()
            .unwrap();
        check(&binary, Path::new("x.yaml"), Duration::from_millis(500))
    }

    #[test]
    fn a_check_says_what_the_binary_says() {
        assert_eq!(checked("exit 0"), Ok(()));
        assert_eq!(
            checked("echo \"$4: wrong\" >&2; exit 1"),
            Err("x.yaml: wrong".to_owned())
        );
        assert!(checked("exit 3").unwrap_err().ends_with("exit status: 3"));
        assert!(
            checked("exec sleep 60")
                .unwrap_err()
                .contains("within 500ms")
        );
        let missing = check(Path::new("/none"), Path::new("x"), Duration::from_secs(1));
        assert!(
            missing
                .unwrap_err()
                .starts_with("/none: cannot be started: No such file")
        );
    }
}
