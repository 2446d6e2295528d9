//! `culvert doctor`, and what `-t` tries beyond the file: what is wrong with this node, before a
//! client finds out.

use serde_json::Value;

use crate::harness::edge::free_addresses;
use crate::harness::process::run;
use crate::harness::{Config, Edge};

fn examined(edge: &Edge) -> (bool, Vec<Value>) {
    let output = run(
        &["doctor", "--json", "-c", "culvert.yaml"],
        edge.folder.path(),
    );
    let findings = serde_json::from_slice(&output.stdout);
    let findings = findings.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.success(), findings)
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> (&'a str, &'a str) {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check}: {findings:?}"));
    let text = |key: &str| finding[key].as_str().unwrap();
    (text("verdict"), text("seen"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_serves_is_fine_and_what_is_only_in_its_file_is_missed() {
    let edge = Edge::start(&Config::answering("hello")).await;
    let (_, findings) = examined(&edge);
    for check in ["configuration", "folders", "listener", "process"] {
        assert_eq!(verdict(&findings, check).0, "ok", "{findings:?}");
    }
    for check in [
        "open files",
        "ports to targets",
        "new connections",
        "conntrack",
        "clock",
    ] {
        verdict(&findings, check);
    }

    let [free] = free_addresses();
    edge.configure(&Config::answering("hello").listen(free));
    let (is_fine, findings) = examined(&edge);
    assert!(!is_fine);
    assert_eq!(verdict(&findings, "listener").0, "wrong", "{findings:?}");
    let shown = run(&["doctor", "-c", "culvert.yaml"], edge.folder.path());
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.contains("WRONG    listener"), "{table}");
    let said = String::from_utf8(shown.stderr).unwrap();
    assert_eq!(said, "culvert: 1 thing is wrong\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_process_addresses_folders_and_names_are_tried() {
    let mut edge = Edge::start(&Config::answering("hello")).await;
    edge.signal("KILL");
    edge.exited().await;
    let broken = Config::to_group("targets: [{host: nowhere.invalid, port: 80}]", &[])
        .rule("listenerIp: 192.0.2.1")
        .top("accessLog: {path: FOLDER/missing/log}");
    edge.configure(&broken);
    let (is_fine, findings) = examined(&edge);
    assert!(!is_fine);
    assert_eq!(verdict(&findings, "process").0, "warning");
    for check in ["folders", "listener", "DNS"] {
        assert_eq!(verdict(&findings, check).0, "wrong", "{findings:?}");
    }
    edge.configure(&"forwardingRules: 1");
    let (is_fine, findings) = examined(&edge);
    assert!(!is_fine);
    assert_eq!(
        verdict(&findings, "configuration").0,
        "wrong",
        "{findings:?}"
    );
}

#[test]
fn a_check_tries_what_a_start_would_refuse_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [free, other] = free_addresses();
    let check = |config: Config, more: &[&str]| {
        let path = folder.path().join("edge.yaml");
        std::fs::write(&path, config.admin(other).to_string()).unwrap();
        let output = run(&[&["-t", "-c", "edge.yaml"], more].concat(), folder.path());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let good = || Config::answering("hello").listen(free);
    assert_eq!(
        check(good(), &[]),
        (true, "culvert: edge.yaml: ok\n".into(), String::new())
    );

    let taken = std::net::TcpListener::bind(free).unwrap();
    let told = format!("edge.yaml: forwardingRules[0]: {free} is in use now\n");
    let (is_fine, said, _) = check(good(), &[]);
    assert_eq!(
        (is_fine, said),
        (true, format!("{told}culvert: edge.yaml: ok\n"))
    );
    drop(taken);

    let foreign = || {
        good()
            .rule("listenerIp: 192.0.2.1")
            .top("accessLog: {path: missing/log}")
    };
    let (is_fine, _, said) = check(foreign(), &[]);
    assert!(
        !is_fine && said.contains("cannot listen on 192.0.2.1:"),
        "{said}"
    );
    assert!(
        said.contains("accessLog.path: missing: No such file"),
        "{said}"
    );
    for by_the_file_alone in ["--offline", "-u"] {
        assert!(check(foreign(), &[by_the_file_alone]).0);
    }

    let warned = || good().add_group("idle").group("targets: []");
    assert!(check(warned(), &[]).0);
    let (is_fine, _, said) = check(warned(), &["--strict"]);
    assert!(
        !is_fine && said.ends_with("warnings, and --strict\n"),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
