//! The real binary as a process: what it says on its two outputs, as it says it, and its signals.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{Cgroup, eventually, report};

/// How many lines of each of its outputs are shown of a test that failed.
const SHOWN: usize = 15;

/// A running process. Dropping it kills it.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    diagnostics: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// Standard output is not read while this is kept.
pub struct Unread<'a> {
    _lines: MutexGuard<'a, Vec<String>>,
}

impl Process {
    /// Starts Culvert with these arguments.
    pub fn start(arguments: &[&str]) -> Process {
        Process::start_in(&[], arguments)
    }

    /// Starts Culvert with these additions to the environment, and these arguments.
    pub fn start_in(environment: &[(&str, &str)], arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert"));
        command.args(arguments).envs(environment.iter().copied());
        Process::of(command)
    }

    /// Starts Culvert with these arguments where no more than so many files may be open.
    pub fn start_with_files(most: u64, arguments: &[&str]) -> Process {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_culvert"))
            .args(arguments);
        Process::of(command)
    }

    /// Starts Culvert with these arguments, and no right to read what its user may not, if that is
    /// root.
    pub fn start_without_privileges(arguments: &[&str]) -> Process {
        let program = env!("CARGO_BIN_EXE_culvert");
        let command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                let dropped = "-dac_override,-dac_read_search";
                command.args([&format!("--bounding-set={dropped}"), program]);
                command
            }
            false => Command::new(program),
        };
        let mut command = command;
        command.args(arguments);
        Process::of(command)
    }

    /// Starts Culvert with these arguments where this folder is a disk of so many bytes.
    pub fn start_with_a_disk_of(size: &str, folder: &Path, arguments: &[&str]) -> Process {
        let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
        command
            .arg(folder)
            .arg(env!("CARGO_BIN_EXE_culvert"))
            .args(arguments);
        Process::of(command)
    }

    /// Starts Culvert with these arguments in a cgroup, in which it is from the beginning.
    pub fn start_within(cgroup: &Cgroup, arguments: &[&str]) -> Process {
        let enter = r#"echo $$ > "$0" && exec "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(cgroup.door());
        command.arg(env!("CARGO_BIN_EXE_culvert")).args(arguments);
        Process::of(command)
    }

    /// Starts it by this command, which becomes it or runs it.
    pub fn of(mut command: Command) -> Process {
        report::keep_short();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, diagnostics) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&lines)),
            collect(child.stderr.take().unwrap(), Arc::clone(&diagnostics)),
        ];
        Process {
            child,
            lines,
            diagnostics,
            readers,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many lines there are on standard output so far.
    pub fn count_lines(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Stops reading standard output, until what is returned is dropped.
    pub fn stop_reading(&self) -> Unread<'_> {
        Unread {
            _lines: self.lines.lock().unwrap(),
        }
    }

    /// What it said on standard error so far.
    pub fn diagnostics(&self) -> String {
        let lines = self.diagnostics.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Waits until it has said this on standard error; returns all that it said so far.
    pub async fn says(&self, words: &str) -> String {
        let said = || Some(self.diagnostics()).filter(|said| said.contains(words));
        eventually(&format!("culvert says {words:?}"), said).await
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        Process::signal_to(self.child.id(), name);
    }

    /// Sends a signal to a process that a process of ours has started.
    pub fn signal_to(pid: u32, name: &str) {
        let pid = pid.to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Lets the process have no more than this many open files.
    pub fn limit_open_files(&self, most: u64) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let limit = Rlimit {
            current: Some(most),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    }

    /// Lets a file be no longer than this from now on.
    pub fn limit_size_of_files(&self, most: Option<u64>) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let limit = Rlimit {
            current: most,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    }

    /// The processor time that the process has had, in seconds.
    pub fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // What comes before may have spaces and is in parentheses; the times are the 14th and the
        // 15th field.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap()).sum();
        ticks / clock_ticks_per_second() as f64
    }

    /// How many files the process has open, connections among them.
    pub fn open_files(&self) -> usize {
        let open = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(open).unwrap().count()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end, but not for those who may still have something to say on its outputs:
    /// what it started.
    pub async fn exited(&mut self) -> ExitStatus {
        eventually("the process ends", || self.child.try_wait().unwrap()).await
    }

    /// Waits for the end, after which all that was said has been read.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = self.exited().await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (said, lines) = (self.diagnostics(), self.lines());
            report::print("culvert said", said.lines(), SHOWN);
            report::print(
                "and on standard output",
                lines.iter().map(String::as_str),
                SHOWN,
            );
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs Culvert to its end, with these arguments and in this folder; for what is said before
/// anything is served.
pub fn run(arguments: &[&str], folder: &Path) -> std::process::Output {
    report::keep_short();
    Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Lines of problems without their lines and columns: `FILE:LINE:COLUMN: …` is `FILE: …`.
pub fn without_positions(said: &str) -> String {
    let without = |line: &str| {
        let (place, rest) = line.split_once(": ").unwrap_or((line, ""));
        let file = place.trim_end_matches(|letter: char| letter == ':' || letter.is_ascii_digit());
        format!("{file}: {rest}\n")
    };
    said.lines().map(without).collect()
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().unwrap().push(line.unwrap());
        }
    })
}
