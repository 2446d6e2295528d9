//! `GET /api/v1/status`: what the process is, what it serves with, and how far it is with its end.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract;
use serde::Serialize;
use utoipa::ToSchema;

use super::history::RefusedFor;
use super::sample::Errors;
use super::target::Target;
use super::view::View;
use super::vitals::{Certificate, Connections, Files, LostLines, OldProcess};
use crate::config::model;
use crate::drain::Drain;
use crate::forwarding_rule::{ForwardingRule, Routes};
use crate::overload::State;
use crate::rules::{Action, Response};
use crate::serving::{Reload, Serving, Snapshot};
use crate::target_address::TargetAddress;
use crate::telemetry::metrics::Totals;

/// The process.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// What the node is called: `server.name`.
    node: String,
    version: &'static str,
    pid: u32,
    /// Since when it is there, in seconds.
    uptime_seconds: f64,
    /// Process ids: those that have handed over, and still hold tunnels.
    old_generations: Vec<u32>,
    /// The same, with what they hold.
    old_processes: Vec<OldProcess>,
    /// Whether nothing can be changed here: `admin.readOnly`.
    read_only: bool,
    drain: Progress,
    memory: Memory,
    files: Files,
    connections: Connections,
    certificates: Vec<Certificate>,
    lost_lines: LostLines,
    /// By reason, those for which there were any.
    refusals: Vec<RefusedFor>,
    configuration: Configuration,
    /// Open tunnels of this process.
    tunnels: usize,
    /// Open tunnels of old processes, as far as they have told.
    old_generation_tunnels: i64,
    /// What is listened on now: nothing, once a drain has closed it.
    listeners: Vec<Listener>,
    /// As written.
    forwarding_rules: Vec<Rule>,
    /// As written.
    target_groups: Vec<Group>,
}

/// How far the process is with its end.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Progress {
    /// `starting`, `serving` or `draining`.
    state: &'static str,
    /// Clients with a connection or a tunnel.
    open: usize,
    /// How many have gone since the drain began.
    closed: Option<usize>,
    /// To the drain's deadline.
    seconds_left: Option<u64>,
}

/// The memory at the last look.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Memory {
    /// What may be used; 0 where that cannot be found out.
    limit_bytes: u64,
    /// What is used of it.
    used_bytes: u64,
    /// What is done about it: nothing (`ample`), or `refusing`, `releasing`, `resetting`.
    level: &'static str,
    /// Requests and connections that were reset because it was short.
    resets: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    /// The file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reload: Option<LastReload>,
    /// How many targets are not as the file says, by `PATCH`.
    overrides: usize,
}

#[derive(Serialize, ToSchema)]
struct LastReload {
    /// RFC 3339.
    time: String,
    /// Whether it was applied; otherwise nothing has changed.
    applied: bool,
    /// Each with its place.
    problems: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Listener {
    /// `ip:port`
    address: String,
    forwarding_rule: String,
    tls: bool,
    /// Open connections, tunnels among them.
    connections: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    /// `ip:port`
    listen: String,
    /// In the order of evaluation.
    http_rules: Vec<HttpRule>,
    /// Requests that met none of them.
    unmatched: u64,
    /// Answers of 5xx where none was met.
    #[serde(flatten)]
    server_errors: ServerErrors,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HttpRule {
    name: String,
    /// `FORWARD`, `REDIRECT` or `STATIC`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Of a `FORWARD` rule with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_group: Option<String>,
    /// Of a `FORWARD` rule with several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_groups: Vec<WeightedGroup>,
    /// Exchanges that are over, since the process began.
    hits: u64,
    #[serde(flatten)]
    server_errors: ServerErrors,
}

/// Answers of 5xx.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServerErrors {
    /// Since the process began.
    server_errors: u64,
    /// In the last five minutes.
    lately_server_errors: u64,
}

#[derive(Serialize, ToSchema)]
struct WeightedGroup {
    name: String,
    weight: u32,
}

#[derive(Serialize, ToSchema)]
struct Group {
    name: String,
    /// As in the configuration.
    algorithm: &'static str,
    targets: Vec<Target>,
}

/// The process, and what it serves with.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(extract::State(view): extract::State<View>) -> Json<Status> {
    Json(Status::of(&view, &view.serving.metrics.totals()))
}

impl Status {
    pub(super) fn of(view: &View, totals: &Totals) -> Self {
        let before = view.history.errors_before();
        let (snapshot, config) = (view.serving.snapshot(), view.serving.config());
        Status {
            node: config.server.name.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: view.serving.uptime().as_secs_f64(),
            old_generations: view.old_processes.processes(),
            old_processes: OldProcess::all(view),
            read_only: config.admin.read_only,
            drain: Progress::of(&view.serving.drain),
            memory: Memory::of(view.serving.overload.state()),
            files: Files::now(),
            connections: Connections::of(view),
            certificates: Certificate::all(&config),
            lost_lines: LostLines::of(view),
            refusals: view.history.refused(totals),
            configuration: Configuration::of(&view.serving),
            tunnels: view.serving.drain.tunnels.count(),
            old_generation_tunnels: view.serving.metrics.old_generation_tunnels(),
            listeners: view
                .serving
                .listeners
                .rules()
                .iter()
                .map(Listener::of)
                .collect(),
            forwarding_rules: snapshot
                .rules
                .iter()
                .map(|rule| Rule::of(rule, &before))
                .collect(),
            target_groups: groups(&view.serving, &snapshot),
        }
    }
}

