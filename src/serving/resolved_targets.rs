//! Target groups as they are with the present addresses of their names.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Serving, lock};
use crate::config::model;

impl Serving {
    /// The target groups of the configuration, with a target for each address of their names.
    pub fn target_groups(&self) -> Arc<Vec<model::TargetGroup>> {
        Arc::clone(&lock(&self.groups))
    }

    /// Asks for the names of targets again when their records run out, and serves with what is new, until this process serves no
    /// more.
    pub async fn watch_names(&self) {
        while !self.listeners.is_closed() {
            let settings = self.config().server.resolver.clone();
            if self.names.renew(&settings).await && !self.drain.has_begun() {
                self.take_names();
            }
        }
    }

    fn take_names(&self) {
        let overrides = lock(&self.overrides);
        if self.listeners.is_closed() {
            return;
        }
        let (config, before) = (self.config(), self.target_groups());
        let now = self.names.expand(&config.target_groups);
        let decided = overrides.applied_to(&now);
        if let Err(problems) = self.apply(&config, &decided, HashMap::new()) {
            for problem in problems {
                log::error!("{problem}");
            }
            return;
        }
        self.evict(&config, &before, &decided);
        *lock(&self.groups) = Arc::new(now);
    }
}
