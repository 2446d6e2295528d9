//! What a rule may say by the specification, and what this program cannot do: the rule is dropped
//! then, and that is told.

use std::time::Duration;

use super::objects::{Filter, Retry, Rule};

const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const MOST_ATTEMPTS: u32 = 10;

/// What of a rule cannot be done.
pub(super) fn unsupported(rule: &Rule) -> Option<String> {
    let timeouts = [rule.request_timeout, rule.backend_timeout];
    if timeouts
        .into_iter()
        .flatten()
        .any(|timeout| timeout > LONGEST)
    {
        return Some("timeouts of more than 720h are not supported".to_owned());
    }
    rule.retry.as_ref().and_then(unsupported_retry)
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

/// Which filters of a rule, or of one of its backends, make no sense together: where a client is
/// sent elsewhere no request goes to a target, and copies are of what goes there.
pub(super) fn incompatible(rule: &Rule) -> Option<String> {
    let own = rule.backends.iter().map(|backend| &backend.filters);
    let mut lists = std::iter::once(&rule.filters).chain(own);
    let has = |list: &[Filter], is: fn(&Filter) -> bool| list.iter().any(is);
    let is_senseless = |list: &&Vec<Filter>| {
        has(list, |one| matches!(one, Filter::Mirror(_)))
            && has(list, |one| matches!(one, Filter::Redirect(_)))
    };
    lists.find(is_senseless)?;
    Some("RequestMirror with RequestRedirect has no request to copy".to_owned())
}
