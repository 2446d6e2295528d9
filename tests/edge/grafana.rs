//! What is in `grafana/`: a real Prometheus finds every metric of the dashboard and the alerts in a
//! Culvert, and the alerts fire when they should, and only then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::KeyPair;
use regex::Regex;
use serde_json::Value;

use crate::harness::client::HI;
use crate::harness::edge::free_addresses;
use crate::harness::prometheus::{grafana, promtool};
use crate::harness::target::refusing;
use crate::harness::{
    ApiServer, Authority, Config, Connection, Edge, Prometheus, Target, eventually, eventually_or,
};

const REFERENCE: &str = include_str!("../../docs/reference.md");
const HOST: &str = "a.example";
/// How many tunnels each target ends, or breaks off.
const TUNNELS: usize = 30;

/// Alerts that do not fire in a small load, and why. What they compare must be there nonetheless.
const QUIET: &[(&str, &str)] = &[
    ("CulvertDown", "the process runs"),
    ("CulvertAbnormalClosesRising", "the last day is no other"),
    ("CulvertDrainStuck", "nothing drains"),
    ("CulvertCertificateRenewalFails", "it has failed but once"),
    ("CulvertFewFilesLeft", "few files are open"),
    ("CulvertMemoryShort", "there is enough memory"),
    ("CulvertApiStoreAway", "the folder can be written to"),
    ("CulvertClusterAway", "the server answers"),
    ("CulvertApiNotServed", "what is written serves"),
    ("CulvertAccessLogDropped", "no line is lost"),
];

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let (is_content, said) = promtool(&["check", "rules", "alerts.yaml"], "");
    assert!(is_content, "{said}");
    let (is_content, said) = promtool(&["test", "rules", "alerts_test.yaml"], "");
    assert!(is_content, "{said}");
    let tests = yaml("alerts_test.yaml");
    for alert in alerts().keys() {
        let tests = tests["tests"].as_array().unwrap().iter();
        let moments = tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap());
        let its = moments.filter(|moment| moment["alertname"] == **alert);
        let fires: Vec<bool> = its
            .map(|moment| !moment["exp_alerts"].as_array().unwrap().is_empty())
            .collect();
        assert!(fires.contains(&true), "{alert} is not seen firing");
        assert!(fires.contains(&false), "{alert} is not seen quiet");
        let name = format!("`{alert}`");
        assert!(REFERENCE.contains(&name), "{alert} is not in the reference");
    }
}

#[test]
fn the_dashboards_identifiers_are_unique_and_its_variables_are_declared() {
    let dashboard = dashboard();
    let mut ids: Vec<_> = panels(&dashboard)
        .iter()
        .map(|panel| &panel["id"])
        .collect();
    let count = ids.len();
    ids.sort_by_key(|id| id.as_u64());
    ids.dedup();
    assert_eq!(ids.len(), count);
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let names: Vec<_> = variables
        .map(|variable| variable["name"].as_str())
        .collect();
    let declared = ["datasource", "instance", "forwarding_rule", "target_group"];
    assert_eq!(names, declared.map(Some));
    let used = Regex::new(r"\$\{?(\w+)").unwrap();
    for (_, name) in used
        .captures_iter(&dashboard.to_string())
        .map(|it| it.extract())
    {
        let [name]: [&str; 1] = name;
        assert!(declared.contains(&name) || name.starts_with("__"), "{name}");
    }
}

#[test]
fn the_dashboard_is_installed_where_grafana_is_told_to_look_for_it() {
    let provider = &yaml("provisioning/dashboards/culvert.yaml")["providers"][0];
    let installed = format!("{}/culvert.json\n", text(&provider["options"]["path"]));
    assert!(REFERENCE.contains(&installed), "{installed}");
    let source = &yaml("provisioning/datasources/prometheus.yaml")["datasources"][0];
    let variable = &dashboard()["templating"]["list"][0];
    assert_eq!(variable["query"], source["type"]);
}

#[tokio::test]
async fn a_real_prometheus_has_data_for_every_panel_and_every_alert() {
    let (authority, targets) = (Authority::new(), Targets::start().await);
    authority.issue_for("short", &[HOST], &KeyPair::generate().unwrap(), 2);
    let [secure, api] = free_addresses();
    let cluster = ApiServer::start().await;
    let configuration = targets.configuration(&authority, secure).api(api, "");
    let configuration = configuration.top(&cluster.key("one", cluster.gateway.ip(), ""));
    let edge = Edge::start(&configuration).await;
    let prometheus = Prometheus::scraping(&edge).await;

    let _open = load(&edge, &authority, secure).await;
    reload_twice(&edge, &configuration).await;

    for (place, expression) in expressions() {
        let what = format!("{place}: {expression} has data");
        let has_data = || (!prometheus.query(&expression).is_empty()).then_some(());
        eventually(&what, has_data).await;
    }
    for (alert, expression) in alerts() {
        if let Some((_, why)) = QUIET.iter().find(|(quiet, _)| *quiet == alert) {
            assert!(prometheus.query(&expression).is_empty(), "{alert}: {why}");
        }
    }
    eventually_or("each alert is evaluated", || {
        let alerts = prometheus.alerts();
        let is_evaluated = |(health, _): &(String, String)| health == "ok";
        let are_all = !alerts.is_empty() && alerts.iter().all(is_evaluated);
        are_all.then_some(()).ok_or_else(|| format!("{alerts:?}"))
    })
    .await;
    assert!(prometheus.query("culvert_nothing").is_empty());
}

