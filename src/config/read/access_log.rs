//! `accessLog`: where lines go, what they look like, and which there are.

use super::super::model::{AccessLog, LogFormat};
use super::super::tree::Mapping;
use super::defaults;

pub(super) const KEYS: &[&str] = &[
    "path",
    "format",
    "redactQueryKeys",
    "sample",
    "openRecords",
    "journal",
];

const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("text", LogFormat::Text)];

/// How many more names are redacted at most: each parameter of a request is compared with all.
const MOST_NAMES: usize = 100;

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
    Some(AccessLog {
        path: path?,
        format: format?,
        redact_query_keys: redact_query_keys?,
        sample: sample?,
        open_records: open_records?,
        journal: journal?,
    })
}
