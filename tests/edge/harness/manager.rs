//! A service manager: a real `systemd --user` with units, a runtime folder, a mount namespace and a
//! cgroup of its own, so that nothing of it is seen outside and nothing outside is seen by it.
//!
//! It is never `systemd --system`: that one would run the machine's boot jobs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tempfile::TempDir;

use super::{cgroup, eventually, report};

/// How many lines of what it said are shown of a test that failed.
const SHOWN: usize = 15;

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// What becomes the manager. It wants to find a machine that systemd has booted, what it covers
/// forbidden files with, and its cgroups, which are the arguments.
const ENTER: &str = r#"
set -e
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mkdir -p /run/systemd/system /run/systemd/inaccessible/dir
cd /run/systemd/inaccessible
touch reg
mkfifo fifo
mknod chr c 0 0
mknod blk b 0 0
chmod 0 *
for cgroup in "$@"; do echo $$ > "$cgroup/cgroup.procs"; done
cd /
exec setsid /usr/lib/systemd/systemd --user --unit=basic.target
"#;

/// A running service manager. Dropping it kills it and all that it has started.
pub struct Manager {
    folder: TempDir,
    process: Child,
    cgroups: Vec<PathBuf>,
}

impl Manager {
    /// Starts a manager that knows the units in this folder, whose place is taken for its own files
    /// too. `None`, and a line on standard error that says why, where none can run.
    pub async fn start(folder: TempDir) -> Option<Manager> {
        match Manager::try_start(folder).await {
            Ok(manager) => Some(manager),
            Err(why) => {
                // Not `eprintln!`, which nobody sees in a test that passes.
                let line = format!("no service manager can be started, skipped: {why}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    async fn try_start(folder: TempDir) -> Result<Manager, String> {
        if !Path::new(SYSTEMD).exists() {
            return Err(format!("{SYSTEMD} is not installed"));
        }
        if !rustix::process::geteuid().is_root() {
            return Err("only root may make a mount namespace and a cgroup".into());
        }
        for target in ["basic", "shutdown"] {
            let text = "[Unit]\nDefaultDependencies=no\n";
            fs::write(folder.path().join(format!("{target}.target")), text).unwrap();
        }
        fs::create_dir(folder.path().join("run")).unwrap();
        let cgroups = cgroups()?;
        let process = start(&folder, &cgroups).map_err(|error| error.to_string())?;
        let mut manager = Manager {
            folder,
            process,
            cgroups,
        };
        manager.answers().await?;
        Ok(manager)
    }

    async fn answers(&mut self) -> Result<(), String> {
        eventually("the manager answers or ends", || {
            if self.process.try_wait().unwrap().is_some() {
                return Some(Err(self.said()));
            }
            let answers = self.systemctl(&["list-units"]).status.success();
            answers.then_some(Ok(()))
        })
        .await
    }

    /// Its folder: the units, and all that belongs to it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its answer to `systemctl` with these arguments.
    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        self.command("systemctl")
            .arg("--user")
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The same for what must succeed.
    pub fn does(&self, arguments: &[&str]) {
        let output = self.systemctl(arguments);
        assert!(
            output.status.success(),
            "systemctl {arguments:?}: {output:?}\n{}",
            self.said()
        );
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, unit]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A command that finds this manager, and not the user's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        environment(&mut command, self.folder.path());
        command
    }

    /// What the manager said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("manager.log")).unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::print("the manager said", self.said().lines(), SHOWN);
        }
        let all: Vec<_> = self.cgroups.iter().flat_map(|tree| members(tree)).collect();
        Command::new("kill").arg("-KILL").args(all).status().ok();
        self.process.wait().ok();
        for cgroup in &self.cgroups {
            remove(cgroup);
        }
    }
}

fn start(folder: &TempDir, cgroups: &[PathBuf]) -> std::io::Result<Child> {
    let log = fs::File::create(folder.path().join("manager.log"))?;
    let mut command = Command::new("unshare");
    environment(&mut command, folder.path());
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "sh",
        ])
        .args(cgroups)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn environment(command: &mut Command, folder: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_RUNTIME_DIR", folder.join("run"))
        .env("SYSTEMD_UNIT_PATH", folder)
        .env("SYSTEMD_PAGER", "");
}

/// A new cgroup in each hierarchy in which a manager follows processes.
fn cgroups() -> Result<Vec<PathBuf>, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "culvert-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Relaxed)
    );
    let hierarchies = ["", "systemd", "unified"].map(|name| Path::new("/sys/fs/cgroup").join(name));
    let hierarchies = hierarchies
        .iter()
        .filter(|hierarchy| hierarchy.join("cgroup.procs").exists());
    let cgroups: Vec<_> = hierarchies.map(|hierarchy| hierarchy.join(&name)).collect();
    for cgroup in &cgroups {
        fs::create_dir(cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
    }
    if cgroups.is_empty() {
        return Err("/sys/fs/cgroup holds no cgroups".into());
    }
    Ok(cgroups)
}

/// The cgroups below this one.
fn below(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// The processes in a cgroup and below.
fn members(cgroup: &Path) -> Vec<String> {
    let own = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = own.lines().map(str::to_owned);
    own.chain(below(cgroup).iter().flat_map(|cgroup| members(cgroup)))
        .collect()
}

/// Removes a cgroup and those below.
fn remove(cgroup: &Path) {
    for cgroup in below(cgroup) {
        remove(&cgroup);
    }
    cgroup::remove(cgroup);
}
