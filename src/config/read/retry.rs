//! `retry` of a `FORWARD` rule: for which answers a request is sent again.

use std::time::Duration;

use super::super::model::Retry;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::defaults;

pub(super) const KEYS: &[&str] = &["statusCodes", "attempts", "backoff"];

const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

pub(super) fn read(rule: &Mapping) -> Option<Option<Retry>> {
    rule.or("retry", None, |node| {
        let mapping = node.mapping(KEYS)?;
        let mut codes = Unique::new("status");
        let status_codes = mapping.required("statusCodes", |list| {
            if list.entries()?.is_empty() {
                return list.problem("must have at least one entry");
            }
            list.each(|node| {
                let code: u16 = node.integer(400..=599)?;
                codes.enter(code, &node);
                Some(code)
            })
        });
        let attempts = mapping.or("attempts", defaults::RETRY_ATTEMPTS, |node| {
            node.integer(1..=10)
        });
        let backoff = mapping.or("backoff", defaults::RETRY_BACKOFF, backoff);
        Some(Some(Retry {
            status_codes: status_codes?,
            attempts: attempts?,
            backoff: backoff?,
        }))
    })
}

fn backoff(node: &Node) -> Option<Duration> {
    match node.delay()? {
        pause if pause > LONGEST_BACKOFF => node.problem("must not be longer than 1 min"),
        pause => Some(pause),
    }
}
