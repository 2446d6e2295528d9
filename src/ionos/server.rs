//! Serves what the API is told: its objects become a configuration beside the file's.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{ApiError, INVALID, Problem, TAKEN};
use super::file_objects::{self, FileObjects};
use super::kind::Kind;
use super::local_addresses::{self, Served};
use super::models::{Invalid, Models};
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::serve::{Keep, Serve};
use super::state::{Standing, Warnings};
use crate::config::fault::{self, Fault};
use crate::config::model::Origin;
use crate::config::model::{self, Config};
use crate::config::objects::{check, with};
use crate::drain::Elsewhere;
use crate::serving::{self, Serving, SharedKeys};

/// How many addresses of a block are looked at.
const MOST_IPS: usize = 1 << 16;

/// Serves the objects of the API.
pub struct Server {
    serving: Arc<Serving>,
    models: Mutex<Models>,
    served: Mutex<Served>,
    of_file: Mutex<OfFile>,
}

/// What the API shows of the file, made once for each.
#[derive(Default)]
struct OfFile {
    written: Option<Arc<model::Written>>,
    objects: Arc<FileObjects>,
}

/// Listens for a rule, before anything is served.
pub(super) type Listen<'a> = &'a mut dyn FnMut(&model::ForwardingRule) -> io::Result<()>;

/// A file's configuration with these objects beside, for the start. Errors: what cannot be used,
/// with its path.
pub(super) fn configure(file: &Config, objects: Objects) -> Result<(Config, Models), Vec<String>> {
    let configured = configure_and_listen(file, objects, &mut |_| Ok(()));
    configured.map_err(|error| error.messages.into_iter().map(|(_, text)| text).collect())
}

/// The same, with a look whether it can be listened on. Errors: what cannot be used, and which
/// objects that are.
pub(super) fn configure_and_listen(
    file: &Config,
    mut objects: Objects,
    listen: Listen<'_>,
) -> Result<(Config, Models), ApiError> {
    if let Some(api) = &file.api {
        let of_file = file_objects::objects(api).into_iter();
        objects.apply(of_file.map(|(path, object)| (path, Some(object))));
    }
    let models = Models::default().build(&objects, file).map_err(|invalid| {
        let problems = invalid.problems.iter();
        let path = &invalid.path;
        let text = |one: &Problem| format!("api {path}: {}: {}", one.path, one.message);
        let texts: Vec<String> = problems.map(text).collect();
        let culprits = vec![(path.clone(), texts.join("; "))];
        unusable(texts, culprits)
    })?;
    let built = served_by(&models, &models, &Served::by(file.api.as_ref()));
    let config = with(file, Origin::Api, built.others);
    let mut faults = check(&config).err().unwrap_or_default();
    if faults.is_empty() {
        faults = cannot_listen(&config, listen);
    }
    if faults.is_empty() {
        return Ok((config, models));
    }
    let culprits = culprits(&faults, &objects);
    let name = |fault: Fault| fault.into_problem(&config, true).to_string();
    Err(unusable(faults.into_iter().map(name).collect(), culprits))
}

fn unusable(texts: Vec<String>, culprits: Vec<(ResourcePath, String)>) -> ApiError {
    let messages = texts.into_iter().map(|text| (INVALID, text));
    ApiError {
        status: 422,
        messages: messages.collect(),
        culprits,
    }
}

/// Which rules of the API cannot be listened for.
fn cannot_listen(config: &Config, listen: Listen<'_>) -> Vec<Fault> {
    let rules = config.forwarding_rules.iter();
    let rules = rules.filter(|rule| rule.source.origin() == Origin::Api);
    let fault = |rule: &Arc<model::ForwardingRule>| {
        let error = listen(rule).err()?;
        let message = format!("cannot listen on {}: {error}", rule.listen);
        let object = fault::Object::ForwardingRule(rule.name.clone());
        Some(Fault::new(object, message).of_key("listenerIp"))
    };
    rules.filter_map(fault).collect()
}

