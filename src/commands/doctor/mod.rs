//! `culvert doctor`: looks at this node as an operator would who was woken: what is wrong, and what
//! to do about it.
//!
//! It changes nothing. What the running process knows of itself `culvert status` shows; here is
//! what is around it, which it cannot see.

mod machine;
mod node;
mod verdict;

use std::io::Write as _;
use std::path::Path;

use self::verdict::Finding;
use self::verdict::Verdict::{Warning, Wrong};
use super::client::Client;
use super::table::Table;
use crate::cli::Reached;

/// Prints what was found. Errors: how many things are wrong.
pub(super) fn examine(reached: &Reached, conf: &Path) -> Result<String, String> {
    let mut findings = Vec::new();
    let config = node::configuration(conf, &mut findings);
    let status =
        Client::find(reached, conf).and_then(|client| client.ask("GET", "/api/v1/status", None));
    let pid = status
        .as_ref()
        .ok()
        .and_then(|status| status["pid"].as_u64());
    findings.push(match (&status, pid) {
        (Ok(_), Some(pid)) => Finding::ok("process", format!("{pid} runs")),
        (Ok(_), None) => Finding::new(Warning, "process", "what answers is not Culvert", ""),
        (Err(why), _) => Finding::new(
            Warning,
            "process",
            why,
            "where it should run: systemctl status culvert, journalctl -u culvert",
        ),
    });
    let rules = config.iter().flat_map(|config| &config.forwarding_rules);
    let ports: Vec<u16> = rules.map(|rule| rule.listen.port()).collect();
    findings.extend(machine::look(Path::new("/"), pid, &ports));
    if let Some(config) = &config {
        findings.extend(node::folders(config));
        findings.extend(node::certificates(config));
        findings.extend(node::names(config));
        findings.extend(node::listeners(config, pid.is_some()));
    }
    let wrong = findings
        .iter()
        .filter(|finding| finding.verdict == Wrong)
        .count();
    let shown = match reached.json {
        true => serde_json::to_string_pretty(&findings).map_err(|error| error.to_string())?,
        false => table(&findings),
    };
    match wrong {
        0 => Ok(shown),
        _ => {
            // Whoever reads it may have gone.
            writeln!(std::io::stdout(), "{shown}").ok();
            let things = if wrong == 1 { "thing is" } else { "things are" };
            Err(format!("culvert: {wrong} {things} wrong"))
        }
    }
}

/// A row for each, with what to do.
fn table(findings: &[Finding]) -> String {
    let mut table = Table::new(&["VERDICT", "CHECK", "SEEN"]);
    for finding in findings {
        let seen = match finding.what_to_do.is_empty() {
            true => finding.seen.clone(),
            false => format!("{} -> {}", finding.seen, finding.what_to_do),
        };
        table.row([
            finding.verdict.word().to_owned(),
            finding.check.to_owned(),
            seen,
        ]);
    }
    table.text()
}
