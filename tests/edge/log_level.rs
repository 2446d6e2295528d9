//! `server.logLevel` and `culvert log-level`: how much is said on standard error.

use crate::harness::admin::send;
use crate::harness::process::run;
use crate::harness::{Config, Edge};

fn level(edge: &Edge, arguments: &[&str]) -> String {
    let admin = format!("http://{}", edge.admin);
    let all = [&["log-level", "--admin", &admin][..], arguments].concat();
    let output = run(&all, edge.folder.path());
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// Has something said at the level info.
fn orders(edge: &Edge) {
    assert_eq!(send(edge, "DELETE", "/api/v1/tunnels?id=none").0, 202);
}

const ORDER: &str = "tunnels killed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_changes_while_it_serves_and_a_reload_ends_that() {
    let config = Config::answering("hello").server("logLevel: error");
    let edge = Edge::start(&config).await;
    assert_eq!(level(&edge, &[]), "error");
    orders(&edge);
    assert_eq!(level(&edge, &["info"]), "info");
    edge.says("log level: info").await;
    assert!(
        !edge.diagnostics().contains(ORDER),
        "{}",
        edge.diagnostics()
    );
    orders(&edge);
    edge.says(ORDER).await;
    assert_eq!(level(&edge, &["default"]), "error");
    assert_eq!(level(&edge, &["debug"]), "debug");
    edge.configure(&config);
    assert_eq!(send(&edge, "POST", "/api/v1/reload").0, 200);
    assert_eq!(level(&edge, &[]), "error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_it_is_info_and_another_word_is_refused() {
    let edge = Edge::start(&Config::answering("hello")).await;
    assert_eq!(level(&edge, &[]), "info");
    assert!(level(&edge, &["loud"]).contains("must be error, warn, info or debug"));
    assert_eq!(level(&edge, &["default"]), "info");
}
