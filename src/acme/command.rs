//! The operator's command for DNS-01: `COMMAND add NAME VALUE` makes a TXT record and returns once
//! it can be asked for; `COMMAND remove NAME VALUE` removes it.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::model::DnsCommand;

/// How much of what it says is kept.
const KEPT: usize = 4096;
/// How long what it has said may take to come, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a service manager has told us, and nobody else.
const OURS: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A record that the command makes or removes.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// `_acme-challenge.chat.example.com`
    pub(super) name: String,
    /// What it says.
    pub(super) value: String,
    /// The name of the certificate.
    pub(super) certificate: String,
}

/// Runs the command for a record. Errors say what it said.
pub(super) async fn run(command: &DnsCommand, verb: &str, record: &Record) -> Result<(), String> {
    let path = command.words.first().map_or("", String::as_str);
    let told = |why: String| format!("{path} {verb} {}: {why}", record.name);
    let mut child = start(command, verb, record).map_err(|error| told(error.to_string()))?;
    let group = Group(child.id());
    let said = [
        child.stdout.take().map(listen),
        child.stderr.take().map(listen),
    ];
    let status = match timeout(command.timeout, child.wait()).await {
        Ok(status) => status.map_err(|error| told(error.to_string()))?,
        Err(_) => {
            group.kill();
            let limit = command.timeout;
            return Err(told(format!("took longer than commandTimeout, {limit:?}")));
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut words = String::new();
    for said in said.into_iter().flatten() {
        if let Ok(Ok(said)) = timeout(LAST_WORDS, said).await {
            words.push_str(&said);
        }
    }
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    Err(told(match last {
        Some(last) => format!("{status}: {}", last.trim()),
        None => status.to_string(),
    }))
}

fn start(command: &DnsCommand, verb: &str, record: &Record) -> std::io::Result<Child> {
    let [program, words @ ..] = &*command.words else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    let mut child = Command::new(program);
    child
        .args(words)
        .args([verb, &record.name, &record.value])
        .env("CULVERT_CERTIFICATE", &record.certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for name in OURS {
        child.env_remove(name);
    }
    child.spawn()
}

/// A command with all that it has started; dropping it leaves them alone.
struct Group(Option<u32>);

impl Group {
    fn kill(&self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended just now.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Reads all that is said, and keeps the beginning.
fn listen(mut from: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut kept, mut part) = (Vec::new(), [0; 1024]);
        while let Ok(length @ 1..) = from.read(&mut part).await {
            let room = KEPT - kept.len();
            kept.extend_from_slice(&part[..length.min(room)]);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str, limit: Duration) -> Result<(), String> {
        let words = ["/bin/sh", "-c", script, "hook"];
        let command = DnsCommand {
            words: words.map(str::to_owned).to_vec(),
            timeout: limit,
        };
        let record = Record {
            name: "_acme-challenge.a.example".to_owned(),
            value: "value".to_owned(),
            certificate: "chat".to_owned(),
        };
        run(&command, "add", &record).await
    }

    #[tokio::test]
    async fn a_command_is_told_what_to_do_and_says_why_it_cannot() {
        let minute = Duration::from_secs(60);
        let knows = "test \"$*\" = 'add _acme-challenge.a.example value' && \
             test \"$CULVERT_CERTIFICATE\" = chat";
        assert_eq!(said(knows, minute).await, Ok(()));
        let fails = said("echo first; echo 'no such zone' >&2; exit 3", minute).await;
        let expected = "/bin/sh add _acme-challenge.a.example: exit status: 3: no such zone";
        assert_eq!(fails, Err(expected.to_owned()));
        let talks = said("yes | head -c 200000; exit 1", minute).await;
        assert!(talks.unwrap_err().ends_with("exit status: 1: y"));
        let endless = said("sleep 1000 & wait", Duration::from_millis(50)).await;
        let expected = "/bin/sh add _acme-challenge.a.example: took longer than commandTimeout, \
             50ms";
        assert_eq!(endless, Err(expected.to_owned()));
    }
}
