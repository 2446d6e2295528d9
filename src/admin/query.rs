//! What stands after the question mark. A word that is not known is an error: a filter that was
//! mistyped must not end all tunnels.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::Query;
use axum::http::Uri;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::denial::Denial;
use crate::config;
use crate::target_address::TargetAddress;
use crate::tunnel::{Farewell, Handle, Identity};

/// How many tunnels a page has, and may have.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;
/// The Close code for those who were ended by an operator (RFC 6455 section 7.4.1).
pub(super) const POLICY_VIOLATION: u16 = 1008;
/// Over how long ends are spread at most.
const LONGEST_PACE: Duration = Duration::from_secs(60 * 60);
/// The longest text of a Close frame (RFC 6455 section 5.5).
const LONGEST_TEXT: usize = 123;

/// Which tunnels: those of which all is true.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct FilterQuery {
    /// The forwarding rule's name.
    forwarding_rule: Option<String>,
    /// The target group's name.
    target_group: Option<String>,
    /// The target, `ip:port` or `unix:PATH`.
    target: Option<String>,
    /// The client's address, or a block of addresses: `10.0.0.0/8`.
    client: Option<String>,
    /// Open for at least so long: `90s`, or milliseconds.
    min_age: Option<String>,
    /// The `trackingId`.
    id: Option<String>,
    /// A text in the request's URI, or in the address of the client or of the target.
    search: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many at most: 1 to 1000, by default 100.
    limit: Option<String>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// `true`: tell how many there are on all pages, as `matching`.
    count: Option<String>,
}

/// What the Close frames say.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct WordsQuery {
    /// A code that may be sent: 1000 to 1003, 1007 to 1009, 1011 to 1014, 3000 to 4999; by default
    /// 1008.
    code: Option<String>,
    /// A text of at most 123 bytes.
    text: Option<String>,
}

/// How fast many are ended.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct PaceQuery {
    /// Over how long their ends are spread, at random moments, the idlest first: `30s`, or
    /// milliseconds; at most 1 h. By default they are ended at once.
    over: Option<String>,
}

/// Since when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct SinceQuery {
    /// Those after the one with this number, or from this time on (RFC 3339), or of the last `5m`.
    /// By default all.
    since: Option<String>,
}

const FILTER: &[&str] = &[
    "forwardingRule",
    "targetGroup",
    "target",
    "client",
    "minAge",
    "id",
    "search",
];
const PAGING: &[&str] = &["limit", "cursor", "count"];
const WORDS: &[&str] = &["code", "text"];
const PACE: &[&str] = &["over"];
const SINCE: &[&str] = &["since"];

/// What is new to those who ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// What comes after the one with this number.
    Number(u64),
    /// What is not from before.
    Time(SystemTime),
    /// What is not older.
    Ago(Duration),
}

impl Since {
    /// After which number, and from which time on, where there are so many. One that is to come was
    /// told by a process before this one.
    pub(super) fn after(self, count: u64) -> (u64, SystemTime) {
        let ago = |span| SystemTime::now().checked_sub(span);
        match self {
            Since::Number(number) if number <= count => (number, UNIX_EPOCH),
            Since::Number(_) => (0, UNIX_EPOCH),
            Since::Time(time) => (0, time),
            Since::Ago(span) => (0, ago(span).unwrap_or(UNIX_EPOCH)),
        }
    }
}

/// Since when, or after which.
pub(super) fn since(uri: &Uri) -> Result<Since, Denial> {
    refuse_unknown(uri, &[SINCE])?;
    let Some(text) = read::<SinceQuery>(uri)?.since else {
        return Ok(Since::Number(0));
    };
    if let Ok(number) = text.parse() {
        return Ok(Since::Number(number));
    }
    if let Ok(time) = humantime::parse_rfc3339(&text) {
        return Ok(Since::Time(time));
    }
    let span = config::duration(&text).map(Since::Ago);
    span.map_err(|_| bad("since", "a number, a time (RFC 3339) or a span (5m)", &text))
}

/// A filter that can be used.
#[derive(Debug, Default)]
pub(super) struct Filter {
    forwarding_rule: Option<String>,
    target_group: Option<String>,
    target: Option<TargetAddress>,
    client: Option<IpNet>,
    min_age: Option<Duration>,
    id: Option<String>,
    search: Option<String>,
}

