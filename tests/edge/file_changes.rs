//! What a file says with its defaults, what another one would change, and what a reload has
//! changed: in words, with the tunnels that it is about.

use std::path::Path;

use serde_json::Value;

use crate::harness::admin::{get, send};
use crate::harness::docs::repository;
use crate::harness::process::run;
use crate::harness::target::refusing;
use crate::harness::{Config, Edge, Target};

fn culvert(edge: &Edge, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let all = [arguments, &["-c", "culvert.yaml"]].concat();
    let output = run(&all, edge.folder.path());
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (
        output.status.code(),
        text.lines().map(str::to_owned).collect(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_and_whoever_asks_before_tell_what_is_different() {
    let (stays, goes) = (Target::named("a").await, Target::named("b").await);
    let both = Config::forwarding_to(&[stays.address, goes.address]);
    let edge = Edge::start(&both).await;
    let _tunnels = edge.tunnels(2).await;
    let nothing = culvert(&edge, &["config", "--diff"]);
    assert_eq!(nothing.1, ["culvert: a reload would change nothing"]);

    let one = Config::forwarding_to(&[stays.address]);
    edge.configure(&one.rule("clientTimeout: 3s").group("slowStart: 10s"));
    let expected = [
        "forwarding rule edge: changed: clientTimeout".to_owned(),
        "target group group: changed: slowStart".to_owned(),
        format!(
            "target group group: target {}: removed; 1 open tunnel ends, after deregistrationDelay",
            goes.address
        ),
    ];
    for asked in [&["config", "--diff"][..], &["reload", "--dry-run"]] {
        let (code, lines) = culvert(&edge, asked);
        assert_eq!((code, &lines[..3]), (Some(0), &expected[..]));
        assert!(lines[3].ends_with("nothing has changed"), "{lines:?}");
    }
    assert_eq!(culvert(&edge, &["config", "--diff"]).1[..3], expected);
    let answer = get(&edge, "/api/v1/reload");
    assert_eq!(
        (&answer["applied"], &answer["changes"]),
        (&false.into(), &expected[..].into())
    );

    let (code, lines) = culvert(&edge, &["reload"]);
    assert_eq!((code, &lines[..3]), (Some(0), &expected[..]));
    assert_eq!(lines[3], "culvert: the configuration is applied");
    edge.says("reload: forwarding rule edge: changed: clientTimeout")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_and_what_stays_are_told_and_a_bad_file_is_refused_before_a_reload() {
    let config = Config::answering("hello").server("threads: 1");
    let edge = Edge::start(&config).await;
    let other = config.clone().server("threads: 2").add_group("idle");
    edge.configure(&other.group("targets: []"));
    let stays = "server.threads stays as it is until a new process takes over";
    for asked in [&["reload", "--dry-run"][..], &["reload"]] {
        let (_, lines) = culvert(&edge, asked);
        assert!(lines.iter().any(|line| line == stays), "{lines:?}");
        let has = |words: &str| lines.iter().any(|line| line.contains(words));
        assert!(
            has("warning: targetGroups[0] \"idle\": targets: no targets"),
            "{lines:?}"
        );
        assert!(has("target group idle: added, with 0 targets"), "{lines:?}");
    }

    edge.configure(&config.clone().rule("clientTimeut: 1s"));
    let (code, lines) = culvert(&edge, &["reload", "--dry-run"]);
    assert_eq!(code, Some(1));
    assert!(lines[0].contains("clientTimeut: unknown key"), "{lines:?}");
    let foreign = config.add_rule("far").rule(
        "listenerIp: 192.0.2.1, listenerPort: 80,
         httpRules: [{name: a, type: STATIC, responseMessage: x}]",
    );
    edge.configure(&foreign);
    let (code, lines) = culvert(&edge, &["config", "--diff"]);
    assert_eq!(code, Some(1));
    assert!(
        lines[0].contains("cannot listen on 192.0.2.1:80"),
        "{lines:?}"
    );
    let (status, _) = send(&edge, "POST", "/api/v1/reload");
    assert_eq!(status, 422);
    assert_eq!(edge.get("/").await.text(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_are_compared_without_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, config: Config| {
        std::fs::write(folder.path().join(name), config.to_string()).unwrap();
    };
    let target = refusing();
    let config = || Config::to_group("", &[target]).rule("listenerPort: 81");
    write("old.yaml", config());
    write("new.yaml", config().rule("listenerPort: 82"));
    let compared = |new: &str| {
        let output = run(&["config", "-c", "old.yaml", "--diff", new], folder.path());
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = "forwarding rule edge: listens on 127.0.0.1:82, 127.0.0.1:81 is closed\n";
    assert_eq!(compared("new.yaml"), expected);
    assert_eq!(compared("old.yaml"), "culvert: nothing is different\n");
}

#[test]
fn the_effective_configuration_has_the_defaults_and_is_a_file_itself() {
    let folder = tempfile::tempdir().unwrap();
    let minimal = repository("conf/minimal.yaml");
    let minimal = minimal.to_str().unwrap();
    let shown = run(&["config", "-c", minimal], folder.path());
    assert!(shown.status.success(), "{shown:?}");
    let tree: Value = serde_yaml::from_slice(&shown.stdout).unwrap();
    assert_eq!(tree["server"]["drain"]["deadline"], "30s");
    assert_eq!(tree["forwardingRules"][0]["clientTimeout"], "50s");
    assert_eq!(tree["targetGroups"][0]["failOpen"], false);
    let path = folder.path().join("whole.yaml");
    std::fs::write(&path, &shown.stdout).unwrap();
    let arguments = ["config", "-c", minimal, "--diff", "whole.yaml"];
    let compared = run(&arguments, folder.path());
    assert_eq!(
        compared.stdout, b"culvert: nothing is different\n",
        "{compared:?}"
    );
}

#[test]
fn the_schema_is_printed_as_it_comes_with_culvert() {
    let output = run(&["schema"], Path::new("/"));
    let file = std::fs::read(repository("conf/culvert.schema.json")).unwrap();
    assert_eq!(output.stdout, file);
}
