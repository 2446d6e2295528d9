//! Keys that this process has in common with other nodes, in the place of those of files.

use std::sync::Arc;

use super::Serving;
use super::change::Replacement;
use crate::config::Config;
use crate::config::fault::Fault;
use crate::config::model::SessionTicketKeys;
use crate::config::secret_key::SecretKey;

/// Of each list the first is in use, and all are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKeys {
    /// What session tickets are sealed with.
    pub tickets: Vec<SecretKey>,
    /// What sticky cookies are made with.
    pub cookies: Vec<SecretKey>,
}

impl SharedKeys {
    /// Has a configuration serve with them.
    pub fn put(self, config: &mut Config) {
        config.server.session_ticket_keys = Some(SessionTicketKeys {
            path: None,
            keys: self.tickets,
        });
        config.server.stickiness_keys = self.cookies;
    }
}

/// Leaves the keys that are in common as they are, where another configuration has none of its own.
pub(super) fn stay_shared(before: &Config, now: &mut Config) {
    if before.shares_keys() && now.shares_keys() {
        let server = &before.server;
        now.server
            .session_ticket_keys
            .clone_from(&server.session_ticket_keys);
        now.server
            .stickiness_keys
            .clone_from(&server.stickiness_keys);
    }
}

impl Serving {
    /// Serves with these keys. Errors: they cannot be used; nothing has changed then.
    pub fn share_keys(&self, keys: SharedKeys) -> Result<(), Vec<Fault>> {
        let mut overrides = self.overrides.lock();
        let before = self.config();
        let mut config = Config::clone(&before);
        keys.put(&mut config);
        let replacement = Replacement {
            before: &before,
            config: &Arc::new(config),
            renamed: &[],
            ends_overrides: false,
        };
        self.replace(replacement, &mut overrides, &mut || Ok(()))
    }
}
