//! One HTTP rule: its conditions and what it does.

use std::sync::Arc;

use super::action::Action;
use super::condition::{Condition, Explained};
use super::request::Request;
use crate::config::model;

/// One HTTP rule.
#[derive(Debug)]
pub struct Rule<G> {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its place in the order of evaluation, from 0.
    pub index: usize,
    /// What is done with a request that meets the rule.
    pub action: Action<G>,
    conditions: Vec<Condition>,
}

impl<G> Rule<G> {
    /// Builds the rule that stands at this place.
    pub(super) fn build(
        index: usize,
        rule: &model::HttpRule,
        group: impl Fn(&model::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        Ok(Self {
            name: rule.name.as_str().into(),
            index,
            action: Action::build(&rule.action, group)?,
            conditions: rule
                .conditions
                .iter()
                .map(Condition::build)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Its conditions.
    pub(super) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How each condition fares with a request, for somebody who wonders.
    pub fn explain(&self, request: &Request<'_>) -> Vec<Explained> {
        let conditions = self.conditions.iter();
        conditions
            .map(|condition| condition.explain(request))
            .collect()
    }

    /// Whether all conditions hold.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(request))
    }
}
