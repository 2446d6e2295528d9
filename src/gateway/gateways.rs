//! Has what comes of the files serve beside the rest, and again whenever one of them has changed.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::lines::Line;
use super::maker::{Listen, Made, Maker};
use crate::config::Config;
use crate::config::fault::Fault;
use crate::config::model::{self, Origin};
use crate::config::objects::{Others, check, with};
use crate::listener::Sockets;
use crate::serving::file_watch::Watch;
use crate::serving::{self, Serving};
use crate::telemetry::metrics::Conditions;

/// A file that is in no folder: the folder is watched for new ones by it.
const ANY: &str = ".any";
/// How often an address that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What serves of the Gateway API.
pub struct Gateways {
    serving: Arc<Serving>,
    /// Whoever makes something new has it until that serves.
    state: Mutex<State>,
    /// What is read; nobody waits for the other.
    shown: Mutex<Arc<Shown>>,
    watch: Mutex<Option<Watch>>,
}

/// What is made, and what was.
#[derive(Default)]
pub struct State {
    maker: Maker,
    shown: Arc<Shown>,
    /// What was told in the diagnostics, so that only what is new is told.
    told: HashSet<String>,
    /// Why what was made last does not serve.
    refused: Vec<String>,
    conditions: Conditions,
    is_short: bool,
}

/// What there is to see.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// The objects with their statuses.
    pub objects: Vec<Value>,
    /// What could not be read, and what no condition tells, a line each.
    pub problems: Vec<String>,
    /// The files.
    files: Vec<PathBuf>,
}

/// A configuration with what its `gateway` asks for beside, for the start; with the sockets of the
/// process before, if there was one. What cannot serve is told, and left out.
pub fn open(config: Config, sockets: &mut Sockets) -> (Config, State) {
    let mut state = State::default();
    let Some(gateway) = config.gateway.clone() else {
        return (config, state);
    };
    let mut listen = |address| sockets.prepare(address, true);
    let made = state.maker.make(&config, &gateway, &mut listen);
    let others = state.note(made, &gateway);
    let beside = with(&config, Origin::Gateway, others);
    match check(&beside) {
        Ok(()) => (beside, state),
        Err(faults) => {
            for fault in faults {
                log::error!("gateway: {fault}: nothing of it is served");
            }
            (config, state)
        }
    }
}

/// A configuration with what its `gateway` asks for beside, which nobody serves, and what there is
/// to say of it, a line each; `listen` is asked for each address.
pub fn offline(config: Config, listen: Listen<'_>) -> (Config, Vec<String>) {
    let Some(gateway) = config.gateway.clone() else {
        return (config, Vec::new());
    };
    let made = Maker::default().make(&config, &gateway, listen);
    let lines = made.statuses.lines();
    let lines = lines.iter().map(ToString::to_string);
    let told = made.problems.into_iter().chain(lines).collect();
    (with(&config, Origin::Gateway, made.others), told)
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

fn try_to_listen(address: SocketAddr) -> io::Result<()> {
    Sockets::default().listen(address, true).map(drop)
}

impl State {
    /// Keeps what came of it, and tells what is new.
    fn note(&mut self, made: Made, gateway: &model::Gateway) -> Others {
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
            objects: made.statuses.to_json(&gateway.controller_name),
            problems,
            files: made.files,
        });
        self.told = now;
        self.is_short = made.is_short;
        made.others
    }

    /// Keeps why that does not serve, if it does not, and tells what is new. All of it is made anew
    /// at the next try then.
    fn refuse(&mut self, faults: Vec<Fault>) {
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

impl Gateways {
    /// Goes on from what serves since the start.
    pub fn new(serving: Arc<Serving>, state: State) -> Self {
        serving.metrics.gateway.show(state.conditions.clone());
        Gateways {
            serving,
            shown: Mutex::new(Arc::clone(&state.shown)),
            state: Mutex::new(state),
            watch: Mutex::default(),
        }
    }

    /// Has what comes of the files serve whenever one of them has changed, and from time to time
    /// where something could not be had.
    pub async fn follow(self: Arc<Self>) {
        let (changed, mut changes) = mpsc::channel(1);
        let gateways = Arc::clone(&self);
        // The other end stays here: without a watch nothing comes, and no end either.
        let watch = Watch::start_for(move || gateways.files(), changed.clone());
        *self.watch.lock() = Some(watch);
        loop {
            let is_changed = timeout(AGAIN, changes.recv()).await.is_ok();
            if !is_changed && !self.state.lock().is_short {
                continue;
            }
            let gateways = Arc::clone(&self);
            if let Err(error) = spawn_blocking(move || gateways.renew()).await {
                log::error!("gateway: {error}");
            }
        }
    }

    /// Reads the files again, and serves what comes of them. What cannot serve is told; what was
    /// served before goes on then.
    pub fn renew(&self) {
        let began = Instant::now();
        let mut state = self.state.lock();
        let config = self.serving.config();
        let listeners = &self.serving.listeners;
        if listeners.is_closed() || self.serving.drain.has_begun() {
            return;
        }
        let gateway = config.gateway.clone().unwrap_or_default();
        let ours: HashSet<SocketAddr> = config
            .forwarding_rules
            .iter()
            .filter(|rule| rule.source.origin() == Origin::Gateway)
            .map(|rule| rule.listen)
            .collect();
        let made = state.maker.make(
            &config,
            &gateway,
            &mut |address| match ours.contains(&address) {
                true => Ok(()),
                false => try_to_listen(address),
            },
        );
        let objects = serving::Objects {
            others: state.note(made, &gateway),
            renamed: Vec::new(),
        };
        let put = self
            .serving
            .put_objects(Origin::Gateway, objects, &mut || Ok(()));
        state.refuse(put.err().unwrap_or_default());
        *self.shown.lock() = Arc::clone(&state.shown);
        let metrics = &self.serving.metrics.gateway;
        metrics.show(state.conditions.clone());
        metrics.changed(began.elapsed());
        if let Some(watch) = &*self.watch.lock() {
            watch.look();
        }
    }

    /// What is to be watched: the files, and whatever comes to their folders.
    fn files(&self) -> Vec<PathBuf> {
        let config = self.serving.config();
        let manifests = config.gateway.iter().flat_map(|gateway| &gateway.manifests);
        let mut files = self.shown.lock().files.clone();
        for path in manifests {
            files.push(path.clone());
            if path.is_dir() {
                files.push(path.join(ANY));
            }
        }
        files
    }

    /// What there is to see.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.lock())
    }
}
