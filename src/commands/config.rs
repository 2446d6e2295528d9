//! `culvert config` and `culvert reload`: what the configuration is, and what another one changes.

use std::path::Path;

use serde_json::{Value, json};

use super::answer::{list, shown, text};
use super::client::Client;
use super::table::{Table, tame};
use crate::cli::{Effective, Reached, Reload};
use crate::config;
use crate::config::difference;

const RELOAD: &str = "/api/v1/reload";

/// `culvert config`
pub(super) fn run(asked: &Effective, conf: &Path) -> Result<String, String> {
    match &asked.diff {
        Some(None) => foreseen(&asked.reached, conf),
        Some(Some(other)) => files(conf, other),
        None if asked.sources => {
            let answer = Client::find(&asked.reached, conf)?.ask("GET", "/api/v1/config", None)?;
            Ok(shown(&asked.reached, &answer, show))
        }
        None => config::effective(conf).map_err(|problems| problems.to_string()),
    }
}

/// `culvert reload`
pub(super) fn reload(asked: &Reload, conf: &Path) -> Result<String, String> {
    if asked.dry_run {
        return foreseen(&asked.reached, conf);
    }
    let answer = Client::find(&asked.reached, conf)?.ask("POST", RELOAD, Some(&json!({})))?;
    let done = |answer: &Value| lines(answer, "culvert: the configuration is applied");
    Ok(shown(&asked.reached, &answer, done))
}

/// What a reload would change in the running process.
fn foreseen(reached: &Reached, conf: &Path) -> Result<String, String> {
    let answer = Client::find(reached, conf)?.ask("GET", RELOAD, None)?;
    let last = match list(&answer, "/changes").is_empty() {
        true => "culvert: a reload would change nothing",
        false => "culvert: a reload would change this; nothing has changed",
    };
    Ok(shown(reached, &answer, |answer| lines(answer, last)))
}

/// What is different in another file.
fn files(conf: &Path, other: &Path) -> Result<String, String> {
    let load = |path| config::load(path).map_err(|problems| problems.to_string());
    let changes = difference::between(&load(conf)?.config, &load(other)?.config);
    let lines: Vec<String> = changes
        .iter()
        .map(|change| tame(&change.to_string()))
        .collect();
    Ok(match lines.is_empty() {
        true => "culvert: nothing is different".to_owned(),
        false => lines.join("\n"),
    })
}

/// Warnings and changes, and then what is to be said of them.
fn lines(answer: &Value, last: &str) -> String {
    let all = list(answer, "/warnings")
        .iter()
        .chain(list(answer, "/changes"));
    let told = all.filter_map(Value::as_str).map(tame);
    let lines: Vec<String> = told.chain([last.to_owned()]).collect();
    lines.join("\n")
}

/// What serves, and where each part of it comes from.
pub(super) fn show(answer: &Value) -> String {
    let mut rules = Table::new(&["RULE", "LISTEN", "SOURCE"]);
    for rule in list(answer, "/forwardingRules") {
        rules.row([
            text(rule, "/name"),
            text(rule, "/listen"),
            text(rule, "/source"),
        ]);
    }
    let mut groups = Table::new(&["GROUP", "TARGETS", "SOURCE"]);
    for group in list(answer, "/targetGroups") {
        groups.row([
            text(group, "/name"),
            text(group, "/targets"),
            text(group, "/source"),
        ]);
    }
    format!("{}\n\n{}", rules.text(), groups.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_is_shown_with_its_source() {
        let shown = show(&json!({
            "forwardingRules": [{"name": "edge", "listen": "0.0.0.0:80", "source": "file"}],
            "targetGroups": [{"name": "chat", "targets": 2, "source": "api /targetgroups/1"}],
        }));
        let expected = "RULE  LISTEN      SOURCE\nedge  0.0.0.0:80  file\n\n\
                        GROUP  TARGETS  SOURCE\nchat   2        api /targetgroups/1";
        assert_eq!(shown, expected);
    }
}
