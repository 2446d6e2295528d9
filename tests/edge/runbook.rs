//! Whoever is woken by an alert finds what to do: it leads to an entry of its own in the runbook.

use serde_json::Value;

use crate::harness::docs::{page, repository};

fn alerts() -> Vec<Value> {
    let text = std::fs::read_to_string(repository("grafana/alerts.yaml")).unwrap();
    let alerts: Value = serde_yaml::from_str(&text).unwrap();
    alerts["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn each_alert_leads_to_its_entry_in_the_runbook() {
    let runbook = page("docs/runbook.md");
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let link = alert["annotations"]["runbook"].as_str().expect(name);
        let (path, anchor) = link.split_once('#').expect(name);
        assert_eq!(path, runbook.path, "{name}");
        assert_eq!(anchor, name.to_lowercase());
        assert!(
            runbook.anchors().iter().any(|known| known == anchor),
            "{name} has no entry"
        );
    }
}

#[test]
fn each_entry_says_what_to_look_at_and_what_to_do() {
    let runbook = page("docs/runbook.md");
    let names: Vec<String> = alerts()
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap().to_owned())
        .collect();
    let prose = runbook.prose();
    let entries = prose.lines().filter_map(|line| line.strip_prefix("### "));
    let entries: Vec<&str> = entries.collect();
    assert!(entries.len() > names.len());
    for entry in entries {
        let section = runbook.section(entry);
        for part in ["**Look at**", "**Do**"] {
            assert!(section.contains(part), "{entry}: no {part}");
        }
    }
}
