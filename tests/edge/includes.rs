//! A file includes others: what they have serves, and problems name the file that they are in.

use std::fs;
use std::path::Path;

use crate::command_line::text;
use crate::harness::process::run;
use crate::harness::{Config, Edge};

const GROUP: &str = "algorithm: RANDOM, protocol: HTTP, targets: [{ip: 127.0.0.1, port: 1}]";

/// A file with what it says before and after, and others in `conf.d`.
fn check(file: &str, others: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    fs::write(folder.path().join("edge.yaml"), file).unwrap();
    for (name, text) in others {
        fs::write(folder.path().join("conf.d").join(name), text).unwrap();
    }
    let output = run(&["-t", "-c", "edge.yaml"], folder.path());
    (output.status.code(), text(&output.stderr).to_owned())
}

fn rule(name: &str, port: u16) -> String {
    let answer = "{name: all, type: STATIC, responseMessage: ''}";
    format!(
        "- {{name: {name}, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: {port}, \
         httpRules: [{answer}]}}\n"
    )
}

#[tokio::test]
async fn the_rules_of_included_files_serve_and_a_reload_reads_them_anew() {
    let with_include = Config::answering("hello").top("include: [conf.d/*.yaml]");
    let edge = Edge::start(&with_include).await;
    let folder = edge.file().with_file_name("conf.d");
    fs::create_dir(&folder).unwrap();
    let [address] = crate::harness::ports::free_addresses();
    let rules = format!("forwardingRules:\n{}", rule("more", address.port()));
    fs::write(folder.join("more.yaml"), rules.replace("''", "more")).unwrap();
    edge.reload(&with_include).await;
    let answer = crate::harness::edge::get_now(address, "/").unwrap();
    assert!(answer.ends_with("more"), "{answer}");
    fs::remove_file(folder.join("more.yaml")).unwrap();
    edge.reload(&with_include).await;
    assert_eq!(edge.get("/").await.text(), "hello");
    let gone = || {
        crate::harness::edge::get_now(address, "/")
            .is_none()
            .then_some(())
    };
    crate::harness::eventually("it is not listened on any more", gone).await;
}

#[test]
fn rules_may_name_groups_of_other_files_and_problems_are_where_they_are() {
    let file = format!(
        "include: [conf.d/b.yaml, 'conf.d/*.yaml']\ntargetGroups:\n- {{name: own, {GROUP}}}\n"
    );
    let forward = |group: &str| {
        let forward = format!("{{name: all, type: FORWARD, targetGroup: {group}}}");
        let answer = "{name: all, type: STATIC, responseMessage: ''}";
        format!(
            "forwardingRules:\n{}",
            rule("a", 8080).replace(answer, &forward)
        )
    };
    let groups = format!("targetGroups:\n\n- {{name: far, {GROUP}}}\n");
    let hidden = (".c.yaml", "no: yaml");
    let (code, said) = check(
        &file,
        &[("a.yaml", &forward("far")), ("b.yaml", &groups), hidden],
    );
    let unused = "edge.yaml:3:3: warning: targetGroups[0] \"own\": no HTTP rule forwards to this \
                  target group\n";
    assert_eq!((code, said.as_str()), (Some(0), unused));

    let (code, said) = check(&file, &[("a.yaml", &forward("fra")), ("b.yaml", &groups)]);
    let problem = "conf.d/a.yaml:2:124: forwardingRules[0] \"a\": httpRules[0] \"all\": \
                   targetGroup: no target group named \"fra\"; did you mean \"far\"?\n";
    assert_eq!((code, said.as_str()), (Some(1), problem));

    // The same name, and the same address, in two files.
    let again = forward("own");
    let (code, said) = check(&file, &[("a.yaml", &again), ("b.yaml", &again)]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(code, Some(1));
    assert_eq!(
        lines,
        [
            "conf.d/a.yaml:2:10: forwardingRules[0] \"a\": name: duplicate name \"a\", also at \
             forwardingRules[0] \"a\": name (conf.d/b.yaml:2:10)",
            "conf.d/a.yaml:2:66: forwardingRules[0] \"a\": listenerPort: 127.0.0.1:8080 is already \
             used by forwardingRules[0] \"a\" (conf.d/b.yaml:2:3)",
        ]
    );
}

#[test]
fn what_cannot_be_included_is_told() {
    let own = format!("forwardingRules:\n{}", rule("a", 8080));
    for (include, text, expected) in [
        ("[conf.d/none/*.yaml]", "", ""),
        (
            "[missing.yaml]",
            "",
            "edge.yaml:1:11: include[0]: missing.yaml cannot be read: No such",
        ),
        (
            "[conf.d]",
            "",
            "edge.yaml:1:11: include[0]: conf.d is not a file",
        ),
        (
            "['**/a.yaml']",
            "",
            "edge.yaml:1:11: include[0]: must not have **",
        ),
        (
            "['conf.d/[.yaml']",
            "",
            "edge.yaml:1:11: include[0]: is not a pattern: ",
        ),
        (
            "conf.d/a.yaml",
            "",
            "edge.yaml:1:10: include: must be a list, not \"conf.d/a.yaml\"",
        ),
        (
            "[conf.d/a.yaml]",
            "server: {threads: 1}",
            "conf.d/a.yaml:1:1: server: is not for a file",
        ),
        (
            "[conf.d/a.yaml]",
            "include: []",
            "conf.d/a.yaml:1:1: include: is not for a file",
        ),
        (
            "[conf.d/a.yaml]",
            "targetGroup: []",
            "conf.d/a.yaml:1:1: targetGroup: unknown key",
        ),
        (
            "[conf.d/a.yaml]",
            "targetGroups: 1",
            "conf.d/a.yaml:1:15: targetGroups: must be a list",
        ),
        (
            "[conf.d/a.yaml]",
            "a: ]",
            "conf.d/a.yaml:1:4: did not find expected node content",
        ),
        (
            "[conf.d/a.yaml]",
            "[]",
            "conf.d/a.yaml: must be a mapping, not a list",
        ),
        ("[conf.d/*.yaml]", "# nothing", ""),
    ] {
        let file = format!("include: {include}\n{own}");
        let (code, said) = check(&file, &[("a.yaml", text)]);
        assert!(said.starts_with(expected), "{include} {text}: {said}");
        assert!(said.lines().count() <= 1, "{said}");
        assert_eq!(
            code == Some(0),
            expected.is_empty(),
            "{include} {text}: {said}"
        );
    }
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_the_included_file() {
    let folder = tempfile::tempdir().unwrap();
    let [admin] = crate::harness::ports::free_addresses();
    let file = format!("include: [more.yaml]\nadmin: {{listen: '{admin}'}}\n");
    fs::write(folder.path().join("edge.yaml"), file).unwrap();
    let rule = rule("far", 8080).replace("127.0.0.1", "192.0.2.1");
    fs::write(
        folder.path().join("more.yaml"),
        format!("forwardingRules:\n{rule}"),
    )
    .unwrap();
    let path = folder.path().join("edge.yaml");
    let output = run(&["-c", path.to_str().unwrap()], Path::new("/"));
    let said = text(&output.stderr);
    let more = folder.path().join("more.yaml");
    let expected = format!(
        "{}:2:3: forwardingRules[0] \"far\": cannot listen on 192.0.2.1:8080: ",
        more.display()
    );
    assert!(
        said.lines().any(|line| line.starts_with(&expected)),
        "{said}"
    );
}
