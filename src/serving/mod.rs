//! What serves now: built from a configuration, and changed in place by the next one.
//!
//! A change has a depth: the whole of the configuration, one target group, or what is decided about
//! one target, which changes its group. A reload reads, checks and builds the whole of the new
//! configuration before anything of the old is touched; where that fails nothing has changed.
//! Whatever the depth, tunnels are left alone, but for those whose target is gone or is to be
//! emptied: they are evicted, slowly.

mod adoption;
mod apply;
mod certificate_renewal;
mod change;
mod control;
pub mod file_watch;
mod former_names;
mod group_changes;
mod objects;
mod overrides;
mod places;
mod rehearsal;
mod reload;
mod reuse;
mod shared_keys;
mod sockets;
mod style;
mod target_evictions;
pub mod trial;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::acme::{Challenges, Renewals};
use crate::config::fault::{Fault, Object};
use crate::config::problem::Problem;
use crate::config::secret_key::SecretKey;
use crate::config::{Config, model};
use crate::dns::Names;
use crate::drain::{Cause, Drain, Evictions, Gauges, TargetId};
use crate::forwarding_rule::ForwardingRule;
use crate::listener::control::ControlListener;
use crate::listener::{Listeners, Sockets};
use crate::os::reserve;
use crate::overload::Overload;
use crate::target_group::{Ejection, Fleet, Overrides, TargetGroup};
use crate::telemetry::access_log::{AccessLog, Output};
use crate::telemetry::metrics::Metrics;
use crate::tls::Tickets;
pub use adoption::Former;
use change::New;
pub use change::{Changes, Keep};
use former_names::FormerNames;
pub use objects::Objects;
use parking_lot::Mutex;
use places::most_connections;
pub use places::shares;
pub use shared_keys::SharedKeys;
use sockets::NewSockets;
use style::style;

/// What serves now.
pub struct Serving {
    /// The target groups.
    pub fleet: Arc<Fleet>,
    /// The listeners.
    pub listeners: Arc<Listeners>,
    /// The listener of the admin address.
    pub admin: ControlListener,
    /// The listener of the API, where one is offered.
    pub api: Option<ControlListener>,
    /// The end of the process.
    pub drain: Arc<Drain>,
    /// The guard of the memory.
    pub overload: Arc<Overload>,
    /// The access log.
    pub log: AccessLog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the configuration is read from again; `None` if it is no file.
    path: Option<PathBuf>,
    /// What seals session tickets.
    pub tickets: Tickets,
    /// What challenges of ACME are answered with.
    pub challenges: Arc<Challenges>,
    /// How far the certificates are that are issued by ACME.
    pub renewals: Arc<Renewals>,
    evictions: Evictions,
    /// The names of targets.
    pub names: Names,
    /// The target groups with the addresses of their names, without the overrides.
    groups: Mutex<Arc<Vec<Arc<model::TargetGroup>>>>,
    config: Mutex<Arc<Config>>,
    /// What target groups were called while tunnels of theirs were opened.
    former_names: Mutex<FormerNames>,
    /// What is wrong with files on disk, and was told.
    faults: Mutex<Vec<String>>,
    snapshot: Mutex<Snapshot>,
    /// Held while anything is changed.
    overrides: Mutex<Overrides>,
    last_reload: Mutex<Option<Reload>>,
    started: Instant,
}

/// What was built from the configuration and the overrides.
#[derive(Default, Clone)]
pub struct Snapshot {
    /// The forwarding rules, as written.
    pub rules: Vec<Arc<ForwardingRule>>,
    /// The target groups, as written.
    pub groups: Vec<Arc<TargetGroup>>,
    /// What the rules were built from.
    rule_models: Vec<Arc<model::ForwardingRule>>,
    /// What the groups were built from.
    group_models: Vec<Arc<model::TargetGroup>>,
}

/// How a reload ended.
#[derive(Debug, Clone)]
pub struct Reload {
    /// When.
    pub at: SystemTime,
    /// What was wrong; nothing where the configuration was applied.
    pub problems: Vec<String>,
    /// What it changed.
    pub changes: Changes,
}