impl Progress {
    fn of(drain: &Drain) -> Self {
        let (state, progress) = match (drain.progress(), drain.is_ready()) {
            (Some(progress), _) => ("draining", Some(progress)),
            (None, true) => ("serving", None),
            (None, false) => ("starting", None),
        };
        Progress {
            state,
            open: drain.open(),
            closed: progress.map(|progress| progress.closed()),
            seconds_left: progress.map(|progress| progress.left().as_secs_f64().ceil() as u64),
        }
    }
}

impl Memory {
    fn of(state: State) -> Self {
        Memory {
            limit_bytes: state.limit,
            used_bytes: state.used,
            level: state.level.as_str(),
            resets: state.resets,
        }
    }
}

impl Configuration {
    fn of(serving: &Serving) -> Self {
        Configuration {
            path: serving.path().map(|path| path.display().to_string()),
            last_reload: serving.last_reload().map(LastReload::of),
            overrides: serving.overrides().count(),
        }
    }
}

impl LastReload {
    fn of(reload: Reload) -> Self {
        LastReload {
            time: humantime::format_rfc3339_millis(reload.at).to_string(),
            applied: reload.problems.is_empty(),
            problems: reload.problems,
        }
    }
}

impl Listener {
    fn of(rule: &Arc<ForwardingRule>) -> Self {
        Listener {
            address: rule.listen.to_string(),
            forwarding_rule: rule.name.to_string(),
            tls: rule.tls.is_some(),
            connections: rule.metrics.connections(),
        }
    }
}

impl Rule {
    fn of(rule: &Arc<ForwardingRule>, before: &Errors) -> Self {
        let errors =
            |http_rule: &str, now: u64| ServerErrors::of(now, before, &rule.name, http_rule);
        let http_rule = |http_rule: &crate::rules::Rule<Routes>| HttpRule {
            name: http_rule.name.to_string(),
            kind: word(&http_rule.action),
            target_group: match &http_rule.action {
                Action::Forward(routes) => routes.only().map(|route| route.group.name.to_string()),
                Action::Respond(_) => None,
            },
            target_groups: match &http_rule.action {
                Action::Forward(routes) if routes.only().is_none() => WeightedGroup::all(routes),
                Action::Forward(_) | Action::Respond(_) => Vec::new(),
            },
            hits: rule
                .http_rule(http_rule.index)
                .map_or(0, |counters| counters.total()),
            server_errors: rule
                .http_rule(http_rule.index)
                .map(|counters| errors(&http_rule.name, counters.server_errors()))
                .unwrap_or_default(),
        };
        Rule {
            name: rule.name.to_string(),
            listen: rule.listen.to_string(),
            http_rules: rule.rules.iter().map(http_rule).collect(),
            unmatched: rule.metrics.unmatched(),
            server_errors: errors("", rule.metrics.unmatched_errors()),
        }
    }
}

impl ServerErrors {
    fn of(now: u64, before: &Errors, rule: &str, http_rule: &str) -> Self {
        // Most rules have none.
        let key = || (rule.to_owned(), http_rule.to_owned());
        let before = (now > 0).then(|| before.get(&key()).copied()).flatten();
        ServerErrors {
            server_errors: now,
            lately_server_errors: now.saturating_sub(before.unwrap_or(0)),
        }
    }
}

impl WeightedGroup {
    fn all(routes: &Routes) -> Vec<Self> {
        let group = |(route, weight): (Arc<crate::forwarding_rule::Route>, u32)| WeightedGroup {
            name: route.group.name.to_string(),
            weight,
        };
        routes.iter().map(group).collect()
    }
}

/// The action's word in the configuration.
pub(super) fn word<G>(action: &Action<G>) -> &'static str {
    match action {
        Action::Forward(_) => "FORWARD",
        Action::Respond(Response::Redirect(_)) => "REDIRECT",
        Action::Respond(Response::Static(_)) => "STATIC",
    }
}

fn groups(serving: &Serving, snapshot: &Snapshot) -> Vec<Group> {
    let overrides = serving.overrides();
    let open = OpenTunnels::of(serving);
    let group = |group: &Arc<model::TargetGroup>| {
        let built = snapshot
            .groups
            .iter()
            .find(|built| *built.name == *group.name);
        let names = serving.names_of(&group.name);
        let target = |target: &model::Target| {
            let decided = overrides.of(&group.name, &target.address);
            let open = names
                .iter()
                .map(|name| open.to(name, &target.address))
                .sum();
            Target::of(target, built, decided, open)
        };
        Group {
            name: group.name.clone(),
            algorithm: group.algorithm.as_str(),
            targets: group.targets.iter().map(target).collect(),
        }
    };
    let effective = overrides.applied_to_all(&serving.target_groups());
    effective.iter().map(group).collect()
}

/// How many tunnels each target has, by its group and its address.
struct OpenTunnels(HashMap<(String, String), i64>);

impl OpenTunnels {
    fn of(serving: &Serving) -> Self {
        let mut open = HashMap::new();
        for child in serving.metrics.open_tunnels() {
            *open.entry((child.target_group, child.target)).or_default() += child.tunnels;
        }
        OpenTunnels(open)
    }

    fn to(&self, group: &str, target: &TargetAddress) -> i64 {
        let key = (group.to_owned(), target.to_string());
        self.0.get(&key).copied().unwrap_or(0)
    }
}
