//! A cgroup of its own for a process, with a limit of memory: version 1 or 2, where this machine
//! lets us make one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How long a process that was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cgroup. Dropping it removes it, once the processes in it are gone.
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// One that may have so many bytes of memory. Errors: why there can be none.
    pub fn with_memory(bytes: u64) -> Result<Cgroup, String> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        if v1.join("memory.limit_in_bytes").exists() {
            let limit = "memory.limit_in_bytes";
            return Cgroup::make(v1, limit, bytes);
        }
        let v2 = Path::new("/sys/fs/cgroup");
        let enabled = fs::read_to_string(v2.join("cgroup.subtree_control")).unwrap_or_default();
        if !enabled.split_whitespace().any(|name| name == "memory") {
            let control = v2.join("cgroup.subtree_control");
            let enabling = fs::write(&control, "+memory");
            enabling.map_err(|error| format!("{}: {error}", control.display()))?;
        }
        Cgroup::make(v2, "memory.max", bytes)
    }

    fn make(parent: &Path, limit: &str, bytes: u64) -> Result<Cgroup, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let folder = parent.join(format!("culvert-memory-{}-{number}", std::process::id()));
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir(&folder).map_err(told)?;
        let cgroup = Cgroup {
            folder: folder.clone(),
        };
        fs::write(folder.join(limit), bytes.to_string()).map_err(told)?;
        // Without this it would have as much again on a machine that swaps.
        let swap = folder.join("memory.swap.max");
        if swap.exists() {
            fs::write(swap, "0").map_err(told)?;
        }
        Ok(cgroup)
    }

    /// The file to which a process writes its id to be in it.
    pub fn door(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Removes a cgroup, once the processes in it are gone, which may take them a moment.
pub(super) fn remove(folder: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while fs::remove_dir(folder).is_err() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !wait_for_one(folder, left) {
            return;
        }
    }
}

/// Waits for the end of a process in a cgroup; whether there is one.
fn wait_for_one(folder: &Path, limit: Duration) -> bool {
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let Some(member) = members.lines().next() else {
        return false;
    };
    let member = member.parse().ok().and_then(Pid::from_raw);
    // Where there is none to be opened it has just ended.
    if let Some(Ok(process)) = member.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        let limit = Timespec::try_from(limit).unwrap();
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap();
    }
    true
}
