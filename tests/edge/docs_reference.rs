//! The reference leaves nothing out: its tables name what the program and the API have.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::harness::docs::{page, repository};
use crate::harness::process::run;
use crate::harness::target::refusing;
use crate::harness::{Config, Edge, admin};

fn reference() -> crate::harness::docs::Page {
    page("docs/reference.md")
}

/// The values that a label of a metric has.
fn values(metrics: &str, metric: &str, label: &str) -> BTreeSet<String> {
    let value = Regex::new(&format!(r#"(?m)^{metric}\{{.*\b{label}="([^"]+)""#)).unwrap();
    let found = value.captures_iter(metrics);
    found.map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_key_of_the_configuration_is_in_the_index_of_keys() {
    let manual = std::fs::read_to_string(repository("conf/culvert.yaml")).unwrap();
    let mut keys = BTreeSet::new();
    gather(&serde_yaml::from_str(&manual).unwrap(), &mut keys);
    assert!(keys.len() > 100, "{}", keys.len());
    let listed: BTreeSet<String> = reference().quoted("Keys", 1).into_iter().collect();
    let missing: Vec<_> = keys.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown = listed.iter().filter(|key| {
        !manual.contains(&format!("{key}:")) && !manual.contains(&format!("`{key}`"))
    });
    assert_eq!(unknown.collect::<Vec<_>>(), [""; 0]);
}

/// The keys of a file; headers, whose names begin with a capital, are none.
fn gather(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if key.starts_with(char::is_lowercase) {
                found.insert(key.clone());
            }
            gather(value, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_reason_of_refusals_and_of_closes_is_in_its_table() {
    let edge = Edge::start(&Config::forwarding_to(&[refusing()])).await;
    let metrics = edge.admin_page("/metrics");
    let refusals = reference().quoted("Reasons of refusals", 0);
    let known = values(&metrics, "culvert_refusals_total", "reason");
    assert_eq!(refusals.into_iter().collect::<BTreeSet<_>>(), known);

    let closes: BTreeSet<String> = reference().quoted("Access log", 0).into_iter().collect();
    let known = values(&metrics, "culvert_tunnels_closed_total", "reason");
    assert!(known.len() > 5, "{known:?}");
    let missing: Vec<_> = known.difference(&closes).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn every_path_of_the_api_is_in_its_table() {
    let edge = Edge::start(&Config::forwarding_to(&[refusing()])).await;
    let document = admin::get(&edge, "/api/v1/openapi.json");
    let paths = document["paths"].as_object().unwrap();
    let table = reference().quoted("Admin API", 0).join("\n");
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let whole = format!("{} {path}", method.to_uppercase());
            let is_there = table.contains(&whole) || method == "get" && table.contains(path);
            assert!(is_there, "{whole}");
        }
    }
    assert!(paths.len() > 5);
}

#[tokio::test]
async fn every_field_of_a_line_is_in_the_table_of_fields() {
    let edge = Edge::start(&Config::forwarding_to(&[refusing()])).await;
    edge.get("/?a=b").await;
    let fields: BTreeSet<String> = reference().quoted("Access log", 0).into_iter().collect();
    let line: Value = edge.log_line().await;
    for field in line.as_object().unwrap().keys() {
        assert!(fields.contains(field), "{field}");
    }
}

#[test]
fn every_command_and_every_option_is_in_the_reference() {
    let text = std::fs::read_to_string(repository("docs/reference.md")).unwrap();
    let top = help(&[]);
    let (_, commands) = top.split_once("Commands:\n").unwrap();
    let commands = commands.split("\n\n").next().unwrap().lines();
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let is_there = text.contains(&format!("`culvert {name}")) || name == "demo";
        assert!(is_there, "{name}");
        assert_options(&text, &help(&[name]));
    }
    assert_options(&text, &top);
}

fn help(arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--help"]].concat(), Path::new("/"));
    String::from_utf8(output.stdout).unwrap()
}

/// The options that a help text lists are in the reference, by their long or their short name.
fn assert_options(text: &str, help: &str) {
    let option = Regex::new(r"(?m)^ +(?:(-\w), )?(--[a-z-]+)").unwrap();
    for found in option.captures_iter(help) {
        let has = |name: &str| {
            text.contains(&format!("{name} "))
                || text.contains(&format!("{name}]"))
                || text.contains(&format!("{name}`"))
        };
        let is_there = [found.get(1), found.get(2)]
            .into_iter()
            .flatten()
            .any(|name| has(name.as_str()));
        assert!(is_there, "{}: {help}", &found[0]);
    }
}