impl Filter {
    /// Whether a tunnel is meant.
    pub(super) fn is_true_of(&self, tunnel: &Handle) -> bool {
        let identity = &tunnel.identity;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is(&self.forwarding_rule, &identity.forwarding_rule)
            && is(&self.target_group, &identity.target_group)
            && is(&self.id, &identity.id)
            && self
                .target
                .as_ref()
                .is_none_or(|target| *target == identity.target)
            && self
                .client
                .is_none_or(|block| block.contains(&identity.client.ip))
            && self
                .min_age
                .is_none_or(|age| tunnel.opened.elapsed() >= age)
            && self.search.as_ref().is_none_or(|text| has(identity, text))
    }
}

/// Whether this text is in what is shown of a tunnel.
fn has(identity: &Identity, text: &str) -> bool {
    identity.uri.contains(text)
        || identity.client.ip.to_string().contains(text)
        || identity.target.to_string().contains(text)
}

impl TryFrom<FilterQuery> for Filter {
    type Error = Denial;

    fn try_from(query: FilterQuery) -> Result<Self, Denial> {
        let address = |text: String| {
            text.parse()
                .map_err(|_| bad("target", "ip:port or unix:PATH", &text))
        };
        let age = |text: String| {
            config::duration(&text).map_err(|expected| bad("minAge", expected, &text))
        };
        Ok(Filter {
            forwarding_rule: query.forwarding_rule,
            target_group: query.target_group,
            target: query.target.map(address).transpose()?,
            client: query.client.map(block).transpose()?,
            min_age: query.min_age.map(age).transpose()?,
            id: query.id,
            search: query.search,
        })
    }
}

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct List {
    pub(super) filter: Filter,
    /// The number of the tunnel before the first.
    pub(super) after: Option<u64>,
    /// How many at most.
    pub(super) limit: usize,
    /// Whether to count them all.
    pub(super) counts: bool,
}

/// Which tunnels to list.
pub(super) fn list(uri: &Uri) -> Result<List, Denial> {
    refuse_unknown(uri, &[FILTER, PAGING])?;
    let (filter, page): (FilterQuery, PageQuery) = (read(uri)?, read(uri)?);
    let cursor = |text: String| {
        text.parse()
            .map_err(|_| bad("cursor", "that of a page", &text))
    };
    let limit = |text: String| {
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        limit.ok_or_else(|| bad("limit", "an integer from 1 to 1000", &text))
    };
    let counts = |text: String| {
        let counts = text.parse();
        counts.map_err(|_| bad("count", "true or false", &text))
    };
    Ok(List {
        filter: filter.try_into()?,
        after: page.cursor.map(cursor).transpose()?,
        limit: page.limit.map(limit).transpose()?.unwrap_or(PAGE),
        counts: page.count.map(counts).transpose()?.unwrap_or(false),
    })
}

/// Which tunnels to end, with which words, and over how long. There is at least one filter.
pub(super) fn kill(uri: &Uri) -> Result<(Filter, Option<Farewell>, Duration), Denial> {
    refuse_unknown(uri, &[FILTER, WORDS, PACE])?;
    let is_filter = |name: &String| FILTER.contains(&name.as_str());
    if !names(uri)?.iter().any(is_filter) {
        let message = format!("a filter is needed: {}", FILTER.join(", "));
        return Err(Denial::bad(message));
    }
    Ok((
        read::<FilterQuery>(uri)?.try_into()?,
        words(uri)?,
        over(uri)?,
    ))
}

fn over(uri: &Uri) -> Result<Duration, Denial> {
    let Some(text) = read::<PaceQuery>(uri)?.over else {
        return Ok(Duration::ZERO);
    };
    let over = config::duration(&text).map_err(|expected| bad("over", expected, &text))?;
    match over <= LONGEST_PACE {
        true => Ok(over),
        false => Err(bad("over", "at most 1 h", &text)),
    }
}

