//! The rules of a file that nobody serves, for `explain --offline`: nothing is listened on,
//! connected to, checked or resolved.
//!
//! All targets count as healthy. One that is known by name has no address here, but stands for all
//! that the name has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::admin;
use crate::config::secret_key::SecretKey;
use crate::config::{self, Config, model};
use crate::forwarding_rule::{ForwardingRule, TargetGroups};
use crate::gateway;
use crate::target_group::{Fleet, Target};
use crate::telemetry::metrics::Metrics;
use crate::tls::{Tickets, Tls};

/// What would become of a request if this file were served. Errors: all that is wrong with it, or
/// with the request.
pub(super) fn explain(conf: &Path, sample: Value) -> Result<Value, String> {
    let loaded = config::load(conf).map_err(|problems| problems.to_string())?;
    // Whether one can listen here is of no interest.
    let (config, _) = gateway::offline(loaded.config, &mut |_| Ok(()));
    let rules = rules(&config).map_err(|why| format!("{}: {why}", conf.display()))?;
    admin::explain_by(&rules, sample, name).map_err(|why| format!("culvert: {why}"))
}

/// The forwarding rules of a configuration. Errors: what of it cannot be used.
pub fn rules(config: &Config) -> Result<Vec<Arc<ForwardingRule>>, String> {
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let key = SecretKey::random().ok_or("the system gives no random numbers")?;
    let mut groups = config.target_groups.clone();
    for group in &mut groups {
        stand_for_names(Arc::make_mut(group));
    }
    let fleet = Fleet::new(Arc::clone(&metrics), key);
    let groups = fleet.prepare_and_build(&groups, &config.server.stickiness_keys);
    let groups = groups.map_err(|(place, why)| format!("targetGroups[{place}]: {why}"))?;
    let named = groups
        .into_iter()
        .map(|group| (group.name.to_string(), group));
    let groups: TargetGroups = HashMap::from_iter(named);
    let build = |(place, rule): (usize, &Arc<model::ForwardingRule>)| {
        let at = |why| format!("forwardingRules[{place}]: {why}");
        let tickets = Tickets::default();
        let tls = rule.tls.as_ref();
        let challenges = Arc::default();
        let tls = tls.map(|tls| Tls::build(tls, &config.certificates, &tickets, &challenges));
        let tls = tls.transpose().map_err(at)?;
        let built = ForwardingRule::build(rule, &groups, tls, None, &metrics).map_err(at)?;
        Ok(Arc::new(built))
    };
    config
        .forwarding_rules
        .iter()
        .enumerate()
        .map(build)
        .collect()
}

/// Puts a target in the place of each name: its address is none that anybody has (RFC 1122 section
/// 3.2.1.3).
fn stand_for_names(group: &mut model::TargetGroup) {
    for (number, named) in (1..).zip(&group.named) {
        let nobody = IpAddr::V4(Ipv4Addr::from_bits(number));
        group.targets.push(model::Target {
            address: SocketAddr::new(nobody, named.port).into(),
            ..named.target.clone()
        });
    }
}

fn name(target: &Target) -> String {
    let port = target.address.inet().map(|address| address.port());
    match target.host.as_ref().zip(port) {
        Some((host, port)) => format!("{host}:{port}"),
        None => target.address.to_string(),
    }
}
