//! A folder, and the processes that write their logs there.
//!
//! All of it goes with the keeper, and also where the process of the tests is killed: a shell waits
//! for the end of what comes from there, kills the processes whose ids are in the folder, and
//! removes it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

/// What the shell does; its argument is the folder.
const KEEP: &str = r#"trap '' INT TERM HUP; read -r _; kill -9 $(cat "$0"/*.pid); rm -rf "$0""#;
/// How many lines of a log are shown where a test fails.
const SHOWN: usize = 20;

/// A folder, and the processes that belong there. Dropping it kills them, and removes the folder.
pub struct Keeper {
    folder: PathBuf,
    shell: Child,
    processes: Mutex<HashMap<String, Child>>,
}

impl Keeper {
    /// One with an empty folder.
    pub fn new() -> Keeper {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", KEEP]).arg(&folder);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::null());
        Keeper {
            shell: pipes.stderr(Stdio::null()).spawn().unwrap(),
            folder,
            processes: Mutex::default(),
        }
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a process under a name. What it says comes to `NAME.log`.
    pub fn run(&self, name: &str, command: &mut Command) {
        let path = self.file(&format!("{name}.log"));
        let log = File::options().create(true).append(true).open(path);
        let log = log.unwrap();
        let command = command
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap());
        let child = command.stdout(log).spawn().unwrap();
        fs::write(self.pid(name), format!("{}\n", child.id())).unwrap();
        self.processes
            .lock()
            .unwrap()
            .insert(name.to_owned(), child);
    }

    /// Kills the process of this name, if there is one.
    pub fn kill(&self, name: &str) {
        let Some(mut child) = self.processes.lock().unwrap().remove(name) else {
            return;
        };
        fs::remove_file(self.pid(name)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the process of this name where it stands, or lets it go on.
    pub fn signal(&self, name: &str, signal: Signal) {
        let processes = self.processes.lock().unwrap();
        kill_process(Pid::from_child(&processes[name]), signal).unwrap();
    }

    /// Whether the process of this name runs.
    pub fn runs(&self, name: &str) -> bool {
        let mut processes = self.processes.lock().unwrap();
        let child = processes.get_mut(name);
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// All that the process of this name has said.
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.file(&format!("{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Shows the end of what it has said.
    pub fn show(&self, name: &str) {
        let log = self.log(name);
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        eprintln!("{name} said:\n{}", last.join("\n"));
    }

    fn pid(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.pid"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for child in self.processes.get_mut().unwrap().values_mut() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}
