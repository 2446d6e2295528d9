//! `accessLog`: where lines go, what they look like, and which there are.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};

use super::super::model::{AccessLog, LogFormat, LoggedHeaders, Tracing};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::defaults;

pub(super) const KEYS: &[&str] = &[
    "path",
    "format",
    "redactQueryKeys",
    "sample",
    "openRecords",
    "journal",
    "headers",
];
pub(super) const HEADERS_KEYS: &[&str] = &["request", "response"];
pub(super) const TRACING_KEYS: &[&str] = &["traceparent"];

const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("text", LogFormat::Text)];

/// How many more names are redacted at most: each parameter of a request is compared with all.
const MOST_NAMES: usize = 100;
/// How many headers of either side are logged at most.
const MOST_HEADERS: usize = 20;
const SECRETS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];

pub(super) fn read(top: &Mapping) -> Option<AccessLog> {
    let mapping = top.section("accessLog", KEYS)?;
    let path = mapping.or("path", None, |node| node.path_of_file().map(Some));
    let format = mapping.or("format", defaults::LOG_FORMAT, |node| {
        node.choice(FORMATS, &[])
    });
    let redact_query_keys = mapping.or("redactQueryKeys", Vec::new(), |list| {
        let count = list.entries()?.len();
        if count > MOST_NAMES {
            return list.problem(format!(
                "must have at most {MOST_NAMES} entries, not {count}"
            ));
        }
        list.each(|node| node.text().map(str::to_owned))
    });
    let sample = mapping.or("sample", defaults::SAMPLE, |node| node.fraction());
    let open_records = mapping.or("openRecords", defaults::OPEN_RECORDS, |node| node.boolean());
    let journal = mapping.or("journal", None, |node| node.path_of_file().map(Some));
    let headers = headers(&mapping);
    Some(AccessLog {
        path: path?,
        format: format?,
        redact_query_keys: redact_query_keys?,
        sample: sample?,
        open_records: open_records?,
        journal: journal?,
        headers: headers?,
    })
}

fn headers(log: &Mapping) -> Option<LoggedHeaders> {
    let mapping = log.section("headers", HEADERS_KEYS)?;
    let names = |key| {
        mapping.or(key, Vec::new(), |list| {
            let count = list.entries()?.len();
            if count > MOST_HEADERS {
                let message = format!("must have at most {MOST_HEADERS} entries, not {count}");
                return list.problem(message);
            }
            let mut names = Unique::new("name");
            list.each(|node| header(node, &mut names))
        })
    };
    let (request, response) = (names("request"), names("response"));
    Some(LoggedHeaders {
        request: request?,
        response: response?,
    })
}

fn header(node: Node, names: &mut Unique<String>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::try_from(node.text()?) else {
        return node.wrong("the name of a header");
    };
    if SECRETS.contains(&name) {
        return node.problem("is not logged: its value is a secret");
    }
    names.enter(name.to_string(), &node);
    Some(name)
}

pub(super) fn tracing(top: &Mapping) -> Option<Tracing> {
    let mapping = top.section("tracing", TRACING_KEYS)?;
    let traceparent = mapping.or("traceparent", defaults::TRACEPARENT, |node| node.boolean());
    Some(Tracing {
        traceparent: traceparent?,
    })
}
