//! What `-t` says of a file: every problem with its place, and of good ones that they are.

use std::path::{Path, PathBuf};

use crate::command_line::{check, text, with_file};
use crate::harness::Config;
use crate::harness::process::run;

#[test]
fn a_valid_file_is_ok() {
    let folder = with_file(&Config::answering("hello").rule("listenerPort: 1"));
    check(
        &folder,
        &["-t", "--offline", "-c", "edge.yaml"],
        0,
        "culvert: edge.yaml: ok\n",
        "",
    );
    check(
        &folder,
        &["--test", "--offline", "--conf", "edge.yaml"],
        0,
        "culvert: edge.yaml: ok\n",
        "",
    );
    check(
        &folder,
        &["--offline", "-tc", "./edge.yaml"],
        0,
        "culvert: ./edge.yaml: ok\n",
        "",
    );
}

#[test]
fn the_file_is_conf_culvert_yaml_or_that_of_the_machine_unless_another_is_named() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = run(&["-t", "--offline"], here);
    assert_eq!(text(&output.stdout), "culvert: conf/culvert.yaml: ok\n");
    let folder = tempfile::tempdir().unwrap();
    if !Path::new("/etc/culvert/culvert.yaml").exists() {
        let missing = "cannot be read: No such file or directory (os error 2)";
        let missing = format!("/etc/culvert/culvert.yaml: {missing}\n");
        check(&folder, &["-t"], 1, "", &missing);
        check(&folder, &["status"], 1, "", &missing);
    }
}

#[test]
fn a_warning_does_not_make_a_file_invalid() {
    let folder = with_file(
        &"forwardingRules: [{name: a, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: 8080}]
targetGroups: [{name: g, algorithm: ROUND_ROBIN, protocol: HTTP}]\n",
    );
    let warnings =
        "edge.yaml:1:19: warning: forwardingRules[0] \"a\": httpRules: no rules: every request gets a 404
edge.yaml:2:16: warning: targetGroups[0] \"g\": targets: no targets: every request for this group is refused
edge.yaml:2:16: warning: targetGroups[0] \"g\": no HTTP rule forwards to this target group\n";
    let mut expected: Vec<_> = warnings.lines().collect();
    let output = run(&["-t", "--offline", "-c", "edge.yaml"], folder.path());
    let mut said: Vec<_> = text(&output.stderr).lines().collect();
    expected.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, expected);
    assert_eq!(text(&output.stdout), "culvert: edge.yaml: ok\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_problem_of_a_file_is_a_line_with_its_place() {
    let folder = with_file(
        &"forwardingRules:
  - name: a
    protocol: HTTP
    listenerIp: localhost
    listenerPort: 8080
    listenerport: 8080
    httpRules:
      - {name: r, type: FORWARD, targetGroup: chat}
      - {name: r, type: STATIC, statusCode: 99}
targetGroups:
  - {name: other, algorithm: ROUND_ROBIN, protocol: HTTP, targets: [{ip: 10.0.0.1}]}\n",
    );
    let output = run(&["-t", "--offline", "-c", "edge.yaml"], folder.path());
    let mut said: Vec<_> = text(&output.stderr).lines().collect();
    said.sort_unstable();
    let expected = [
        "edge.yaml:11:69: targetGroups[0] \"other\": targets[0].port: is required",
        "edge.yaml:4:17: forwardingRules[0] \"a\": listenerIp: must be an IP address, not \"localhost\"",
        "edge.yaml:6:5: forwardingRules[0] \"a\": listenerport: unknown key (did you mean \"listenerPort\"?)",
        "edge.yaml:8:47: forwardingRules[0] \"a\": httpRules[0] \"r\": targetGroup: no target group named \"chat\"",
        "edge.yaml:9:16: forwardingRules[0] \"a\": httpRules[1] \"r\": name: duplicate name \"r\", also at forwardingRules[0] \"a\": httpRules[0] \"r\": name (line 8)",
        "edge.yaml:9:45: forwardingRules[0] \"a\": httpRules[1] \"r\": statusCode: must be an integer from 200 to 599, not 99",
        "edge.yaml:9:9: forwardingRules[0] \"a\": httpRules[1] \"r\": responseMessage: is required",
    ];
    assert_eq!(said, expected);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
}