/// Every expression of the dashboard and of the alerts as Prometheus is asked for it, with its
/// place.
fn expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut all = Vec::new();
    for panel in panels(&dashboard) {
        let targets = panel["targets"].as_array().into_iter().flatten();
        all.extend(targets.map(|target| (text(&panel["title"]), text(&target["expr"]))));
    }
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    let ours = annotations.filter(|annotation| annotation["expr"].is_string());
    all.extend(ours.map(|annotation| (text(&annotation["name"]), text(&annotation["expr"]))));
    let labels = Regex::new(r"label_values\((.*), (\w+)\)").unwrap();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let counted = labels.replace(query, "count by ($2) ($1)");
            all.push((text(&variable["name"]), counted.into_owned()));
        }
    }
    for (alert, expression) in alerts() {
        let is_quiet = QUIET.iter().any(|(quiet, _)| *quiet == alert);
        let asked = if is_quiet {
            uncompared(&expression)
        } else {
            expression
        };
        all.push((alert, asked));
    }
    assert!(all.len() > 50, "{all:#?}");
    all.into_iter()
        .map(|(place, expression)| (place, with_values(&expression)))
        .collect()
}

/// An expression of the dashboard with its variables replaced, as Grafana does it.
fn with_values(expression: &str) -> String {
    let replaced = expression
        .replace("$__rate_interval", "5m")
        .replace("$__range", "5m")
        .replace("$instance", "(.+)")
        .replace("$forwarding_rule", "(.+)")
        .replace("$target_group", "(.+)");
    assert!(!replaced.contains('$'), "{replaced}");
    replaced
}

/// An alert's expression without the comparisons with numbers, which would hide what is compared.
fn uncompared(expression: &str) -> String {
    let comparison = Regex::new(r"(==|[<>]) [0-9.]+( \* [0-9.]+)*").unwrap();
    assert!(comparison.is_match(expression), "{expression}");
    comparison.replace_all(expression, "").into_owned()
}

fn alerts() -> BTreeMap<String, String> {
    let alerts = yaml("alerts.yaml");
    let rules = alerts["groups"][0]["rules"].as_array().unwrap().iter();
    rules
        .map(|rule| (text(&rule["alert"]), text(&rule["expr"])))
        .collect()
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(grafana("culvert.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(grafana(name)).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// A target that serves, one that breaks its tunnels off, and two that are not there.
struct Targets {
    good: Target,
    breaking: Target,
    down: SocketAddr,
    dead: SocketAddr,
}

impl Targets {
    async fn start() -> Targets {
        Targets {
            good: Target::named("good").await,
            breaking: Target::upgrading(async |mut connection: Connection| {
                connection.exactly(HI.len()).await;
                connection.reset();
            })
            .await,
            down: refusing(),
            dead: refusing(),
        }
    }

    fn configuration(&self, authority: &Authority, secure: SocketAddr) -> Config {
        let forward = |(group, path)| {
            format!(
                "{{name: {group}, type: FORWARD, targetGroup: {group},
                    conditions: [{{type: PATH, condition: STARTS_WITH, value: {path}}}]}}"
            )
        };
        let rules = [("breaking", "/break"), ("dead", "/dead"), ("chat", "/")];
        let rules = rules.map(forward).join(", ");
        let (nobody, ca_file) = (self.dead, authority.file("ca.crt"));
        let issued = format!(
            "certificates: [{{name: issued, acme: {{names: [issued.example], \
             directory: 'https://{nobody}/', caFile: {}, stateDirectory: FOLDER/acme}}}}]",
            ca_file.display()
        );
        let config = Config::new()
            .top(&issued)
            .http_rules(&rules)
            .add_rule("secure")
            .listen(secure)
            .tls(authority, &["short"])
            .http_rules(&rules);
        let checks = "healthCheck: {checkInterval: 100, checkTimeout: 1000, unhealthyThreshold: 1}";
        config
            .add_group("chat")
            .group(checks)
            .target(self.good.address, "")
            .target(self.down, "")
            .add_group("breaking")
            .group(checks)
            .target(self.breaking.address, "")
            .add_group("dead")
            .group(checks)
            .target(self.dead, "")
    }
}

/// Requests and tunnels that end in several ways. What is returned keeps one tunnel open on each
/// address.
async fn load(edge: &Edge, authority: &Authority, secure: SocketAddr) -> impl Sized {
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(edge.get("/dead").await.status, 503);
    for _ in 0..TUNNELS {
        drop(edge.tunnel().await);
        Connection::tunnel(edge.address, "/chat").await.0.reset();
        let (mut client, _) = Connection::tunnel(edge.address, "/break").await;
        client.send(HI).await;
        client.to_end().await;
    }
    let closed = |group: &str, reason: &str| {
        edge.metric(&format!(
            "tunnels_closed_total{{forwarding_rule=\"edge\",reason=\"{reason}\",target_group=\"{group}\"}}"
        )) as usize
    };
    eventually("the tunnels are closed", || {
        let counts = [
            closed("chat", "client_closed"),
            closed("chat", "client_error"),
            closed("breaking", "target_error"),
        ];
        (counts == [TUNNELS; 3]).then_some(())
    })
    .await;
    (edge.tunnel().await, authority.tunnel(secure, HOST).await)
}

/// A reload that is applied, in another second than the start, and one that is rejected.
async fn reload_twice(edge: &Edge, configuration: &Config) {
    let started = edge.metric("config_last_reload_timestamp_seconds");
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    };
    eventually("another second", || (now() >= started + 1.0).then_some(())).await;
    edge.reload(configuration).await;
    edge.configure(&"forwardingRules: nothing");
    edge.signal("HUP");
    let rejected = || edge.metric("config_reloads_total{result=\"rejected\"}") == 1.0;
    eventually("the configuration is rejected", || rejected().then_some(())).await;
}
