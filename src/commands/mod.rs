//! The commands that talk to a running process, over its admin address.
//!
//! Each asks the API and shows the answer: a table, or with `--json` what the process said. An
//! error is what the operator reads.

mod answer;
mod api;
mod certificates;
mod client;
mod config;
mod doctor;
mod explain;
mod gateway;
mod manual;
pub mod offline;
mod status;
mod table;
mod top;
mod tunnels;

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{Command, GatewayCommand, LogLevel, Reached};
use crate::config::schema;
use crate::gateway::crds;
use answer::shown;
use client::Client;

/// Carries a command out; returns what to print. `None` where it is no command for a running
/// process.
pub fn run(command: &Command, conf: &Path) -> Option<Result<String, String>> {
    Some(match command {
        Command::Status(reached) => get(reached, conf, "/api/v1/status", status::show),
        Command::Config(asked) => config::run(asked, conf),
        Command::Gateway(asked) => match asked.other {
            Some(GatewayCommand::Crds) => Ok(crds::text().trim_end().to_owned()),
            None => get(&asked.reached, conf, "/api/v1/gateway", gateway::show),
        },
        Command::Certificates(asked) => certificates::run(asked, conf),
        Command::Tunnels(asked) => tunnels::list(asked, conf),
        Command::Kill(asked) => tunnels::kill(asked, conf),
        Command::Drain(reached) => drain(reached, conf),
        Command::Reload(asked) => config::reload(asked, conf),
        Command::Schema => Ok(schema::text()),
        Command::Doctor(reached) => doctor::examine(reached, conf),
        Command::LogLevel(asked) => log_level(asked, conf),
        Command::Top(reached) => top::run(reached, conf).map(|()| String::new()),
        Command::Explain(asked) => explain::explain(asked, conf),
        Command::Api(kept) => api::run(kept, conf),
        Command::Man { directory } => manual::pages(directory),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Demo { .. } | Command::Upgrade { .. } | Command::Launch { .. } => return None,
    })
}

fn get(
    reached: &Reached,
    conf: &Path,
    path: &str,
    show: impl FnOnce(&Value) -> String,
) -> Result<String, String> {
    let answer = Client::find(reached, conf)?.ask("GET", path, None)?;
    Ok(shown(reached, &answer, show))
}

fn log_level(asked: &LogLevel, conf: &Path) -> Result<String, String> {
    const PATH: &str = "/api/v1/loglevel";
    let client = Client::find(&asked.reached, conf)?;
    let answer = match asked.level.as_deref() {
        None => client.ask("GET", PATH, None)?,
        Some("default") => client.ask("PUT", PATH, Some(&json!({"level": null})))?,
        Some(level) => client.ask("PUT", PATH, Some(&json!({"level": level})))?,
    };
    let words = |answer: &Value| answer["level"].as_str().unwrap_or_default().to_owned();
    Ok(shown(&asked.reached, &answer, words))
}

fn drain(reached: &Reached, conf: &Path) -> Result<String, String> {
    let answer = Client::find(reached, conf)?.ask("POST", "/api/v1/drain", Some(&json!({})))?;
    Ok(shown(reached, &answer, drained))
}

/// What a drain is going to do, in words.
fn drained(answer: &Value) -> String {
    let seconds = |key: &str| answer[key].as_u64().unwrap_or(0) as f64 / 1000.0;
    let (open, rate) = (&answer["openTunnels"], &answer["tunnelsPerSecond"]);
    let deadline = seconds("deadlineMs");
    if open.as_u64() == Some(0) {
        return format!("culvert: drains, at most for {deadline} s; no tunnel is open");
    }
    let tunnels = if open.as_u64() == Some(1) {
        "tunnel"
    } else {
        "tunnels"
    };
    format!(
        "culvert: drains {open} {tunnels}, {rate} a second, from {} s to {} s from now; what is \
         left after {deadline} s ends at once",
        seconds("beginsMs"),
        seconds("endsMs"),
    )
}