#[test]
fn a_file_that_cannot_be_used_at_all_is_one_line() {
    let folder = with_file(&"forwardingRules: [\n");
    std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    std::fs::write(folder.path().join("latin1.yaml"), b"a: \xe4").unwrap();
    std::fs::write(folder.path().join("empty.yaml"), b"# nothing\n").unwrap();
    for (file, problem) in [
        (
            "missing.yaml",
            "cannot be read: No such file or directory (os error 2)",
        ),
        (
            "folder.yaml",
            "cannot be read: Is a directory (os error 21)",
        ),
        ("latin1.yaml", "incomplete utf-8 byte sequence from index 3"),
        ("empty.yaml", "is empty"),
        (
            "edge.yaml",
            "did not find expected node content, while parsing a flow node",
        ),
    ] {
        let place = if file == "edge.yaml" { ":2:1" } else { "" };
        let line = format!("{file}{place}: {problem}\n");
        check(&folder, &["-t", "-c", file], 1, "", &line);
        check(&folder, &["-c", file], 1, "", &line);
    }
}

#[test]
fn the_golden_files_say_through_the_program_what_their_headers_announce() {
    for path in yaml_files("tests/edge/config/invalid") {
        let problems = announced(&path, "# problem: ", "");
        assert!(!problems.is_empty(), "{}", path.display());
        check_file(&path, 1, "", &problems);
    }
    for path in yaml_files("tests/edge/config/valid") {
        let ok = format!("culvert: {}: ok\n", path.display());
        check_file(&path, 0, &ok, &announced(&path, "# warning: ", "warning: "));
    }
}

#[test]
fn every_file_that_comes_with_culvert_is_ok() {
    for path in yaml_files("conf") {
        let ok = format!("culvert: {}: ok\n", path.display());
        check_file(&path, 0, &ok, "");
    }
}

fn check_file(path: &Path, code: i32, stdout: &str, stderr: &str) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edge/config/kubeconfig");
    std::fs::copy(kubeconfig, folder.path().join("kubeconfig")).unwrap();
    check(
        &folder,
        &["-t", "--offline", "-c", path.to_str().unwrap()],
        code,
        stdout,
        stderr,
    );
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    assert!(!paths.is_empty());
    paths
}

/// What the comments at the top of a file announce, as the program says it.
fn announced(path: &Path, mark: &str, prefix: &str) -> String {
    let file = std::fs::read_to_string(path).unwrap();
    let lines = file.lines().map_while(|line| line.strip_prefix(mark));
    lines
        .map(|line| {
            let placed = line
                .split_once(": ")
                .filter(|(place, _)| is_position(place));
            let (place, what) = placed.map_or((String::new(), line), |(place, what)| {
                (format!(":{place}"), what)
            });
            format!("{}{place}: {prefix}{what}\n", path.display())
        })
        .collect()
}

/// Whether a word is a line and a column: `12:5`.
fn is_position(word: &str) -> bool {
    let numbers = word.split_once(':');
    numbers.is_some_and(|(line, column)| {
        [line, column]
            .iter()
            .all(|number| number.parse::<usize>().is_ok())
    })
}

#[test]
fn a_kubeconfig_that_cannot_be_read_or_has_no_such_context_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let kubeconfig = "tests/edge/config/kubeconfig".to_owned();
    for (file, context, expected) in [
        (path("none"), "edge", "No such file or directory"),
        (kubeconfig, "other", "other"),
    ] {
        let gateway =
            format!("gateway: {{kubernetes: {{kubeconfig: {file}, context: {context}}}}}\n");
        std::fs::write(path("edge.yaml"), gateway).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = run(&["-t", "-c", &path("edge.yaml")], here);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(
            told.contains("gateway.kubernetes: ") && told.contains(expected),
            "{told}"
        );
        assert!(told.contains(&file), "{told}");
    }
}
