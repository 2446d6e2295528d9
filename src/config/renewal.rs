//! Files that a configuration names, read again while it serves: certificates with their keys,
//! those of the authorities that vouch for clients, the keys of session tickets, and blocks of
//! addresses.
//!
//! What cannot be used changes nothing: what was read before stays. Nor does a certificate that has
//! expired take the place of one that has not. The rest of the configuration is not read.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::model::{
    Blocks, BlocksFile, Certificate, ClientCertificates, Config, ForwardingRule, OwnCertificate,
    Subject, TargetGroup,
};
use super::problem::Problem;
use super::read;
use super::tree::{Findings, Node};

/// What came of it.
#[derive(Debug)]
pub struct Renewal {
    /// The configuration with what could be used.
    pub config: Config,
    /// What is new in it. If nothing is, it is the one before.
    pub changes: Vec<String>,
    /// What is allowed but hardly meant, in what is new.
    pub warnings: Vec<String>,
    /// What could not be used, with the file and the cause.
    pub faults: Vec<String>,
    /// Whether rules have other blocks of addresses.
    pub has_other_values: bool,
}

/// The files that are read again.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let pairs = config
        .certificates
        .iter()
        .filter_map(|one| one.files.as_ref());
    let mut files: Vec<_> = pairs
        .flat_map(|pair| [pair.chain.clone(), pair.key.clone()])
        .collect();
    let tickets = config.server.session_ticket_keys.as_ref();
    files.extend(tickets.and_then(|keys| keys.path.clone()));
    let tls = config.forwarding_rules.iter().flat_map(|rule| &rule.tls);
    let clients = tls.flat_map(|tls| &tls.client_certificates);
    files.extend(clients.filter_map(|clients| clients.ca_file.clone()));
    let lists = config
        .forwarding_rules
        .iter()
        .flat_map(|rule| values_files(rule));
    let lists: BTreeSet<&Path> = lists.map(|(_, _, file)| &*file.path).collect();
    files.extend(lists.into_iter().map(Path::to_owned));
    files
}

/// The files of a rule's conditions, with their places: of the HTTP rule, and in it.
fn values_files(rule: &ForwardingRule) -> impl Iterator<Item = (usize, usize, &BlocksFile)> {
    let rules = rule.http_rules.iter().enumerate();
    rules.flat_map(|(place, rule)| {
        let conditions = rule.conditions.iter().enumerate();
        conditions.filter_map(move |(number, condition)| match &condition.subject {
            Subject::SourceIpIn(file) => Some((place, number, file)),
            _ => None,
        })
    })
}

/// Reads them again.
pub fn renew(before: &Config) -> Renewal {
    let mut renewal = Renewal {
        config: before.clone(),
        changes: Vec::new(),
        warnings: Vec::new(),
        faults: Vec::new(),
        has_other_values: false,
    };
    for (place, certificate) in before.certificates.iter().enumerate() {
        renewal.certificate(place, certificate);
    }
    for place in 0..before.forwarding_rules.len() {
        renewal.authorities(place);
    }
    renewal.ticket_keys();
    renewal.values_files();
    show_to_targets(&mut renewal.config);
    renewal
}

/// Puts certificates of before in the place of those that have expired meanwhile on disk; returns
/// what is wrong with these.
pub fn keep_unexpired(before: &Config, now: &mut Config) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, new) in now.certificates.iter_mut().enumerate() {
        let mut old = before.certificates.iter();
        let is_old = |old: &&Certificate| old.name == new.name && old.files == new.files;
        if let Some(old) = old.find(is_old).filter(|old| is_worse(new, old)) {
            faults.push(expired(place, new));
            *new = old.clone();
        }
    }
    show_to_targets(now);
    faults
}

/// Has target groups show what is in `certificates` now.
pub fn show_to_targets(config: &mut Config) {
    for group in &mut config.target_groups {
        let Some(shown) = shown_by(group) else {
            continue;
        };
        let mut certificates = config.certificates.iter();
        let found = certificates.find(|one| one.name == shown.name);
        if let Some(found) = found.filter(|found| !Arc::ptr_eq(&found.key, &shown.key)) {
            let key = Arc::clone(&found.key);
            let tls = Arc::make_mut(group).tls.as_mut();
            if let Some(own) = tls.and_then(|tls| tls.client_certificate.as_mut()) {
                own.key = key;
            }
        }
    }
}

fn shown_by(group: &TargetGroup) -> Option<&OwnCertificate> {
    group.tls.as_ref()?.client_certificate.as_ref()
}

impl Renewal {
    fn certificate(&mut self, place: usize, before: &Certificate) {
        let Some(files) = &before.files else {
            return;
        };
        let (chain, key) = (&files.chain, &files.key);
        if before.stands_in && !chain.exists() {
            return;
        }
        let value = json!({"name": before.name, "certificateChain": chain, "privateKey": key});
        let at = format!("certificates[{place}]");
        let found = reading(&value, &at, read::certificate);
        let file = |problem: &Problem| match problem.path.ends_with("privateKey") {
            true => key.clone(),
            false => chain.clone(),
        };
        let Some((new, warnings)) = self.usable(found, file) else {
            return;
        };
        if new.key.cert == before.key.cert {
            return;
        }
        if is_worse(&new, before) {
            return self.faults.push(expired(place, &new));
        }
        let (name, end) = (&new.name, humantime::format_rfc3339_seconds(new.not_after));
        let change = format!("certificate {name:?}: the one on disk is served, good until {end}");
        self.changes.push(change);
        self.warnings.extend(warnings);
        self.config.certificates[place] = Certificate {
            acme: before.acme.clone(),
            ..new
        };
    }

