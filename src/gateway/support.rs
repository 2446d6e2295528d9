//! What a rule may say by the specification, and what this program cannot do: the rule is dropped
//! then, and that is told.

use std::time::Duration;

use super::objects::{Filter, Retry, Rule, Session};

const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const MOST_ATTEMPTS: u32 = 10;

/// What of a rule cannot be done.
pub(super) fn unsupported(rule: &Rule) -> Option<String> {
    if let Some(message) = rule.session.as_ref().and_then(unsupported_session) {
        return Some(message.to_owned());
    }
    let timeouts = [rule.request_timeout, rule.backend_timeout];
    if timeouts
        .into_iter()
        .flatten()
        .any(|timeout| timeout > LONGEST)
    {
        return Some("timeouts of more than 720h are not supported".to_owned());
    }
    let retry = rule.retry.as_ref().and_then(unsupported_retry);
    retry.or_else(|| unsupported_filter(rule))
}

fn unsupported_session(session: &Session) -> Option<&'static str> {
    if session.is_header {
        return Some("sessionPersistence of type Header is not supported");
    }
    let is_tracked = session.longest.is_some() && !session.is_permanent;
    is_tracked.then_some("sessionPersistence.absoluteTimeout needs lifetimeType Permanent")
}

fn unsupported_retry(retry: &Retry) -> Option<String> {
    if retry
        .attempts
        .is_some_and(|attempts| attempts > MOST_ATTEMPTS)
    {
        return Some(format!(
            "retry.attempts above {MOST_ATTEMPTS} are not supported"
        ));
    }
    let backoff = retry.backoff.filter(|backoff| *backoff > LONGEST_PAUSE);
    backoff.map(|_| "retry.backoff of more than 1m is not supported".to_owned())
}

fn unsupported_filter(rule: &Rule) -> Option<String> {
    let redirects = rule
        .filters
        .iter()
        .any(|filter| matches!(filter, Filter::Redirect(_)));
    for filter in &rule.filters {
        match filter {
            Filter::Mirror(_) | Filter::Cors(_) if redirects => {
                let word = filter.word();
                return Some(format!(
                    "filter {word} with RequestRedirect is not supported"
                ));
            }
            _ => {}
        }
    }
    let own = rule.backends.iter().flat_map(|backend| &backend.filters);
    let mut other = own.filter(|filter| matches!(filter, Filter::Mirror(_) | Filter::Cors(_)));
    let word = other.next()?.word();
    Some(format!("filter {word} is not supported at a backendRef"))
}
