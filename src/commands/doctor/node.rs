//! What the configuration needs of this node: folders, certificates, names, and that its listeners
//! can be reached from here.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::client::reachable;
use super::verdict::Finding;
use super::verdict::Verdict::{Warning, Wrong};
use crate::config::{self, Config, Loaded};
use crate::dns::Names;
use crate::serving::trial;
use crate::telemetry::metrics::Metrics;

/// With less left somebody should know why it was not renewed.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const PATIENCE: Duration = Duration::from_secs(2);

/// The configuration, and what is wrong with it.
pub(super) fn configuration(conf: &Path, findings: &mut Vec<Finding>) -> Option<Config> {
    const CHECK: &str = "configuration";
    let name = conf.display();
    match config::load(conf) {
        Ok(Loaded { config, warnings }) => {
            findings.push(Finding::ok(CHECK, format!("{name} is valid")));
            let warnings = warnings.into_iter();
            findings
                .extend(warnings.map(|line| Finding::new(Warning, CHECK, line.to_string(), "")));
            Some(config)
        }
        Err(problems) => {
            let lines = problems.to_string();
            let todo = "mend it: a start would be refused, and so would a reload";
            let wrong = |line: &str| Finding::new(Wrong, CHECK, line, todo);
            findings.extend(lines.lines().map(wrong));
            None
        }
    }
}

/// Files and folders.
pub(super) fn folders(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "folders";
    let faults = trial::folders(config);
    if faults.is_empty() {
        return vec![Finding::ok(CHECK, "files and sockets can be made")];
    }
    let todo = "make it, and give it to the user that Culvert runs as";
    let wrong = |fault: &dyn ToString| Finding::new(Wrong, CHECK, fault.to_string(), todo);
    faults.iter().map(|fault| wrong(fault)).collect()
}

/// How long the certificates are valid.
pub(super) fn certificates(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    let now = SystemTime::now();
    let finding = |certificate: &config::model::Certificate| {
        let name = &certificate.name;
        let todo = "renew it and put its files in place: they are read again by themselves";
        match certificate.not_after.duration_since(now) {
            Err(_) => Finding::new(Wrong, CHECK, format!("{name} has expired"), todo),
            Ok(left) => {
                let seen = format!("{name} is valid for {} days", left.as_secs() / 86_400);
                match left < SOON {
                    true => Finding::new(Warning, CHECK, seen, todo),
                    false => Finding::ok(CHECK, seen),
                }
            }
        }
    };
    config.certificates.iter().map(finding).collect()
}

/// Whether the names of targets resolve.
pub(super) fn names(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "DNS";
    let groups = config.target_groups.iter();
    if groups.flat_map(|group| &group.named).next().is_none() {
        return Vec::new();
    }
    let Ok(metrics) = Metrics::new() else {
        return Vec::new();
    };
    let names = Names::new(Arc::new(metrics));
    names.learn(config);
    let finding = |(name, addresses): (String, Vec<_>)| match addresses.len() {
        0 => Finding::new(
            Wrong,
            CHECK,
            format!("{name} has no address"),
            format!("see `getent ahosts {name}`, and server.resolver"),
        ),
        1 => Finding::ok(CHECK, format!("{name} has 1 address")),
        count => Finding::ok(CHECK, format!("{name} has {count} addresses")),
    };
    names.addresses().into_iter().map(finding).collect()
}

/// Whether each listener of a process that runs is reached from here; without one, whether its
/// address could be had.
pub(super) fn listeners(config: &Config, is_running: bool) -> Vec<Finding> {
    const CHECK: &str = "listener";
    if !is_running {
        return addresses(config, CHECK);
    }
    let finding = |(name, listen): (&str, SocketAddr)| {
        let seen = format!("{name}, {listen}");
        match TcpStream::connect_timeout(&reachable(listen), PATIENCE) {
            Ok(_) => Finding::ok(CHECK, format!("{seen}, is reached")),
            Err(error) => Finding::new(
                Wrong,
                CHECK,
                format!("{seen}: {error}"),
                "see `culvert config --diff`: is it in the file only? Or does a firewall drop it?",
            ),
        }
    };
    let rules = config.forwarding_rules.iter();
    rules
        .map(|rule| finding((&rule.name, rule.listen)))
        .collect()
}

fn addresses(config: &Config, check: &'static str) -> Vec<Finding> {
    let trial = trial::addresses(config, |_| false);
    let faults = trial.faults.iter().map(ToString::to_string);
    let todo = "give the machine this address, or the process the right to this port";
    let faults = faults.map(|seen| Finding::new(Wrong, check, seen, todo));
    let todo = "see who has it: ss -ltnp";
    let busy = trial.told.into_iter();
    let busy = busy.map(|seen| Finding::new(Wrong, check, seen, todo));
    let all: Vec<Finding> = faults.chain(busy).collect();
    match all.is_empty() {
        true => vec![Finding::ok(check, "all addresses can be had")],
        false => all,
    }
}
