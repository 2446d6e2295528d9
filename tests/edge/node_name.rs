//! `server.name`: which node it is, wherever something is told.

use crate::harness::admin::{get, send};
use crate::harness::process::run;
use crate::harness::{Config, Edge};

fn info(edge: &Edge) -> Vec<String> {
    let metrics = edge.admin_page("/metrics");
    let lines = metrics.lines().map(str::to_owned);
    lines
        .filter(|line| line.starts_with("culvert_instance_info{"))
        .collect()
}

fn command(edge: &Edge, name: &str) -> String {
    let admin = format!("http://{}", edge.admin);
    let output = run(&[name, "--admin", &admin], edge.folder.path());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_is_in_lines_metrics_and_the_status_and_a_reload_changes_it() {
    let named = |name: &str| Config::answering("hello").server(&format!("name: {name}"));
    let edge = Edge::start(&named("fra-1")).await;
    edge.get("/").await;
    assert_eq!(edge.log_line().await["node"], "fra-1");
    assert_eq!(info(&edge), [r#"culvert_instance_info{node="fra-1"} 1"#]);
    assert_eq!(get(&edge, "/api/v1/status")["node"], "fra-1");
    assert!(command(&edge, "status").contains(" on fra-1, process "));

    edge.configure(&named("fra-2"));
    assert_eq!(send(&edge, "POST", "/api/v1/reload").0, 200);
    edge.get("/").await;
    assert_eq!(edge.log_lines(2).await[1]["node"], "fra-2");
    assert_eq!(info(&edge), [r#"culvert_instance_info{node="fra-2"} 1"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_name_it_is_the_hosts() {
    let edge = Edge::start(&Config::answering("hello")).await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(get(&edge, "/api/v1/status")["node"], host.trim());
    edge.get("/").await;
    assert_eq!(edge.log_line().await["node"], host.trim());
}
