//! `culvert certificates`.

use std::path::Path;

use serde_json::{Value, json};

use super::answer::{list, shown, text};
use super::client::Client;
use super::table::Table;
use crate::cli::Certificates;

const PATH: &str = "/api/v1/certificates";

/// Lists the certificates, or has one renewed.
pub(super) fn run(asked: &Certificates, conf: &Path) -> Result<String, String> {
    let client = Client::find(&asked.reached, conf)?;
    let Some(name) = &asked.renew else {
        return Ok(shown(&asked.reached, &client.ask("GET", PATH, None)?, show));
    };
    let path = format!("{PATH}/{}/renew", encoded(name));
    let answer = client.ask("POST", &path, Some(&json!({})))?;
    Ok(shown(&asked.reached, &answer, |_| {
        format!("culvert: certificate {name:?} is ordered now; culvert certificates tells how far")
    }))
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn show(answer: &Value) -> String {
    let mut table = Table::new(&[
        "NAME",
        "FOR",
        "UNTIL",
        "DAYS",
        "ISSUED BY",
        "NEXT",
        "FAILED",
    ]);
    let mut errors = String::new();
    for one in list(answer, "/items") {
        let names: Vec<&str> = list(one, "/names")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let acme = one.get("acme").filter(|acme| !acme.is_null());
        let days = one["daysLeft"].as_f64().unwrap_or(0.0).floor();
        let (until, days) = match one["selfSigned"] == true {
            true => ("self-signed".to_owned(), String::new()),
            false => (text(one, "/notAfter"), days.to_string()),
        };
        let next = match acme.and_then(|acme| acme["state"].as_str()) {
            Some("renewing") => "now".to_owned(),
            Some("elsewhere") => "now, elsewhere".to_owned(),
            _ => acme.map_or(String::new(), |acme| text(acme, "/nextAttempt")),
        };
        table.row([
            text(one, "/name"),
            names.join(" "),
            until,
            days,
            acme.map_or("files".to_owned(), |acme| text(acme, "/directory")),
            next,
            acme.map_or(String::new(), |acme| text(acme, "/failures")),
        ]);
        if let Some(error) = acme.and_then(|acme| acme["error"].as_str()) {
            errors.push_str(&format!("\n{}: {error}", text(one, "/name")));
        }
    }
    match errors.is_empty() {
        true => table.text(),
        false => format!("{}\n{errors}", table.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_is_a_row_and_what_failed_is_told_below() {
        let acme = json!({
            "directory": "https://ca.example/dir", "state": "waiting", "failures": 2,
            "nextAttempt": "2026-11-27T10:00:00Z", "error": "chat.example.com: refused",
        });
        let shown = show(&json!({"items": [
            {"name": "old", "names": ["a.example"], "notAfter": "2027-01-01T00:00:00Z",
             "daysLeft": 34.6, "selfSigned": false},
            {"name": "chat", "names": ["chat.example.com"], "notAfter": "2026-11-27T09:00:00Z",
             "daysLeft": -0.1, "selfSigned": true, "acme": acme},
        ]}));
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[1],
            ["old", "a.example", "2027-01-01T00:00:00Z", "34", "files"]
        );
        let expected = [
            "chat",
            "chat.example.com",
            "self-signed",
            "https://ca.example/dir",
            "2026-11-27T10:00:00Z",
            "2",
        ];
        assert_eq!(rows[2], expected);
        assert_eq!(
            shown.lines().last(),
            Some("chat: chat.example.com: refused")
        );
    }

    #[test]
    fn a_name_stays_in_its_segment() {
        assert_eq!(encoded("chat 1/../x"), "chat%201%2F..%2Fx");
    }
}
