//! All of it at once: from files to what stands beside the configuration file's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use super::clashes::leave_out;
use super::compile::{Compiler, Settings};
use super::compiled::{Compiled, Socket};
use super::lower::{Lowerer, address_of, name_of};
use super::manifests::Loader;
use super::notes::Note;
use super::objects::{Kind, Name};
use super::statuses::Statuses;
use super::store::Store;
use crate::config::Config;
use crate::config::model::{self, ListenAddress, Origin, Source};
use crate::config::objects::Others;

/// How often it is compiled anew because an address could not be had.
const TRIES: usize = 8;

/// Tries to listen on an address.
pub type Listen<'a> = &'a mut dyn FnMut(SocketAddr) -> io::Result<()>;

/// Makes it, again and again; what has not changed is not made again.
#[derive(Debug, Default)]
pub struct Maker {
    loader: Loader,
    compiler: Compiler,
    lowerer: Lowerer,
    /// What was told before, for the times of conditions.
    statuses: Statuses,
    /// What came of it last.
    others: Others,
}

/// From what it is made.
#[derive(Debug)]
pub struct Objects<'a> {
    /// The objects.
    pub store: &'a Store,
    /// Whether they are all that there are, as those of files.
    pub is_alone: bool,
    /// The version of the CRDs, in a cluster.
    pub bundle: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Made {
    /// What serves.
    pub others: Others,
    /// What is told of the objects.
    pub statuses: Statuses,
    /// What could not be read, and what no condition tells, a line each.
    pub problems: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Whether there are addresses that could not be had, so that it is worth another try later.
    pub is_short: bool,
}

impl Maker {
    /// What comes of the files that this configuration names, beside the rest of it.
    pub fn make(&mut self, config: &Config, gateway: &model::Gateway, listen: Listen<'_>) -> Made {
        let found = self.loader.load(&gateway.manifests);
        let store = Store::of(found.objects);
        let objects = Objects {
            store: &store,
            is_alone: true,
            bundle: None,
        };
        let mut made = self.make_of(objects, config, gateway, listen);
        let problems = found.problems.iter().map(ToString::to_string);
        made.problems = problems.chain(made.problems).collect();
        made.files = found.files;
        made
    }

    /// What comes of these objects, beside the rest of this configuration.
    pub fn make_of(
        &mut self,
        objects: Objects,
        config: &Config,
        gateway: &model::Gateway,
        listen: Listen<'_>,
    ) -> Made {
        let (store, clashes) = leave_out(objects.store, config);
        let mut settings = settings(config, gateway);
        settings.is_alone = objects.is_alone;
        settings.bundle = objects.bundle;
        let (compiled, is_short) = self.compile(&store, &mut settings, listen);
        self.statuses.clone_from(&compiled.statuses);
        let sources = sources(&compiled.sockets);
        let source = |name: &str| {
            let own = sources.get(name).cloned();
            Source::Gateway(own.unwrap_or_else(|| format!("Service {name}")).into())
        };
        // In a cluster others may have use for a policy.
        let is_ours = |note: &&Note| objects.is_alone || note.kind != Kind::BackendTlsPolicy;
        let notes = clashes.iter().chain(&compiled.notes).filter(is_ours);
        let notes = notes.map(|note| match objects.is_alone {
            true => format!("{}: {note}", note.place),
            false => note.to_string(),
        });
        self.others = self.lowerer.lower(&compiled, &source);
        Made {
            others: self.others.clone(),
            problems: notes.collect(),
            statuses: compiled.statuses,
            files: Vec::new(),
            is_short,
        }
    }

    /// What came of it last, with the endpoints that these Services have now.
    pub fn with_endpoints(&mut self, store: &Store, services: &BTreeSet<Name>) -> Others {
        for service in services {
            for (name, endpoints) in self.compiler.endpoints_of(store, service) {
                let Some(lowered) = self.lowerer.with_endpoints(&name, &endpoints) else {
                    continue;
                };
                let groups = &mut self.others.target_groups;
                let place = groups.binary_search_by(|group| (*group.name).cmp(&name));
                if let Ok(place) = place {
                    groups[place] = lowered;
                }
            }
        }
        self.others.clone()
    }

    /// What was told of the objects last.
    pub fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// Makes all of it anew the next time.
    pub fn begin_anew(&mut self) {
        self.lowerer = Lowerer::default();
    }

    /// What comes of the objects, without the addresses that cannot be had.
    fn compile(
        &mut self,
        store: &Store,
        settings: &mut Settings,
        listen: Listen<'_>,
    ) -> (Compiled, bool) {
        let mut is_short = false;
        for _ in 0..TRIES {
            let now = SystemTime::now();
            let compiled = self.compiler.compile(store, settings, &self.statuses, now);
            let sockets = compiled.sockets.iter().map(|socket| socket.address);
            let refused: Vec<_> = sockets
                .filter_map(|address| listen(address).err().map(|error| (address, error)))
                .collect();
            if refused.is_empty() {
                return (compiled, is_short);
            }
            is_short = true;
            for (address, error) in refused {
                match error.kind() {
                    io::ErrorKind::AddrNotAvailable => _ = settings.unusable.insert(address.ip()),
                    _ => _ = settings.taken.insert(address),
                }
            }
        }
        (Compiled::default(), true)
    }
}

fn settings(config: &Config, gateway: &model::Gateway) -> Settings {
    let tcp = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    };
    let api = config.api.as_ref().and_then(|api| tcp(&api.listen));
    let own = [tcp(&config.admin.listen), api].into_iter().flatten();
    let rules = config.forwarding_rules.iter();
    let rules = rules.filter(|rule| rule.source.origin() != Origin::Gateway);
    // What is called as a rule of ours would be has its place, too.
    let named = rules.clone().filter_map(|rule| address_of(&rule.name));
    Settings {
        controller: gateway.controller_name.clone(),
        addresses: gateway.addresses.clone(),
        is_alone: true,
        unusable: BTreeSet::new(),
        taken: own
            .chain(rules.map(|rule| rule.listen))
            .chain(named)
            .collect(),
        bundle: None,
    }
}

/// Which Gateways a forwarding rule is of, by its name.
fn sources(sockets: &[Socket]) -> BTreeMap<String, String> {
    let of = |socket: &Socket| {
        let names = socket.listeners.iter().map(|one| &*one.name);
        let gateways = names.filter_map(|name| name.rsplit_once('/').map(|(gateway, _)| gateway));
        let gateways: BTreeSet<&str> = gateways.collect();
        let gateways: Vec<String> = gateways
            .iter()
            .map(|one| format!("Gateway {one}"))
            .collect();
        (name_of(socket.address), gateways.join(", "))
    };
    sockets.iter().map(of).collect()
}
