//! What is told of a request that somebody might make: which rule it meets, why, and what is done.

use serde::Serialize;
use utoipa::ToSchema;

use super::status::word;
use crate::config::Config;
use crate::config::model::Source;
use crate::forwarding_rule::{ForwardingRule, Routes};
use crate::proxy::{Arrived, Forward, Outcome, Passage};
use crate::refusal::Refusal;
use crate::rules::{self, Explained};
use crate::target_group::Target;

/// What would become of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    forwarding_rule: String,
    /// Where that comes from, if not from the file: `api` and its path there.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The client, behind trusted proxies.
    client_ip: String,
    /// In the order of evaluation; none where the request is refused before.
    http_rules: Vec<HttpRule>,
    /// The HTTP rule that decides: the first that matches.
    matched: Option<String>,
    action: Option<Done>,
    /// Where it would be refused.
    refusal: Option<Refused>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HttpRule {
    name: String,
    /// `FORWARD`, `REDIRECT` or `STATIC`.
    #[serde(rename = "type")]
    kind: &'static str,
    conditions: Vec<Condition>,
    /// Whether all conditions hold.
    matched: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Condition {
    /// As in the configuration.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    negate: bool,
    /// The values that the request has for it.
    saw: Vec<String>,
    held: bool,
}

/// What is done.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Outcome)]
#[serde(rename_all = "camelCase")]
struct Done {
    /// `FORWARD`, `REDIRECT` or `STATIC`; `CHALLENGE` where a token of ACME is asked for, which no
    /// HTTP rule answers.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_group: Option<String>,
    /// Where that comes from, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// All that it might be, where chance decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_groups: Vec<String>,
    /// The target, were it picked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Whether it is forwarded as a WebSocket handshake.
    websocket: bool,
    /// The protocol, where it is forwarded as another upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Refused {
    status_code: u16,
    /// As in `culvert_refusals_total`.
    reason: &'static str,
    detail: &'static str,
}

impl Explanation {
    /// What becomes of a request that has arrived at this rule; `name` is what a target is called.
    pub(super) fn of(
        rule: &ForwardingRule,
        arrived: &Arrived<'_>,
        name: impl Fn(&Target) -> String,
    ) -> Self {
        let decision = arrived.decision();
        let (mut done, refusal) = match decision.outcome {
            Ok(outcome) => Done::of(&outcome, name),
            Err(refusal) => (Done::default(), Some(refusal)),
        };
        if let Some(http_rule) = decision.rule {
            done.kind = word(&http_rule.action);
            let groups = arrived.target_groups(http_rule);
            if done.target_group.is_some() && groups.len() > 1 {
                done.target_groups = groups.iter().map(|group| group.name.to_string()).collect();
            }
        }
        let action = Some(done).filter(|done| !done.kind.is_empty());
        let http_rules = arrived.request().map(|request| {
            let all = rule.rules.iter();
            all.map(|one| HttpRule::of(one, &request)).collect()
        });
        Explanation {
            forwarding_rule: rule.name.to_string(),
            source: None,
            client_ip: arrived.client_ip().to_string(),
            http_rules: http_rules.unwrap_or_default(),
            matched: decision.rule.map(|rule| rule.name.to_string()),
            action,
            refusal: refusal.map(Refused::of),
        }
    }

    /// Says of the rule and the target group where they come from, if not from the file.
    pub(super) fn tell_sources(&mut self, config: &Config) {
        let told = |source: &Source| (*source != Source::File).then(|| source.to_string());
        let mut rules = config.forwarding_rules.iter();
        let rule = rules.find(|rule| rule.name == self.forwarding_rule);
        self.source = rule.and_then(|rule| told(&rule.source));
        if let Some(done) = &mut self.action {
            let mut groups = config.target_groups.iter();
            let group = groups.find(|group| Some(&group.name) == done.target_group.as_ref());
            done.source = group.and_then(|group| told(&group.source));
        }
    }
}

impl HttpRule {
    fn of(rule: &rules::Rule<Routes>, request: &rules::Request<'_>) -> Self {
        let conditions = rule.explain(request).into_iter();
        HttpRule {
            name: rule.name.to_string(),
            kind: word(&rule.action),
            conditions: conditions.map(Condition::of).collect(),
            matched: rule.matches(request),
        }
    }
}

impl Refused {
    fn of(refusal: Refusal) -> Self {
        Refused {
            status_code: refusal.status(),
            reason: refusal.reason.as_str(),
            detail: refusal.detail,
        }
    }
}

impl Condition {
    fn of(told: Explained) -> Self {
        Condition {
            kind: told.subject,
            condition: told.comparison,
            key: told.key,
            value: told.value,
            negate: told.negate,
            saw: told.saw,
            held: told.held,
        }
    }
}

impl Done {
    /// What is done, and the refusal where there is no target for it.
    fn of(outcome: &Outcome<'_>, name: impl Fn(&Target) -> String) -> (Self, Option<Refusal>) {
        let mut done = Done::default();
        match outcome {
            Outcome::Static(answer) => done.status_code = Some(answer.status.as_u16()),
            Outcome::Preflight(_) => done.status_code = Some(204),
            Outcome::Challenge(_) => {
                done.kind = "CHALLENGE";
                done.status_code = Some(200);
            }
            Outcome::Redirect(redirect, location) => {
                done.status_code = Some(redirect.status.as_u16());
                done.location = Some(location.clone());
            }
            Outcome::Forward(forward) => {
                let refusal = done.forward(forward, name).err();
                return (done, refusal);
            }
        }
        (done, None)
    }

    fn forward(
        &mut self,
        forward: &Forward,
        name: impl Fn(&Target) -> String,
    ) -> Result<(), Refusal> {
        let group = &forward.route.group;
        self.target_group = Some(group.name.to_string());
        match &forward.passage {
            Passage::Plain => {}
            Passage::WebSocket(_) => self.websocket = true,
            Passage::Upgrade(protocol) => self.upgrade = Some(protocol.to_string()),
        }
        self.target = Some(name(&*group.foresee(&forward.context)?));
        Ok(())
    }
}
