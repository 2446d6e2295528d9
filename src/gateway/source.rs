//! A cluster as the source of objects, with what was taken from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache;
use super::cluster::Cluster;
use super::held::{Change, Held};
use super::maker::Objects;
use super::news::News;
use super::references;
use super::report::Report;
use super::statuses::Statuses;
use super::store::Store;
use crate::config::model;

/// How long a start waits for the API server, and how long where there is a cache.
const FIRST: Duration = Duration::from_secs(10);
const FIRST_WITH_CACHE: Duration = Duration::from_secs(5);
/// How long a change waits for Secrets to which it refers.
const SECRETS: Duration = Duration::from_secs(2);
/// How often the cache is written at most.
const CACHED: Duration = Duration::from_secs(10);

/// A cluster, with what was taken from it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) cluster: Arc<Cluster>,
    controller: String,
    held: Held,
    /// Whether it is known what there is, be it from the cache.
    is_known: bool,
    cache: Option<PathBuf>,
    /// When the cache was written, and whether it is old.
    written: Option<Instant>,
    is_old: bool,
    /// Why the cache cannot be written.
    trouble: String,
    /// The newest version of an object that was seen when it was taken.
    revision: u64,
}

impl Source {
    /// The cluster that is to be followed, if there is one, with what is known of it: from its
    /// server if it answers soon, or else from the cache. Errors: it cannot be followed at all.
    pub(super) fn open(gateway: &model::Gateway) -> Result<Option<Self>, String> {
        let Some(settings) = &gateway.kubernetes else {
            return Ok(None);
        };
        let cluster = Cluster::follow(gateway, settings);
        let cluster = cluster.map_err(|why| format!("gateway.kubernetes: {why}"))?;
        let mut source = Source {
            cluster: Arc::new(cluster),
            controller: gateway.controller_name.clone(),
            held: Held::default(),
            is_known: false,
            cache: gateway.cache.clone(),
            written: None,
            is_old: false,
            trouble: String::new(),
            revision: 0,
        };
        let longest = match source.cache {
            Some(_) => FIRST_WITH_CACHE,
            None => FIRST,
        };
        match source.cluster.wait(longest) {
            true => drop(source.take(Change::All)),
            false => source.read_cache(),
        }
        Ok(Some(source))
    }

    fn read_cache(&mut self) {
        log::warn!("gateway.kubernetes: it is not known yet what the API server has");
        let Some(path) = &self.cache else { return };
        match cache::read(path, &self.controller) {
            Ok(entries) => {
                let path = path.display();
                log::warn!(
                    "gateway.cache: {path}: what was kept serves: {} objects",
                    entries.len()
                );
                let mut news = News::default();
                entries.into_iter().for_each(|entry| news.put(entry));
                self.held.take(news);
                self.is_known = true;
            }
            Err(why) => log::error!("gateway.cache: {}: {why}", path.display()),
        }
    }

    /// Whether it is known what there is.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    pub(super) fn store(&self) -> &Store {
        self.held.store()
    }

    pub(super) fn objects(&self) -> Objects<'_> {
        Objects {
            store: self.held.store(),
            is_alone: false,
            bundle: self.cluster.bundle(),
        }
    }

    /// Takes what was told, with the Secrets to which it refers. What that concerns, and at least
    /// this; `None` as long as nothing is known.
    pub(super) fn take(&mut self, least: Change) -> Option<Change> {
        let Some(news) = self.cluster.take() else {
            // What the cache had serves until the server is heard of.
            return (self.is_known && least == Change::All).then_some(least);
        };
        self.is_known = true;
        let mut change = self.held.take(news);
        change.join(least);
        self.revision = self.cluster.newest();
        if change != Change::All {
            return Some(change);
        }
        let wanted = references::of(self.held.store(), &self.controller);
        if self.cluster.want(wanted, SECRETS)
            && let Some(news) = self.cluster.take()
        {
            self.held.take(news);
        }
        Some(change)
    }

    /// Tells the cluster what serves now, and what is told of the objects.
    pub(super) fn report(&self, statuses: Statuses, is_served: bool) {
        let mut report = Report::of(self.held.store(), statuses, self.held.seen());
        report.is_served = is_served;
        self.cluster.report(Arc::new(report));
    }

    /// Keeps what serves, or will be kept soon.
    pub(super) fn keep(&mut self, is_served: bool) {
        self.is_old |= is_served;
        self.flush();
    }

    /// Writes the cache, if it is old and was not written just now.
    pub(super) fn flush(&mut self) {
        let Some(path) = &self.cache else { return };
        let is_new = self
            .written
            .is_some_and(|written| written.elapsed() < CACHED);
        if !self.is_old || is_new {
            return;
        }
        self.written = Some(Instant::now());
        match cache::write(path, &self.controller, &self.held.texts()) {
            Ok(()) => {
                self.is_old = false;
                self.trouble.clear();
            }
            Err(error) => {
                let why = format!("{}: cannot be written: {error}", path.display());
                if self.trouble != why {
                    log::error!("gateway.cache: {why}");
                    self.trouble = why;
                }
            }
        }
    }

    /// How many objects there are of each kind.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, i64> {
        self.held.counts()
    }

    /// The newest version of an object that was seen when it was taken.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}