/// The secrets of a process, which go to the one that succeeds it.
#[derive(Default)]
pub struct Secrets {
    /// What seals session tickets.
    pub tickets: Tickets,
    /// The key of sticky cookies; `None` for a new one.
    pub stickiness: Option<SecretKey>,
}

/// What a process has found out, for the one that succeeds it.
#[derive(Default)]
pub struct Knowledge {
    /// The targets that do not pass their health checks.
    pub unhealthy: Vec<TargetId>,
    /// The targets that are ejected.
    pub ejected: Vec<Ejection>,
    /// What the names of targets resolve to.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl Serving {
    /// Builds all that a configuration asks for; it is of the file at this path, if there is one.
    /// Some sockets and keys may be there already, and something be known. Errors: every socket and
    /// file that cannot be had.
    pub fn build(
        path: Option<&Path>,
        config: Config,
        sockets: &mut Sockets,
        secrets: Secrets,
        knowledge: Knowledge,
    ) -> Result<Self, Vec<Problem>> {
        let config = Arc::new(config);
        let built = Self::begin(path, &config, sockets, secrets, knowledge);
        built.map_err(|faults| problems(faults, &config, path.is_some()))
    }

    fn begin(
        path: Option<&Path>,
        config: &Arc<Config>,
        sockets: &mut Sockets,
        secrets: Secrets,
        mut knowledge: Knowledge,
    ) -> Result<Self, Vec<Fault>> {
        let one = |message: &dyn ToString| vec![Fault::new(Object::Process, message.to_string())];
        let metrics = Arc::new(Metrics::new().map_err(|error| one(&error))?);
        let names = Names::new(Arc::clone(&metrics));
        names.inherit(std::mem::take(&mut knowledge.addresses), config);
        names.learn(config);
        let groups = names.expand_all(&config.target_groups);
        let new = NewSockets::listen(config, None, sockets);
        let (new, output) = both(new, output(config))?;
        let mut log = AccessLog::start(
            output,
            |path| reserve::with(1, || Output::open(Some(path))),
            style(config),
            metrics.process.access_log_dropped.clone(),
        )
        .map_err(|error| vec![fault("accessLog", error)])?;
        if let Some(folder) = &config.access_log.journal {
            log.keep_journal(folder)
                .map_err(|error| vec![fault("accessLog.journal", error)])?;
        }
        let drain = Arc::new(Drain::new(Gauges {
            draining: metrics.process.draining.clone(),
            remaining: metrics.process.drain_remaining.clone(),
            lost: metrics.process.access_log_dropped.clone(),
        }));
        let overload = Arc::new(Overload::new(drain.began(), metrics.process.memory.clone()));
        let (threads, guard) = (config.server.threads, Arc::clone(&overload));
        let listeners = Listeners::new(Arc::clone(&drain), log.clone(), threads, guard)
            .map_err(|error| vec![fault("server.threads", error)])?;
        let (address, socket) = new.admin.ok_or_else(Vec::new)?;
        let key = secrets.stickiness.or_else(SecretKey::random);
        let key = key.ok_or_else(|| one(&"the system gives no random numbers"))?;
        let fleet = Arc::new(Fleet::new(Arc::clone(&metrics), key));
        let serving = Serving {
            fleet,
            listeners: Arc::new(listeners),
            admin: ControlListener::new("admin.listen", address, socket),
            api: new
                .api
                .map(|(address, socket)| ControlListener::new("api.listen", address, socket)),
            evictions: Evictions::new(Arc::clone(&drain.tunnels)),
            drain,
            overload,
            log,
            metrics,
            tickets: secrets.tickets,
            challenges: Arc::default(),
            renewals: Arc::default(),
            names,
            groups: Mutex::new(Arc::new(groups)),
            path: path.map(Path::to_owned),
            config: Mutex::new(Arc::clone(config)),
            former_names: Mutex::default(),
            faults: Mutex::default(),
            snapshot: Mutex::default(),
            overrides: Mutex::default(),
            last_reload: Mutex::default(),
            started: Instant::now(),
        };
        serving.begin_to_serve(knowledge, new.listeners)?;
        Ok(serving)
    }

