//! What was made of the objects and what was told of them, from the start on.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::cluster;
use super::lines::Line;
use super::maker::{Listen, Made, Maker};
use super::manifests::Loader;
use super::source::Source;
use super::statuses::Statuses;
use crate::config::Config;
use crate::config::fault::Fault;
use crate::config::model::{self, Origin};
use crate::config::objects::{Others, check, with};
use crate::listener::Sockets;
use crate::telemetry::metrics::Conditions;

/// What is made, and what was.
#[derive(Default)]
pub struct State {
    pub(super) maker: Maker,
    /// The cluster whose objects they are, if they are not of files.
    pub(super) source: Option<Source>,
    pub(super) shown: Arc<Shown>,
    /// What was told in the diagnostics, so that only what is new is told.
    told: HashSet<String>,
    /// Why what was made last does not serve.
    pub(super) refused: Vec<String>,
    pub(super) conditions: Conditions,
    pub(super) is_short: bool,
}

/// What there is to see.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    statuses: Statuses,
    controller: String,
    /// What could not be read, and what no condition tells, a line each.
    pub problems: Vec<String>,
    /// The files.
    pub(super) files: Vec<PathBuf>,
}

impl Shown {
    /// The objects with their statuses.
    pub fn objects(&self) -> Vec<Value> {
        self.statuses.to_json(&self.controller)
    }
}

/// A configuration with what its `gateway` asks for beside, for the start; with the sockets of the
/// process before, if there was one. What cannot serve is told, and left out. Errors: nothing is
/// known of a cluster, and the process before knows more.
pub fn open(
    config: Config,
    sockets: &mut Sockets,
    succeeds: bool,
) -> Result<(Config, State), String> {
    let mut state = State::default();
    let Some(gateway) = config.gateway.clone() else {
        return Ok((config, state));
    };
    state.source = Source::open(&gateway)?;
    if succeeds
        && state
            .source
            .as_ref()
            .is_some_and(|source| !source.is_known())
    {
        let why = "gateway.kubernetes: nothing is known of what there is to serve";
        return Err(why.to_owned());
    }
    let mut listen = |address| sockets.prepare(address, true);
    let made = state.make(&config, &gateway, &mut listen);
    let others = state.note(made, &gateway);
    let beside = with(&config, Origin::Gateway, others);
    match check(&beside) {
        Ok(()) => Ok((beside, state)),
        Err(faults) => {
            for fault in faults {
                log::error!("gateway: {fault}: nothing of it is served");
            }
            state.refused = vec!["it is not served".to_owned()];
            state.is_short = true;
            Ok((config, state))
        }
    }
}

/// A configuration with what its `gateway` asks for beside, which nobody serves, and what there is
/// to say of it, a line each; `listen` is asked for each address. Of a cluster there is nothing.
pub fn offline(config: Config, listen: Listen<'_>) -> (Config, Vec<String>) {
    let Some(gateway) = config.gateway.clone() else {
        return (config, Vec::new());
    };
    if gateway.kubernetes.is_some() {
        return (config, Vec::new());
    }
    let made = Maker::default().make(&config, &gateway, listen);
    let lines = made.statuses.lines();
    let lines = lines.iter().map(ToString::to_string);
    let told = made.problems.into_iter().chain(lines).collect();
    (with(&config, Origin::Gateway, made.others), told)
}

/// What of the manifests that a configuration names cannot be read, and why a cluster that it names
/// cannot be asked, a line each.
pub fn unreadable(config: &Config) -> Vec<String> {
    let Some(gateway) = &config.gateway else {
        return Vec::new();
    };
    let wrong = gateway.kubernetes.as_ref().map(cluster::check);
    let wrong = wrong.and_then(Result::err);
    let wrong = wrong.map(|why| format!("gateway.kubernetes: {why}"));
    let found = Loader::default().load(&gateway.manifests);
    let problems = found.problems.iter().map(ToString::to_string);
    wrong.into_iter().chain(problems).collect()
}

/// How many conditions there are of each kind.
fn conditions(lines: &[Line]) -> Conditions {
    let mut conditions = Conditions::new();
    for line in lines {
        let condition = &line.condition;
        let labels = [line.kind.as_str(), condition.kind, condition.status.word()];
        *conditions.entry(labels).or_default() += 1;
    }
    conditions
}

impl State {
    /// Makes all of it.
    pub(super) fn make(
        &mut self,
        config: &Config,
        gateway: &model::Gateway,
        listen: Listen<'_>,
    ) -> Made {
        let Some(source) = &self.source else {
            return self.maker.make(config, gateway, listen);
        };
        let mut made = self
            .maker
            .make_of(source.objects(), config, gateway, listen);
        let troubles = source.cluster.troubles().into_iter();
        made.problems = troubles.chain(made.problems).collect();
        made
    }

    /// Keeps what came of it, and tells what is new.
    pub(super) fn note(&mut self, made: Made, gateway: &model::Gateway) -> Others {
        let problems = made.problems;
        let lines = made.statuses.lines();
        self.conditions = conditions(&lines);
        let bad = lines.into_iter();
        let bad = bad
            .filter(|line| line.is_bad())
            .map(|line| line.to_string());
        let now: HashSet<String> = problems.iter().cloned().chain(bad).collect();
        let mut new: Vec<&String> = now.difference(&self.told).collect();
        new.sort();
        for line in new {
            log::warn!("gateway: {line}");
        }
        self.shown = Arc::new(Shown {
            statuses: made.statuses,
            controller: gateway.controller_name.clone(),
            problems,
            files: made.files,
        });
        self.told = now;
        self.is_short = made.is_short;
        made.others
    }

    /// Keeps why that does not serve, if it does not, and tells what is new. All of it is made anew
    /// at the next try then.
    pub(super) fn refuse(&mut self, faults: Vec<Fault>) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        if !faults.is_empty() {
            self.is_short = true;
            self.maker.begin_anew();
        }
        for fault in faults.iter().filter(|fault| !self.refused.contains(fault)) {
            log::error!("gateway: {fault}: what was there before serves on");
        }
        self.refused = faults;
    }
}