    fn authorities(&mut self, rule: usize) {
        let tls = self.config.forwarding_rules[rule].tls.as_ref();
        let Some(before) = tls.and_then(|tls| tls.client_certificates.clone()) else {
            return;
        };
        let Some(ca_file) = before.ca_file.clone() else {
            return;
        };
        let value = json!(ca_file);
        let at = format!("forwardingRules[{rule}].clientCertificates.caFile");
        let found = reading(&value, &at, |node| read::authorities(&node));
        let Some((new, warnings)) = self.usable(found, |_| ca_file.clone()) else {
            return;
        };
        if new.certificates == before.authorities.certificates {
            return;
        }
        self.changes
            .push(format!("{at}: the authorities on disk vouch for clients"));
        self.warnings.extend(warnings);
        let rule = Arc::make_mut(&mut self.config.forwarding_rules[rule]);
        if let Some(tls) = &mut rule.tls {
            let authorities = new;
            tls.client_certificates = Some(ClientCertificates {
                authorities,
                ..before
            });
        }
    }

    fn ticket_keys(&mut self) {
        let Some(before) = self.config.server.session_ticket_keys.clone() else {
            return;
        };
        let Some(path) = &before.path else {
            return;
        };
        let value = json!(path);
        let found = reading(&value, "server.sessionTicketKeyFile", |node| {
            read::session_ticket_keys(&node)
        });
        let Some((new, warnings)) = self.usable(found, |_| path.clone()) else {
            return;
        };
        if new.keys != before.keys {
            let change = "server.sessionTicketKeyFile: the keys on disk are used";
            self.changes.push(change.to_owned());
            self.warnings.extend(warnings);
            self.config.server.session_ticket_keys = Some(new);
        }
    }

    fn values_files(&mut self) {
        let mut read: HashMap<Arc<Path>, Option<Arc<Blocks>>> = HashMap::new();
        for place in 0..self.config.forwarding_rules.len() {
            let rule = Arc::clone(&self.config.forwarding_rules[place]);
            for (http_rule, condition, before) in values_files(&rule) {
                let at = format!("httpRules[{http_rule}].conditions[{condition}].valuesFile");
                let at = format!("forwardingRules[{place}].{at}");
                let renewed = read.entry(Arc::clone(&before.path));
                let renewed = renewed.or_insert_with(|| self.blocks(&at, before)).clone();
                if let Some(blocks) = renewed {
                    self.has_other_values = true;
                    let rule = Arc::make_mut(&mut self.config.forwarding_rules[place]);
                    put(rule, http_rule, condition, blocks);
                }
            }
        }
    }

    /// The blocks of a file, if they are others than before.
    fn blocks(&mut self, at: &str, before: &BlocksFile) -> Option<Arc<Blocks>> {
        let value = json!(before.path);
        let found = reading(&value, at, |node| read::values_file(&node));
        let (new, warnings) = self.usable(found, |_| before.path.to_path_buf())?;
        if new.blocks == before.blocks {
            return None;
        }
        let (file, count) = (before.path.display(), new.blocks.len());
        self.changes
            .push(format!("{file}: the {count} blocks on disk are used"));
        self.warnings.extend(warnings);
        Some(new.blocks)
    }

    /// What was read, with its warnings; otherwise the problems are noted, each with its file.
    fn usable<T>(
        &mut self,
        found: Found<T>,
        file: impl Fn(&Problem) -> PathBuf,
    ) -> Option<(T, Vec<String>)> {
        match found {
            Ok((new, warnings)) => {
                let texts = warnings
                    .iter()
                    .map(|one| one.as_warning(&shown(&file(one))));
                Some((new, texts.collect()))
            }
            Err(problems) => {
                let fault = |one: &Problem| stays(&file(one), one);
                self.faults.extend(problems.iter().map(fault));
                None
            }
        }
    }
}

fn put(rule: &mut ForwardingRule, http_rule: usize, condition: usize, blocks: Arc<Blocks>) {
    let rule = rule.http_rules.get_mut(http_rule);
    let condition = rule.and_then(|rule| Arc::make_mut(rule).conditions.get_mut(condition));
    if let Some(Subject::SourceIpIn(file)) = condition.map(|condition| &mut condition.subject) {
        file.blocks = blocks;
    }
}

/// A value with the warnings about it, or its problems.
type Found<T> = Result<(T, Vec<Problem>), Vec<Problem>>;

fn reading<T>(value: &Value, place: &str, read: impl FnOnce(Node<'_>) -> Option<T>) -> Found<T> {
    let findings = Findings::default();
    let found = read(Node::at(value, place, &findings));
    let (problems, warnings) = findings.into_parts();
    match found {
        Some(found) if problems.is_empty() => Ok((found, warnings)),
        _ => Err(problems),
    }
}

fn is_worse(new: &Certificate, old: &Certificate) -> bool {
    let now = SystemTime::now();
    new.not_after < now && old.not_after >= now
}

fn expired(place: usize, certificate: &Certificate) -> String {
    let end = humantime::format_rfc3339_seconds(certificate.not_after);
    let (key, why) = match certificate.stands_in {
        true => (
            "acme",
            "the certificate that was issued is gone, or cannot be used".to_owned(),
        ),
        false => ("certificateChain", format!("expired on {end}")),
    };
    let problem = Problem::new(format!("certificates[{place}].{key}"), why);
    match &certificate.files {
        Some(files) => stays(&files.chain, &problem),
        None => format!("{problem}; what was there before stays in use"),
    }
}

fn stays(file: &Path, problem: &Problem) -> String {
    let file = shown(file);
    let message = problem.message.strip_prefix(&format!("{file}: "));
    let (path, message) = (&problem.path, message.unwrap_or(&problem.message));
    format!("{file}: {path}: {message}; what was read before stays in use")
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}
