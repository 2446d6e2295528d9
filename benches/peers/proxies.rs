//! The proxies that are compared: each starts as a process of its own, on a core of its own, with one thread for the traffic.
//!
//! Their configurations lie beside this file and say the same in three languages. A proxy that is dropped is ended, with all
//! its processes and its folder; the system ends it too, should the bench be killed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::measure;
use crate::ports::free_addresses;
use crate::protocol;
use crate::stream::Address;
use crate::tls::Tls;

/// The core that the proxies have for themselves.
const CORE: &str = "0";
const PATIENCE: Duration = Duration::from_secs(10);

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Culvert,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
}

impl Kind {
    /// All of them, ours first.
    pub(crate) const ALL: [Kind; 3] = [Kind::Culvert, Kind::Haproxy, Kind::Nginx];

    /// As it calls itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Culvert => "Culvert",
            Kind::Haproxy => "HAProxy",
            Kind::Nginx => "nginx",
        }
    }

    /// Its version. Errors: it is not installed.
    pub(crate) fn version(self) -> io::Result<String> {
        let said = match self {
            Kind::Culvert => return Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Kind::Haproxy | Kind::Nginx => Command::new(self.program()).arg("-v").output(),
        };
        let said = said.map_err(|error| {
            io::Error::other(format!(
                "{}: {error}; `make bench` installs it",
                self.name()
            ))
        })?;
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let number = text
            .split([' ', '/', '\n'])
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(number.unwrap_or("unknown").to_owned())
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Culvert => env!("CARGO_BIN_EXE_culvert"),
            Kind::Haproxy => "haproxy",
            Kind::Nginx => "nginx",
        }
    }

    fn configuration(self) -> &'static str {
        match self {
            Kind::Culvert => include_str!("culvert.yaml"),
            Kind::Haproxy => include_str!("haproxy.cfg"),
            Kind::Nginx => include_str!("nginx.conf"),
        }
    }

    /// What to write instead of what, so that plain requests leave no line.
    fn without_log(self) -> (&'static str, &'static str) {
        match self {
            Kind::Culvert => ("access.log}", "access.log, sample: 0}"),
            Kind::Haproxy => ("    log global\n", ""),
            Kind::Nginx => ("access_log FOLDER/access.log combined", "access_log off"),
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Kind::Culvert => &["-c", "configuration"],
            Kind::Haproxy => &["-db", "-f", "configuration"],
            Kind::Nginx => &["-p", ".", "-e", "stderr", "-c", "configuration"],
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) plain: Address,
    /// Where it listens with TLS.
    pub(crate) encrypted: Address,
    process: Child,
    folder: TempDir,
}

impl Proxy {
    /// Starts a proxy in front of the target, and waits until it has answered a request.
    pub(crate) fn start(
        kind: Kind,
        target: SocketAddr,
        tls: &Tls,
        is_logged: bool,
    ) -> io::Result<Proxy> {
        let mut proxy = Proxy::spawn(kind, target, tls, is_logged)?;
        proxy.become_ready()?;
        Ok(proxy)
    }

    fn spawn(kind: Kind, target: SocketAddr, tls: &Tls, is_logged: bool) -> io::Result<Proxy> {
        let folder = tempfile::tempdir()?;
        let [plain, encrypted, admin] = free_addresses();
        let (logged, unlogged) = kind.without_log();
        let template = match is_logged {
            true => kind.configuration().to_owned(),
            false => kind.configuration().replacen(logged, unlogged, 1),
        };
        let configuration = template
            .replace("LISTEN_PORT", &plain.port().to_string())
            .replace("TLS_PORT", &encrypted.port().to_string())
            .replace("ADMIN_PORT", &admin.port().to_string())
            .replace("TARGET_PORT", &target.port().to_string())
            .replace("CERTIFICATES", &tls.folder().display().to_string())
            .replace("FOLDER", &folder.path().display().to_string());
        fs::write(folder.path().join("configuration"), configuration)?;
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "INT",
                "taskset",
                "--cpu-list",
                CORE,
                kind.program(),
            ])
            .args(kind.arguments())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("access.log"))?)
            .stderr(File::create(folder.path().join("said"))?)
            .spawn()?;
        Ok(Proxy {
            plain: Address {
                at: plain,
                tls: None,
            },
            encrypted: Address {
                at: encrypted,
                tls: Some(Arc::clone(tls.client())),
            },
            process,
            folder,
        })
    }

    fn become_ready(&mut self) -> io::Result<()> {
        let ended = |proxy: &mut Proxy| {
            proxy
                .process
                .try_wait()
                .is_ok_and(|status| status.is_some())
        };
        if eventually(|| ended(self) || self.answers().is_ok()) && !ended(self) {
            return Ok(());
        }
        let said = fs::read_to_string(self.folder.path().join("said"))?;
        let lines: Vec<&str> = said.lines().take(10).collect();
        Err(io::Error::other(format!(
            "does not get ready:\n{}",
            lines.join("\n")
        )))
    }

    fn answers(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.plain.at, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(protocol::REQUEST)?;
        let mut answer = Vec::new();
        while !protocol::is_answer(&answer)? {
            let mut bytes = [0; 1024];
            match stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend(&bytes[..count]),
            }
        }
        Ok(())
    }

    /// Its processes: the one that was started, and those that it started.
    pub(crate) fn processes(&self) -> io::Result<Vec<u32>> {
        let main = self.process.id();
        Ok([vec![main], measure::children(main)?].concat())
    }

    /// Waits until its access log has this many lines. Errors: it does not get them.
    pub(crate) fn has_logged(&self, exchanges: usize) -> io::Result<()> {
        let path = self.folder.path().join("access.log");
        let lines = || fs::read(&path).map_or(0, |text| memchr::memchr_iter(b'\n', &text).count());
        if eventually(|| lines() >= exchanges) {
            return Ok(());
        }
        let lines = lines();
        Err(io::Error::other(format!(
            "{lines} lines in the access log for {exchanges} exchanges"
        )))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let children = measure::children(self.process.id()).unwrap_or_default();
        kill_process(Pid::from_child(&self.process), Signal::INT).ok();
        if eventually(|| self.process.try_wait().is_ok_and(|status| status.is_some())) {
            return;
        }
        let children = children
            .iter()
            .filter_map(|pid| Pid::from_raw(pid.cast_signed()));
        for child in children {
            kill_process(child, Signal::KILL).ok();
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn eventually(mut happens: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if happens() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    false
}