/// The API's objects that faults are about, with what is wrong.
fn culprits(faults: &[Fault], objects: &Objects) -> Vec<(ResourcePath, String)> {
    let mut found = Vec::new();
    for fault in faults {
        let (kind, name) = match &fault.object {
            fault::Object::ForwardingRule(name) => (Kind::ForwardingRule, name),
            fault::Object::TargetGroup(name) => (Kind::TargetGroup, name),
            fault::Object::Process | fault::Object::Setting(_) => continue,
        };
        let is_it = |(_, object): &(&ResourcePath, &Arc<Object>)| {
            !object.is_of_file && object.label() == name
        };
        let named = objects.all(kind).filter(is_it);
        found.extend(named.map(|(path, _)| (path.clone(), fault.to_string())));
    }
    found
}

/// What is served with, of these models, after those.
fn served_by(models: &Models, before: &Models, served: &Served) -> serving::Objects {
    let mut objects = models.objects(before);
    objects
        .others
        .forwarding_rules
        .retain(|rule| served.has(rule));
    objects
}

impl Server {
    /// Goes on from what is served, which these are.
    pub fn new(serving: Arc<Serving>, models: Models) -> Self {
        let served = Served::by(serving.config().api.as_ref());
        Server {
            serving,
            served: Mutex::new(served),
            models: Mutex::new(models),
            of_file: Mutex::default(),
        }
    }

    /// Has these served in the place of those before. `label` is what the configuration calls the
    /// object that is written.
    fn put(
        &self,
        (built, objects): (Models, &Objects),
        models: &mut Models,
        keep: Keep<'_>,
        label: Option<&str>,
    ) -> Result<Warnings, ApiError> {
        let mut kept = Ok(());
        let mut keep = || {
            kept = keep();
            match &kept {
                Ok(()) => Ok(()),
                Err(error) => Err(Fault::new(fault::Object::Setting("api.store"), error)),
            }
        };
        let served = Served::by(self.serving.config().api.as_ref());
        let now = served_by(&built, models, &served);
        let put = self.serving.put_objects(Origin::Api, now, &mut keep);
        match (put, kept) {
            (Ok(()), _) => {}
            (Err(_), Err(error)) => return Err(error),
            (Err(faults), Ok(())) => {
                let culprits = culprits(&faults, objects);
                let error = cannot_serve(faults, label);
                return Err(ApiError { culprits, ..error });
            }
        }
        let warnings = built.warnings();
        tell(&warnings, &models.warnings());
        *models = built;
        *self.served.lock() = served;
        Ok(warnings)
    }

    fn api(&self) -> Option<model::Api> {
        self.serving.config().api.clone()
    }
}

impl Serve for Server {
    fn serve(
        &self,
        objects: &Objects,
        about: Option<&ResourcePath>,
        keep: Keep<'_>,
    ) -> Result<Warnings, ApiError> {
        let mut models = self.models.lock();
        let config = self.serving.config();
        let built = models.build(objects, &config);
        let built = built.map_err(|invalid| refused(invalid, about))?;
        let label = about.and_then(|about| objects.get(about));
        let label = label.map(|object| object.label());
        self.put((built, objects), &mut models, keep, label)
    }

    fn renew(&self, objects: &Objects) -> Result<Warnings, ApiError> {
        let mut models = self.models.lock();
        let config = self.serving.config();
        let built = Models::default().build(objects, &config);
        let built = built.map_err(|invalid| refused(invalid, None))?;
        self.put((built, objects), &mut models, &mut || Ok(()), None)
    }

    fn is_outdated(&self) -> bool {
        Served::by(self.serving.config().api.as_ref()) != *self.served.lock()
    }

    fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>> {
        let mut of_file = self.of_file.lock();
        if let Some(api) = self.api()
            && of_file
                .written
                .as_ref()
                .is_none_or(|known| !Arc::ptr_eq(known, &api.written))
        {
            of_file.objects = Arc::new(file_objects::objects(&api));
            of_file.written = Some(api.written);
        }
        Arc::clone(&of_file.objects)
    }

    fn is_former_name(&self, name: &str, label: Option<&str>) -> bool {
        self.serving.is_former_name(name, label)
    }

    fn any_datacenter(&self) -> bool {
        self.api().is_none_or(|api| api.datacenters.is_empty())
    }

    fn share_keys(&self, keys: SharedKeys) -> Result<(), String> {
        let shared = self.serving.share_keys(keys);
        shared.map_err(|faults| cannot_serve(faults, None).to_string())
    }

    fn show(&self, standing: Standing) {
        let Standing {
            store,
            is_available,
            is_known,
            known,
            served,
        } = standing;
        match is_known {
            true => self.serving.drain.knows_what_to_serve(Elsewhere::Api),
            false => self.serving.drain.waits_for_what_to_serve(Elsewhere::Api),
        }
        let metrics = &self.serving.metrics.process;
        metrics.show_api_store(store, is_available, known, served);
    }

    fn new_ips(&self, count: usize, taken: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
        let blocks = self.api().map(|api| api.addresses).unwrap_or_default();
        let all: Vec<IpAddr> = match blocks.is_empty() {
            true => local_addresses::reachable(),
            false => blocks
                .iter()
                .flat_map(|block| block.hosts().take(MOST_IPS))
                .collect(),
        };
        let free = all.into_iter().filter(|ip| !taken.contains(ip));
        let free: Vec<IpAddr> = free.take(count).collect();
        (free.len() == count).then_some(free)
    }
}

/// Says what is new.
pub(super) fn tell(now: &Warnings, before: &Warnings) {
    for (path, warnings) in now {
        let known = before.get(path).map_or(&[][..], Vec::as_slice);
        for warning in warnings.iter().filter(|one| !known.contains(one)) {
            log::warn!("api: {path}: {warning}");
        }
    }
}

/// The object itself is not valid, or another that it has to do with.
fn refused(invalid: Invalid, about: Option<&ResourcePath>) -> ApiError {
    let place = invalid.path.clone();
    let error = refused_for(invalid, about);
    let culprits = vec![(place, error.to_string())];
    ApiError { culprits, ..error }
}

fn refused_for(invalid: Invalid, about: Option<&ResourcePath>) -> ApiError {
    if about == Some(&invalid.path) {
        return ApiError::invalid(invalid.problems);
    }
    let (kind, id) = (invalid.path.kind().name(), invalid.path.id());
    let problems = invalid.problems.into_iter();
    let messages = problems.map(|one| {
        let message = format!("[(root)] the {kind} {id}: {}: {}", one.path, one.message);
        (INVALID, message)
    });
    ApiError {
        status: 422,
        messages: messages.collect(),
        culprits: Vec::new(),
    }
}

/// What stands in the way of serving it. `label` is what the configuration calls the object.
fn cannot_serve(faults: Vec<Fault>, label: Option<&str>) -> ApiError {
    let message = |fault: Fault| {
        let is_it = match &fault.object {
            fault::Object::ForwardingRule(name) | fault::Object::TargetGroup(name) => {
                label == Some(name)
            }
            fault::Object::Process | fault::Object::Setting(_) => false,
        };
        let code = match fault.key {
            Some("listenerPort") => TAKEN,
            _ => INVALID,
        };
        match fault.key {
            Some(_) if is_it => (
                code,
                format!("[(root).properties.listenerIp] {}", fault.message),
            ),
            _ if is_it => (code, format!("[(root)] {}", fault.message)),
            _ => (code, format!("[(root)] {fault}")),
        }
    };
    ApiError {
        status: 422,
        messages: faults.into_iter().map(message).collect(),
        culprits: Vec::new(),
    }
}
