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
/// What becomes the manager, in the system that is in the folder of the first argument; without it
/// in this one. It wants to find a machine that systemd has booted, what it covers forbidden files
/// with, and its cgroups, which are the other arguments.
const ENTER: &str = r#"
set -e
system=$1
shift
for cgroup in "$@"; do echo $$ > "$cgroup/cgroup.procs"; done
if [ -n "$system" ]; then
    mount --bind "$system" "$system"
    for place in dev proc sys; do mount --rbind "/$place" "$system/$place"; done
    cd "$system"
    mkdir -p old
    pivot_root . old
    umount -l /old
fi
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mkdir -p /run/systemd/system /run/systemd/inaccessible/dir
cd /run/systemd/inaccessible
touch reg
mkfifo fifo
mknod chr c 0 0
mknod blk b 0 0
chmod 0 *
cd /
exec setsid /usr/lib/systemd/systemd --user --unit=basic.target
"#;

/// Where its folder is in another system.
const INSIDE: &str = "test";

/// A running service manager. Dropping it kills it and all that it has started.
pub struct Manager {
    folder: TempDir,
    /// The folder has another system, in which it runs.
    has_system: bool,
    process: Child,
    cgroups: Vec<PathBuf>,
}

impl Manager {
    /// Starts a manager that knows the units in this folder, whose place is taken for its own files
    /// too. `None`, and a line on standard error that says why, where none can run.
    pub async fn start(folder: TempDir) -> Option<Manager> {
        Manager::start_in(folder, false).await
    }

    /// Starts one in the system that is in this folder, with a folder of its own there, /test: the
    /// units, and in `bin` the programs that come before those of the system.
    pub async fn start_within(system: TempDir) -> Option<Manager> {
        Manager::start_in(system, true).await
    }

    async fn start_in(folder: TempDir, has_system: bool) -> Option<Manager> {
        match Manager::try_start(folder, has_system).await {
            Ok(manager) => Some(manager),
            Err(why) => {
                // Not `eprintln!`, which nobody sees in a test that passes.
                let line = format!("no service manager can be started, skipped: {why}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    async fn try_start(folder: TempDir, has_system: bool) -> Result<Manager, String> {
        if !has_system && !Path::new(SYSTEMD).exists() {
            return Err(format!("{SYSTEMD} is not installed"));
        }
        if !rustix::process::geteuid().is_root() {
            return Err("only root may make a mount namespace and a cgroup".into());
        }
        let own = own_folder(&folder, has_system);
        for target in ["basic", "shutdown"] {
            let text = "[Unit]\nDefaultDependencies=no\n";
            fs::write(own.join(format!("{target}.target")), text).unwrap();
        }
        fs::create_dir(own.join("run")).unwrap();
        let cgroups = cgroups()?;
        let process = start(&folder, has_system, &cgroups).map_err(|error| error.to_string())?;
        let mut manager = Manager {
            folder,
            has_system,
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

    /// Its folder: the units, and all that belongs to it; or the system that it runs in.
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

    /// A command that finds this manager, and not the user's; in its system.
    pub fn command(&self, program: &str) -> Command {
        if !self.has_system {
            let mut command = Command::new(program);
            environment(&mut command, self.folder.path());
            return command;
        }
        let mut command = Command::new("nsenter");
        environment_inside(&mut command);
        let process = self.process.id().to_string();
        command.args(["--mount", "--target", &process, program]);
        command
    }

    /// What the manager said.
    pub fn said(&self) -> String {
        let own = own_folder(&self.folder, self.has_system);
        fs::read_to_string(own.join("manager.log")).unwrap()
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

fn start(folder: &TempDir, has_system: bool, cgroups: &[PathBuf]) -> std::io::Result<Child> {
    let log = fs::File::create(own_folder(folder, has_system).join("manager.log"))?;
    let mut command = Command::new("unshare");
    match has_system {
        false => environment(&mut command, folder.path()),
        true => environment_inside(&mut command),
    }
    let system = if has_system {
        folder.path()
    } else {
        Path::new("")
    };
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", ENTER, "sh"])
        .arg(system)
        .args(cgroups)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Where its units are, as this test sees it.
fn own_folder(folder: &TempDir, has_system: bool) -> PathBuf {
    match has_system {
        false => folder.path().to_owned(),
        true => folder.path().join(INSIDE),
    }
}

/// The environment in another system, whose own programs are used.
fn environment_inside(command: &mut Command) {
    let folder = Path::new("/").join(INSIDE);
    environment(command, &folder);
    let path = format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
    command.env("PATH", path);
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
