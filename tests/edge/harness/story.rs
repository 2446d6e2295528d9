//! What IONOS' clients are played against: a Culvert with the API and a token, and nothing in its
//! file; and a [`Story`], a script that drives it.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::api::Api;
use super::{Config, soon};

/// The token of the API.
pub const TOKEN: &str = "0123456789abcdef";

/// A Culvert whose file has no rules and no groups, for clients that have the token; and the file
/// that it is in.
pub async fn start() -> (Api, NamedTempFile) {
    start_with(nothing(), "").await
}

/// The same with this configuration, and these further keys of `api`.
pub async fn start_with(config: Config, keys: &str) -> (Api, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, TOKEN).unwrap();
    let keys = format!("tokenFile: {}, {keys}", file.path().display());
    (Api::with(config, &keys).await, file)
}

/// A configuration without rules and groups.
pub fn nothing() -> Config {
    Config::new().top("forwardingRules: null")
}

/// A running script. It tells, in a line of JSON each, what is true now, and goes on when the test
/// has looked.
pub struct Story {
    script: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Story {
    /// Begins a script with the URL of the API and these ports as arguments; what it tells first
    /// comes too.
    pub async fn begin(script: Command, api: &Api, ports: &[SocketAddr]) -> (Story, Value) {
        let mut script = command(script, api, ports);
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().unwrap();
        let input = script.stdin.take().unwrap();
        let lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let mut story = Story {
            script,
            input,
            lines,
        };
        let told = story.told().await;
        (story, told)
    }

    /// Has it go on until it tells something again.
    pub async fn go_on(&mut self) -> Value {
        self.nod().await;
        self.told().await
    }

    /// Has it go on to its end, which is a good one.
    pub async fn end(mut self) {
        self.nod().await;
        let line = soon("the script ends", self.lines.next_line()).await;
        assert_eq!(line.unwrap(), None);
        finish(self.script).await;
    }

    async fn nod(&mut self) {
        // One that has ended has said why.
        self.input.write_all(b"\n").await.ok();
    }

    async fn told(&mut self) -> Value {
        let line = soon("the script tells something", self.lines.next_line()).await;
        if let Some(line) = line.unwrap() {
            return serde_json::from_str(&line).expect("a line is JSON");
        }
        let mut said = String::new();
        let errors = self.script.stderr.as_mut().unwrap();
        errors.read_to_string(&mut said).await.unwrap();
        panic!("the script said:\n{said}");
    }
}

/// Runs a script that tells nothing to its end, which is a good one.
pub async fn run(script: Command, api: &Api, ports: &[SocketAddr]) {
    let mut script = command(script, api, ports);
    script.stdin(Stdio::null()).stdout(Stdio::null());
    finish(script.spawn().unwrap()).await;
}

fn command(mut script: Command, api: &Api, ports: &[SocketAddr]) -> Command {
    script.arg(format!("http://{}", api.address));
    script.args(ports.iter().map(|address| address.port().to_string()));
    script.stderr(Stdio::piped());
    script
}

async fn finish(script: Child) {
    let output = soon("the script's end", script.wait_with_output()).await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script said:\n{said}");
}
