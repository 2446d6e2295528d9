//! What an operator decides about a target while the configuration stays as it is.

use std::collections::HashMap;

use super::{Serving, lock, targets};
use crate::config::model;
use crate::config::problem::Problem;
use crate::target_address::TargetAddress;
use crate::target_group::Change;

impl Serving {
    /// Changes what is decided about a target, until the next reload; false if there is no such target. Errors: why it could not
    /// be applied.
    pub fn decide(
        &self,
        group: &str,
        target: &TargetAddress,
        change: Change,
    ) -> Result<bool, String> {
        let mut overrides = lock(&self.overrides);
        let config = self.config();
        let is_it = |(of, found): (&model::TargetGroup, &model::Target)| {
            of.name == group && found.address == *target
        };
        let groups = self.target_groups();
        if !targets(&groups).any(is_it) {
            return Ok(false);
        }
        let mut decided = overrides.clone();
        decided.change(group, target, change);
        let groups = decided.applied_to(&groups);
        let lines = |problems: Vec<Problem>| {
            let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
            lines.join("; ")
        };
        self.apply(&config, &groups, HashMap::new())
            .map_err(lines)?;
        self.evict(&config, &groups, &groups);
        *overrides = decided;
        Ok(true)
    }
}
