//! The proxies that are compared: each starts as a process of its own, on a core of its own, with
//! one thread for the traffic.
//!
//! Their configurations lie beside this file and say the same in four languages. A proxy that is
//! dropped is ended, with all its processes and its folder; the system ends it too, should the
//! bench be killed.

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
/// What the configuration is called, whatever its language: Envoy reads no other.
const CONFIGURATION: &str = "configuration.yaml";
const PATIENCE: Duration = Duration::from_secs(30);

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ours.
    Culvert,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// Envoy.
    Envoy,
}

impl Kind {
    /// All of them, ours first.
    pub(crate) const ALL: [Kind; 4] = [Kind::Culvert, Kind::Haproxy, Kind::Nginx, Kind::Envoy];

    /// As it calls itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Culvert => "Culvert",
            Kind::Haproxy => "HAProxy",
            Kind::Nginx => "nginx",
            Kind::Envoy => "Envoy",
        }
    }

    /// Its version. Errors: it is not installed.
    pub(crate) fn version(self) -> io::Result<String> {
        let said = match self {
            Kind::Culvert => return Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Kind::Haproxy | Kind::Nginx => Command::new(self.program()).arg("-v").output(),
            Kind::Envoy => Command::new(self.program()).arg("--version").output(),
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
            .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(number.unwrap_or("unknown").to_owned())
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Culvert => env!("CARGO_BIN_EXE_culvert"),
            Kind::Haproxy => "haproxy",
            Kind::Nginx => "nginx",
            Kind::Envoy => "envoy",
        }
    }

    /// Its configuration, with a log of plain requests or without; what is to be filled in stands
    /// there in capitals.
    pub(crate) fn configuration(self, is_logged: bool) -> String {
        let (logged, unlogged) = self.without_log();
        match is_logged {
            true => self.template().to_owned(),
            false => self.template().replacen(logged, unlogged, 1),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Kind::Culvert => include_str!("culvert.yaml"),
            Kind::Haproxy => include_str!("haproxy.cfg"),
            Kind::Nginx => include_str!("nginx.conf"),
            Kind::Envoy => include_str!("envoy.yaml"),
        }
    }

    /// What to write instead of what, so that plain requests leave no line.
    fn without_log(self) -> (&'static str, &'static str) {
        match self {
            Kind::Culvert => ("access.log}", "access.log, sample: 0}"),
            Kind::Haproxy => ("    log global\n", ""),
            Kind::Nginx => ("access_log FOLDER/access.log combined", "access_log off"),
            Kind::Envoy => ("access_log: *log", "access_log: []"),
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Kind::Culvert => &["-c", CONFIGURATION],
            Kind::Haproxy => &["-db", "-f", CONFIGURATION],
            Kind::Nginx => &["-p", ".", "-e", "stderr", "-c", CONFIGURATION],
            Kind::Envoy => &[
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
                "-c",
                CONFIGURATION,
            ],
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) plain: Address,
    /// Where it listens with TLS.
    pub(crate) encrypted: Address,
    /// The process that was started.
    pub(crate) process: Child,
    /// Where it runs.
    pub(crate) folder: TempDir,
}

impl Proxy {
    /// Starts a proxy in front of the target, and waits until it has answered a request.
    pub(crate) fn start(
        kind: Kind,
        target: SocketAddr,
        tls: &Tls,
        is_logged: bool,
    ) -> io::Result<Proxy> {
        let command = ["taskset", "--cpu-list", CORE, kind.program()];
        let configuration = kind.configuration(is_logged);
        let mut proxy = Proxy::spawn(kind, &command, &configuration, target, tls)?;
        proxy.become_ready(Proxy::answers)?;
        Ok(proxy)
    }

    /// Starts a proxy by this command, which its arguments follow, with this configuration, once
    /// that is filled in.
    pub(crate) fn spawn(
        kind: Kind,
        command: &[&str],
        configuration: &str,
        target: SocketAddr,
        tls: &Tls,
    ) -> io::Result<Proxy> {
        let folder = tempfile::tempdir()?;
        let [plain, encrypted, admin] = free_addresses();
        let configuration = configuration
            .replace("LISTEN_PORT", &plain.port().to_string())
            .replace("TLS_PORT", &encrypted.port().to_string())
            .replace("ADMIN_PORT", &admin.port().to_string())
            .replace("TARGET_PORT", &target.port().to_string())
            .replace("CERTIFICATES", &tls.folder().display().to_string())
            .replace("FOLDER", &folder.path().display().to_string());
        fs::write(folder.path().join(CONFIGURATION), configuration)?;
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "INT"])
            .args(command)
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

    /// Waits until it is ready by this measure. Errors: it has ended, or is not ready in time.
    pub(crate) fn become_ready(
        &mut self,
        is_ready: impl Fn(&Proxy) -> io::Result<()>,
    ) -> io::Result<()> {
        let ended = |proxy: &mut Proxy| {
            proxy
                .process
                .try_wait()
                .is_ok_and(|status| status.is_some())
        };
        if eventually(|| ended(self) || is_ready(self).is_ok()) && !ended(self) {
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