/// What was asked, for a line of the log: names and values, decoded.
pub(super) fn told(uri: &Uri) -> String {
    let pairs: Vec<(String, String)> = read(uri).unwrap_or_default();
    let pair = |(name, value): (String, String)| format!("{name}={value:?}");
    pairs.into_iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// The words for one that is ended.
pub(super) fn kill_one(uri: &Uri) -> Result<Option<Farewell>, Denial> {
    refuse_unknown(uri, &[WORDS])?;
    words(uri)
}

fn words(uri: &Uri) -> Result<Option<Farewell>, Denial> {
    let query: WordsQuery = read(uri)?;
    if query.code.is_none() && query.text.is_none() {
        return Ok(None);
    }
    let code = |text: String| {
        let code = text.parse().ok().filter(|code| may_be_sent(*code));
        code.ok_or_else(|| {
            let expected = "1000 to 1003, 1007 to 1009, 1011 to 1014 or 3000 to 4999";
            bad("code", expected, &text)
        })
    };
    let text = query.text.unwrap_or_default();
    if text.len() > LONGEST_TEXT {
        let message = format!("text: must have at most {LONGEST_TEXT} bytes");
        return Err(Denial::bad(message));
    }
    Ok(Some(Farewell {
        code: query
            .code
            .map(code)
            .transpose()?
            .unwrap_or(POLICY_VIOLATION),
        text: text.into(),
    }))
}

/// RFC 6455 section 7.4, and IANA's registry of the codes; 1010 is a client's.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1009 | 1011..=1014 | 3000..=4999)
}

fn block(text: String) -> Result<IpNet, Denial> {
    let address = || {
        text.parse::<IpAddr>()
            .map(|ip| IpNet::from(ip.to_canonical()))
    };
    let block = text.parse().or_else(|_| address());
    block.map_err(|_| bad("client", "an IP address or a block of them", &text))
}

fn bad(name: &str, expected: &str, found: &str) -> Denial {
    Denial::bad(format!("{name}: must be {expected}, not {found:?}"))
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Denial> {
    let query = Query::<T>::try_from_uri(uri);
    query
        .map(|Query(query)| query)
        .map_err(|error| Denial::bad(error.body_text()))
}

fn names(uri: &Uri) -> Result<Vec<String>, Denial> {
    let pairs: Vec<(String, String)> = read(uri)?;
    Ok(pairs.into_iter().map(|(name, _)| name).collect())
}

fn refuse_unknown(uri: &Uri, known: &[&[&str]]) -> Result<(), Denial> {
    let known = known.concat();
    let unknown = names(uri)?
        .into_iter()
        .find(|name| !known.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| {
        let known = known.join(", ");
        Err(Denial::bad(format!(
            "unknown parameter {name:?}; there are {known}"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_parameters_name() {
        for (query, word) in [
            ("forwardingrule=a", "forwardingrule"),
            ("id=1&id=2", "id"),
            ("client=10.0.0.0/33", "client"),
            ("target=10.0.0.1", "target"),
            ("minAge=soon", "minAge"),
            ("code=999&id=1", "code"),
            ("code=1005&id=1", "code"),
            ("code=1006&id=1", "code"),
            ("code=1015&id=1", "code"),
            ("code=2999&id=1", "code"),
            ("code=5000&id=1", "code"),
            ("limit=1&id=1", "limit"),
            ("over=soon&id=1", "over"),
            ("over=2h&id=1", "over"),
            ("code=4000", "filter"),
            ("", "filter"),
        ] {
            let uri = format!("/?{query}").parse().unwrap();
            let denial = kill(&uri)
                .err()
                .unwrap_or_else(|| panic!("{query} is taken"));
            assert!(denial.body.error.contains(word), "{query}: {denial:?}");
        }
        let long = format!("/?id=1&text={}", "a".repeat(124)).parse().unwrap();
        assert!(kill(&long).is_err());
        for query in ["limit=0", "limit=1001", "cursor=x", "count=1", "code=1000"] {
            let uri = format!("/?{query}").parse().unwrap();
            assert!(list(&uri).is_err(), "{query}");
        }
    }

    #[test]
    fn what_is_new_is_told_by_a_number_a_time_or_a_span() {
        let since = |text: &str| since(&format!("/?{text}").parse().unwrap());
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1);
        for (text, expected) in [
            ("", Since::Number(0)),
            ("since=17", Since::Number(17)),
            ("since=1970-01-01T00:00:01Z", Since::Time(time)),
            ("since=5m", Since::Ago(Duration::from_secs(300))),
        ] {
            assert_eq!(since(text).unwrap(), expected, "{text}");
        }
        for text in ["since=soon", "since=-1", "since=1&since=2", "until=1"] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_may_be_chosen_and_are_none_otherwise() {
        let words = |query: &str| kill_one(&format!("/?{query}").parse().unwrap()).unwrap();
        assert_eq!(words(""), None);
        let bye = Farewell {
            code: 4999,
            text: "good bye".into(),
        };
        assert_eq!(words("code=4999&text=good%20bye"), Some(bye.clone()));
        let code = POLICY_VIOLATION;
        assert_eq!(words("text=good+bye"), Some(Farewell { code, ..bye }));
    }
}