    fn begin_to_serve(
        &self,
        knowledge: Knowledge,
        sockets: HashMap<SocketAddr, TcpListener>,
    ) -> Result<(), Vec<Fault>> {
        let Knowledge {
            unhealthy, ejected, ..
        } = knowledge;
        self.fleet.inherit(unhealthy, ejected);
        let new = New {
            config: &self.config(),
            groups: &self.target_groups(),
            renamed: &[],
            sockets,
        };
        self.apply(new, &mut || Ok(()))?;
        self.metrics.process.configured();
        Ok(())
    }

    /// The configuration that is applied.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock())
    }

    /// What requests are served with.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().clone()
    }

    /// What an operator has decided over the configuration.
    pub fn overrides(&self) -> Overrides {
        self.overrides.lock().clone()
    }

    /// How the last reload ended.
    pub fn last_reload(&self) -> Option<Reload> {
        self.last_reload.lock().clone()
    }

    /// How long it has been there.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The configuration's path.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The listeners of the control addresses.
    pub fn control(&self) -> impl Iterator<Item = &ControlListener> {
        [Some(&self.admin), self.api.as_ref()].into_iter().flatten()
    }

    /// Accepts nothing at the start, but when it is told to resume: another process still does.
    pub fn hold(&self) {
        self.listeners.hold();
        self.control().for_each(ControlListener::hold);
    }

    /// Whether everything is there for accepting.
    pub fn is_started(&self) -> bool {
        self.listeners.is_started() && self.control().all(ControlListener::is_started)
    }

    /// Stops accepting. Whoever shares the sockets accepts.
    pub fn pause(&self) {
        self.listeners.pause();
        self.control().for_each(ControlListener::pause);
    }

    /// Accepts again.
    pub fn resume(&self) {
        self.listeners.resume();
        self.control().for_each(ControlListener::resume);
    }

    /// Takes away what is only of use while this process runs.
    pub fn end(&self) {
        self.control().for_each(ControlListener::remove);
    }

    /// Gives up the sockets, and checks no health any more: both are another process's.
    pub fn leave(&self) {
        // Nothing else changes meanwhile.
        let _overrides = self.overrides.lock();
        self.listeners.close();
        self.control().for_each(ControlListener::close);
        self.fleet.forget();
        self.names.wake();
        self.evictions
            .evict(Cause::Health, |_| true, HashMap::new());
    }

    /// Shares out the open files and the memory where this is the configuration.
    fn limit(&self, config: &Config) {
        let shares = shares(config);
        self.listeners
            .limit(most_connections(config, shares), shares.standing);
        self.overload.limit(config.server.memory.limit);
        let has_own_records = config.server.tunnel_records == model::TunnelRecords::Own;
        self.drain.tunnels.use_own_records(has_own_records);
    }

    /// What an object of this configuration is called: by its place in the file, or by its name
    /// where there is none.
    fn called(&self, object: &Object, config: &Config) -> String {
        let place = self.path.as_ref().and_then(|_| object.place(config));
        place.unwrap_or_else(|| object.to_string())
    }
}

fn targets(
    groups: &[Arc<model::TargetGroup>],
) -> impl Iterator<Item = (&model::TargetGroup, &model::Target)> {
    let groups = groups.iter().map(Arc::as_ref);
    groups.flat_map(|group| group.targets.iter().map(move |target| (group, target)))
}

/// Faults as problems of a configuration, which may be a file.
fn problems(faults: Vec<Fault>, config: &Config, is_file: bool) -> Vec<Problem> {
    let faults = faults.into_iter();
    faults
        .map(|fault| fault.into_problem(config, is_file))
        .collect()
}

fn output(config: &Config) -> Result<Output, Fault> {
    let path = config.access_log.path.as_deref();
    Output::open(path).map_err(|error| fault("accessLog.path", error))
}

/// Both results, or all that is wrong with either.
fn both<A, B>(
    first: Result<A, Vec<Fault>>,
    second: Result<B, Fault>,
) -> Result<(A, B), Vec<Fault>> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Ok(_), Err(fault)) => Err(vec![fault]),
        (Err(faults), second) => Err(second.err().into_iter().chain(faults).collect()),
    }
}

fn fault(setting: &'static str, message: impl ToString) -> Fault {
    Fault::new(Object::Setting(setting), message)
}
