//! What the configuration makes of the API's target groups and forwarding rules. Those that have
//! not changed since they were last looked at are those that serve.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::canonical::{self, Names, named_groups};
use super::error::Problem;
use super::file_objects;
use super::kind::Kind;
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::state::Warnings;
use crate::config::model::{Check, Config, ForwardingRule, Source, TargetGroup, WebSocketChecks};
use crate::config::objects::{self, Others, Read, WebSocketUse};
use crate::config::problem;
use crate::serving;

/// What the configuration makes of objects.
#[derive(Debug, Default, Clone)]
pub struct Models {
    groups: HashMap<ResourcePath, Known<TargetGroup>>,
    rules: HashMap<ResourcePath, Known<ForwardingRule>>,
}

/// An object that was looked at.
#[derive(Debug)]
struct Known<T> {
    object: Arc<Object>,
    /// What the target groups are called that it names.
    named: Vec<Option<String>>,
    /// Whether its HTTP check is acted on as a TCP check.
    is_converted: bool,
    model: Arc<T>,
    warnings: Vec<String>,
}

/// An object that the configuration cannot have.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) path: ResourcePath,
    pub(super) problems: Vec<Problem>,
}

/// What there is in a configuration already, by the API's paths.
struct Present<'a> {
    config: &'a Config,
    groups: HashMap<&'a str, &'a Arc<TargetGroup>>,
    rules: HashMap<&'a str, &'a Arc<ForwardingRule>>,
}

impl Models {
    /// What this configuration makes of these objects. What it has of them already stays what it
    /// is, where the object has not changed.
    pub(super) fn build(&self, objects: &Objects, config: &Config) -> Result<Self, Invalid> {
        let present = Present::in_config(config);
        let labels = Labels { objects, config };
        let mut models = Models::default();
        for (path, object) in ours(objects, Kind::ForwardingRule) {
            let rule = self.rule(path, object, &labels, &present)?;
            models.rules.insert(path.clone(), rule);
        }
        let rules = models.rules.values().map(|known| &known.model);
        let of_file = config
            .forwarding_rules
            .iter()
            .filter(|rule| rule.source == Source::File);
        let uses = objects::web_socket_uses(rules.chain(of_file));
        let converts = config
            .api
            .as_ref()
            .is_some_and(|api| api.web_socket_checks == WebSocketChecks::Convert);
        for (path, object) in ours(objects, Kind::TargetGroup) {
            let used = uses.get(object.label());
            let group = self.group(path, object, used, converts, &present)?;
            models.groups.insert(path.clone(), group);
        }
        Ok(models)
    }

    /// What is served with; and the groups that are called something else than before.
    pub(super) fn objects(&self, before: &Models) -> serving::Objects {
        let renamed = self.groups.iter().filter_map(|(path, group)| {
            let (before, now) = (&before.groups.get(path)?.model.name, &group.model.name);
            (before != now).then(|| (before.clone(), now.clone()))
        });
        serving::Objects {
            renamed: renamed.collect(),
            others: Others {
                target_groups: sorted(&self.groups),
                forwarding_rules: sorted(&self.rules),
                certificates: Vec::new(),
            },
        }
    }

    /// What is worth a warning.
    pub(super) fn warnings(&self) -> Warnings {
        let groups = self
            .groups
            .iter()
            .map(|(path, known)| (path, &known.warnings));
        let rules = self
            .rules
            .iter()
            .map(|(path, known)| (path, &known.warnings));
        let all = groups
            .chain(rules)
            .filter(|(_, warnings)| !warnings.is_empty());
        all.map(|(path, warnings)| (path.clone(), warnings.clone()))
            .collect()
    }

    fn rule(
        &self,
        path: &ResourcePath,
        object: &Arc<Object>,
        labels: &Labels<'_>,
        present: &Present<'_>,
    ) -> Result<Known<ForwardingRule>, Invalid> {
        let ids = named_groups(&object.properties);
        let named: Vec<_> = ids.iter().map(|id| labels.target_group(id)).collect();
        let known = self
            .rules
            .get(path)
            .filter(|known| Arc::ptr_eq(&known.object, object) && known.named == named);
        if let Some(known) = known {
            // One that another node serves is not there.
            let model = present.rules.get(path.as_str()).copied();
            return Ok(known.with(Arc::clone(model.unwrap_or(&known.model))));
        }
        let value = canonical::forwarding_rule(&object.properties, object.label(), labels);
        let groups: HashSet<&str> = named.iter().flatten().map(String::as_str).collect();
        let certificates = present.config.certificates.iter();
        let certificates = certificates.map(|one| one.name.as_str()).collect();
        let source = Source::Api(path.as_str().into());
        let read = objects::forwarding_rule(&value, PLACE, source, &groups, &certificates);
        let read = read.map_err(|problems| invalid(path, problems))?;
        let mut known = Known::new(object, named, read);
        known
            .warnings
            .extend(canonical::warnings(&object.properties));
        Ok(known)
    }

