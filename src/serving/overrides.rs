//! What an operator decides about a target while the configuration stays as it is: only its group
//! is built anew.

use super::Serving;
use crate::config::fault::Fault;
use crate::target_address::TargetAddress;
use crate::target_group::Change;

impl Serving {
    /// Changes what is decided about a target, until the next reload; false if there is no such
    /// target. Errors: why it could not be applied.
    pub fn decide(
        &self,
        group: &str,
        target: &TargetAddress,
        change: Change,
    ) -> Result<bool, Fault> {
        let mut overrides = self.overrides.lock();
        let Some(configured) = self.target_group(group) else {
            return Ok(false);
        };
        let mut targets = configured.targets.iter();
        if !targets.any(|found| found.address == *target) {
            return Ok(false);
        }
        let mut decided = overrides.clone();
        decided.change(group, target, change);
        let (config, now) = (self.config(), decided.applied_to(&configured));
        self.apply_group(&config, &now, &mut || Ok(()))?;
        self.evict(&config, &[configured], &[now]);
        *overrides = decided;
        Ok(true)
    }
}
