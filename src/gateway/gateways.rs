//! Has what comes of the objects serve beside the rest, and again whenever something of them has
//! changed.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::held::Change;
use super::objects::Name;
use super::state::{Shown, State};
use crate::config::Config;
use crate::config::model::{self, Origin};
use crate::config::objects::Others;
use crate::drain::Elsewhere;
use crate::listener::Sockets;
use crate::serving::file_watch::Watch;
use crate::serving::{self, Serving};

/// A file that is in no folder: the folder is watched for new ones by it.
const ANY: &str = ".any";
/// How often an address that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// What is put in place at once when several changes come together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often is looked whether this process still is the node.
const LOOK: Duration = Duration::from_secs(1);

/// What serves of the Gateway API.
pub struct Gateways {
    serving: Arc<Serving>,
    /// Whoever makes something new has it until that serves.
    state: Mutex<State>,
    cluster: Option<Arc<Cluster>>,
    /// What is read; nobody waits for the other.
    shown: Mutex<Arc<Shown>>,
    watch: Mutex<Option<Watch>>,
}

fn try_to_listen(address: SocketAddr) -> io::Result<()> {
    Sockets::default().listen(address, true).map(drop)
}

impl Gateways {
    /// Goes on from what serves since the start.
    pub fn new(serving: Arc<Serving>, state: State) -> Self {
        serving.metrics.gateway.show(state.conditions.clone());
        let source = state.source.as_ref();
        if let Some(source) = source {
            source.cluster.counts_in(Arc::clone(&serving.metrics));
            match source.is_known() {
                true => serving.drain.knows_what_to_serve(Elsewhere::Gateway),
                false => serving.drain.waits_for_what_to_serve(Elsewhere::Gateway),
            }
        }
        Gateways {
            cluster: source.map(|source| Arc::clone(&source.cluster)),
            serving,
            shown: Mutex::new(Arc::clone(&state.shown)),
            state: Mutex::new(state),
            watch: Mutex::default(),
        }
    }

    /// Has what comes of the objects serve whenever something has changed, and from time to time
    /// where something could not be had.
    pub async fn follow(self: Arc<Self>) {
        match &self.cluster {
            Some(cluster) => self.follow_cluster(cluster).await,
            None => self.follow_files().await,
        }
    }

    async fn follow_files(self: &Arc<Self>) {
        let (changed, mut changes) = mpsc::channel(1);
        let gateways = Arc::clone(self);
        // The other end stays here: without a watch nothing comes, and no end either.
        let watch = Watch::start_for(move || gateways.files(), changed.clone());
        *self.watch.lock() = Some(watch);
        loop {
            let is_changed = timeout(AGAIN, changes.recv()).await.is_ok();
            if is_changed || self.state.lock().is_short {
                self.spawn(Gateways::renew).await;
            }
        }
    }

    async fn follow_cluster(self: &Arc<Self>, cluster: &Cluster) {
        let Some(mut changes) = cluster.changes() else {
            return;
        };
        // What was told until now is in use.
        self.spawn(|gateways| gateways.renew_by(Change::All)).await;
        let mut tried = Instant::now();
        loop {
            let is_changed = timeout(LOOK, changes.recv()).await.is_ok();
            if self.is_over() {
                cluster.retire();
            }
            if is_changed {
                sleep(DEBOUNCE).await;
                self.spawn(|gateways| gateways.renew_by(Change::Nothing))
                    .await;
            } else if tried.elapsed() >= AGAIN {
                tried = Instant::now();
                self.spawn(Gateways::try_again).await;
            }
        }
    }

    async fn spawn(self: &Arc<Self>, what: impl FnOnce(&Gateways) + Send + 'static) {
        let gateways = Arc::clone(self);
        if let Err(error) = spawn_blocking(move || what(&gateways)).await {
            log::error!("gateway: {error}");
        }
    }

    /// Whether others serve from here on.
    fn is_over(&self) -> bool {
        self.serving.listeners.is_closed() || self.serving.drain.has_begun()
    }

    /// Reads all of it again, and serves what comes of it. What cannot serve is told; what was
    /// served before goes on then.
    pub fn renew(&self) {
        self.renew_by(Change::All);
    }

    fn try_again(&self) {
        let is_short = self.state.lock().is_short;
        if is_short {
            self.renew_by(Change::All);
        }
        if let Some(source) = &mut self.state.lock().source {
            source.flush();
        }
    }

    /// Serves what comes of what has changed since, as far as it concerns, and at least of this.
    fn renew_by(&self, least: Change) {
        let began = Instant::now();
        let mut state = self.state.lock();
        if self.is_over() {
            return;
        }
        let config = self.serving.config();
        let gateway = config.gateway.clone().unwrap_or_default();
        let change = match &mut state.source {
            None => Change::All,
            Some(source) => match source.take(least) {
                // Nothing is known yet.
                None => return,
                Some(change) => change,
            },
        };
        self.serving.drain.knows_what_to_serve(Elsewhere::Gateway);
        match &change {
            Change::Nothing => return,
            Change::Statuses => {}
            Change::Endpoints(services) => self.put_endpoints(&mut state, services),
            Change::All => self.put_all(&mut state, &config, &gateway),
        }
        self.report(&mut state, &change);
        self.serving.metrics.gateway.changed(began.elapsed());
        if let Some(watch) = &*self.watch.lock() {
            watch.look();
        }
    }

    fn put_all(&self, state: &mut State, config: &Config, gateway: &model::Gateway) {
        let rules = config.forwarding_rules.iter();
        let ours = rules.filter(|rule| rule.source.origin() == Origin::Gateway);
        let ours: HashSet<SocketAddr> = ours.map(|rule| rule.listen).collect();
        let made = state.make(
            config,
            gateway,
            &mut |address| match ours.contains(&address) {
                true => Ok(()),
                false => try_to_listen(address),
            },
        );
        let others = state.note(made, gateway);
        self.put(state, others);
        *self.shown.lock() = Arc::clone(&state.shown);
        self.serving.metrics.gateway.show(state.conditions.clone());
    }

    fn put_endpoints(&self, state: &mut State, services: &BTreeSet<Name>) {
        let State { maker, source, .. } = state;
        if let Some(source) = source {
            let others = maker.with_endpoints(source.store(), services);
            self.put(state, others);
        }
    }

    fn put(&self, state: &mut State, others: Others) {
        let objects = serving::Objects {
            others,
            renamed: Vec::new(),
        };
        let put = self
            .serving
            .put_objects(Origin::Gateway, objects, &mut || Ok(()));
        state.refuse(put.err().unwrap_or_default());
    }

    /// Tells a cluster what serves now.
    fn report(&self, state: &mut State, change: &Change) {
        let State {
            maker,
            source,
            refused,
            ..
        } = state;
        let Some(source) = source else { return };
        if !matches!(change, Change::Endpoints(_)) {
            source.report(maker.statuses().clone(), refused.is_empty());
            self.serving.metrics.gateway.show_objects(source.counts());
        }
        self.serving
            .metrics
            .gateway
            .show_revision(source.revision());
        source.keep(refused.is_empty());
    }

    /// Gives back what this node has among others; it does not wait long.
    pub async fn leave(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.leave().await;
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
