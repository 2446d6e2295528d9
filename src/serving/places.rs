//! How many connections there may be, as far as the open files go.

use crate::config::Config;
use crate::os::open_files::Shares;

/// How the open files are shared out where this is the configuration.
pub fn shares(config: &Config) -> Shares {
    Shares::now(
        config
            .target_groups
            .iter()
            .map(|group| group.targets.len())
            .sum(),
        config.forwarding_rules.len(),
        1 + usize::from(config.api.is_some()),
    )
}

/// How many connections may be open. More than the open files allow are as many as the operator
/// wants to try.
pub(super) fn most_connections(config: &Config, shares: Shares) -> usize {
    let allowed = shares.places;
    let most = config.server.max_connections.unwrap_or(allowed);
    if most > allowed {
        log::warn!(
            "server.maxConnections: {most}, and the limit of open files is enough for {allowed}"
        );
    }
    most
}