    fn group(
        &self,
        path: &ResourcePath,
        object: &Arc<Object>,
        used: Option<&WebSocketUse>,
        converts: bool,
        present: &Present<'_>,
    ) -> Result<Known<TargetGroup>, Invalid> {
        let is_converted = converts && used.is_some_and(|used| used.is_only);
        let warning = used.and_then(|used| web_socket_warning(object, used, is_converted));
        let known = self.groups.get(path).filter(|known| {
            Arc::ptr_eq(&known.object, object) && known.is_converted == is_converted
        });
        if let Some((known, model)) = known.zip(present.groups.get(path.as_str())) {
            let mut known = known.with(Arc::clone(model));
            known
                .warnings
                .retain(|warning| !warning.starts_with(WEB_SOCKETS));
            known.warnings.extend(warning);
            return Ok(known);
        }
        let value = canonical::target_group(&object.properties, object.label());
        let source = Source::Api(path.as_str().into());
        let read = objects::target_group(&value, PLACE, source, &present.config.certificates);
        let mut read = read.map_err(|problems| invalid(path, problems))?;
        if is_converted && let Check::Http(_) = read.object.health_check.check {
            read.object.health_check.check = Check::Tcp;
        }
        let mut known = Known::new(object, Vec::new(), read);
        known.is_converted = is_converted;
        known.warnings.extend(warning);
        Ok(known)
    }
}

/// Where the places of problems begin.
const PLACE: &str = "properties";
/// What the warning of HTTP checks begins with.
const WEB_SOCKETS: &str = "httpHealthCheck: ";

fn web_socket_warning(group: &Object, used: &WebSocketUse, is_converted: bool) -> Option<String> {
    let has_http = group.properties.contains_key("httpHealthCheck");
    let rule = used.rules.first().filter(|_| has_http)?;
    let what = match is_converted {
        true => "it is acted on as a TCP check: api.webSocketChecks",
        false => "a target that answers no plain requests fails it, and is unavailable",
    };
    Some(format!(
        "{WEB_SOCKETS}the HTTP rule {rule:?} forwards WebSockets here: {what}"
    ))
}

fn invalid(path: &ResourcePath, problems: Vec<problem::Problem>) -> Invalid {
    let problems = problems.into_iter();
    let problems = problems.map(|problem| Problem::new(problem.path, problem.message));
    let (path, problems) = (path.clone(), problems.collect());
    Invalid { path, problems }
}

/// The API's own objects of a kind.
fn ours(objects: &Objects, kind: Kind) -> impl Iterator<Item = (&ResourcePath, &Arc<Object>)> {
    objects.all(kind).filter(|(_, object)| !object.is_of_file)
}

/// In the order of their paths: the same for the same objects.
fn sorted<T>(known: &HashMap<ResourcePath, Known<T>>) -> Vec<Arc<T>> {
    let mut all: Vec<_> = known.iter().collect();
    all.sort_by_key(|(path, _)| *path);
    all.into_iter()
        .map(|(_, known)| Arc::clone(&known.model))
        .collect()
}

impl<T> Known<T> {
    fn new(object: &Arc<Object>, named: Vec<Option<String>>, read: Read<T>) -> Self {
        Known {
            object: Arc::clone(object),
            named,
            is_converted: false,
            model: Arc::new(read.object),
            warnings: read.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn with(&self, model: Arc<T>) -> Self {
        Known {
            model,
            ..self.clone()
        }
    }
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        Known {
            object: Arc::clone(&self.object),
            named: self.named.clone(),
            is_converted: self.is_converted,
            model: Arc::clone(&self.model),
            warnings: self.warnings.clone(),
        }
    }
}

impl<'a> Present<'a> {
    fn in_config(config: &'a Config) -> Self {
        let groups = config
            .target_groups
            .iter()
            .filter_map(|group| match &group.source {
                Source::Api(path) => Some((&**path, group)),
                Source::File | Source::Gateway(_) => None,
            });
        let rules = config
            .forwarding_rules
            .iter()
            .filter_map(|rule| match &rule.source {
                Source::Api(path) => Some((&**path, rule)),
                Source::File | Source::Gateway(_) => None,
            });
        Present {
            config,
            groups: groups.collect(),
            rules: rules.collect(),
        }
    }
}

/// What ids stand for in the configuration.
struct Labels<'a> {
    objects: &'a Objects,
    config: &'a Config,
}

impl Names for Labels<'_> {
    fn target_group(&self, id: &str) -> Option<String> {
        let path = ResourcePath::of(Kind::TargetGroup, None, &id.to_ascii_lowercase());
        let group = self.objects.get(&path)?;
        Some(group.label().to_owned())
    }

    fn certificate(&self, id: &str) -> Option<String> {
        let mut names = self.config.certificates.iter().map(|one| &one.name);
        let found = names.find(|name| file_objects::certificate_id(name) == id);
        found.cloned()
    }
}
