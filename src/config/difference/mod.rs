//! What is different in another configuration, in words: the one description of a change that a
//! reload tells, and whoever asks what a reload would do.
//!
//! Objects are compared by their names, and what is in them key by key. A key is told, what it says
//! only where that is what an operator looks for: addresses and weights. Values are compared as
//! they are shown, secrets and certificates as they are.

mod change;
mod groups;
mod rules;

pub use change::{Change, Tunnels};
use change::{differ, each, tell};

use super::model::{self, Config};

/// What is different now.
pub fn between(before: &Config, now: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    process(before, now, &mut changes);
    certificates(&before.certificates, &now.certificates, &mut changes);
    rules::between(before, now, &mut changes);
    groups::between(before, now, &mut changes);
    changes
}

fn process(before: &Config, now: &Config, changes: &mut Vec<Change>) {
    let (old, new) = (&before.server, &now.server);
    let ticket_keys = |server: &model::Server| server.session_ticket_keys.clone().map(|it| it.keys);
    let server = [
        ("threads", differ(&old.threads, &new.threads)),
        ("logLevel", differ(&old.log_level, &new.log_level)),
        ("drain", differ(&old.drain, &new.drain)),
        ("upgrade", differ(&old.upgrade, &new.upgrade)),
        (
            "upgradeSocket",
            differ(&old.upgrade_socket, &new.upgrade_socket),
        ),
        ("pidFile", differ(&old.pid_file, &new.pid_file)),
        ("sessionTicketKeyFile", ticket_keys(old) != ticket_keys(new)),
        (
            "stickinessKeyFile",
            old.stickiness_keys != new.stickiness_keys,
        ),
        (
            "maxConnections",
            differ(&old.max_connections, &new.max_connections),
        ),
        ("memory", differ(&old.memory, &new.memory)),
        (
            "tunnelRecords",
            differ(&old.tunnel_records, &new.tunnel_records),
        ),
        ("resolver", differ(&old.resolver, &new.resolver)),
    ];
    tell("server", &server, changes);
    let (old, new) = (&before.admin, &now.admin);
    let admin = [
        ("listen", old.listen != new.listen),
        ("mode", old.mode != new.mode),
        ("tokenFile", old.token != new.token),
        ("readOnly", old.read_only != new.read_only),
        ("hostNames", old.host_names != new.host_names),
    ];
    tell("admin", &admin, changes);
    let sections = [
        ("api", api_differs(before.api.as_ref(), now.api.as_ref())),
        ("gateway", before.gateway != now.gateway),
        ("accessLog", differ(&before.access_log, &now.access_log)),
        ("tracing", before.tracing != now.tracing),
    ];
    for (name, _) in sections.iter().filter(|(_, differs)| *differs) {
        changes.push(Change::new(format!("{name}: changed")));
    }
}

fn api_differs(before: Option<&model::Api>, now: Option<&model::Api>) -> bool {
    // A secret is not shown.
    let secrets = |api: &model::Api| (api.token.clone(), api.users.clone());
    differ(&before, &now) || before.map(secrets) != now.map(secrets)
}

fn certificates(before: &[model::Certificate], now: &[model::Certificate], to: &mut Vec<Change>) {
    let named = |certificate: &model::Certificate| certificate.name.clone();
    each(before, now, named, |name, before, now| {
        let what = match (before, now) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(before), Some(now)) if before.key.cert != now.key.cert => "renewed",
            (Some(before), Some(now)) if before.files != now.files => "from other files",
            _ => return,
        };
        to.push(Change::new(format!("certificate {name}: {what}")));
    });
}
