//! A test that fails prints what matters, and no more than can be read.

use std::process::Command;

use crate::harness::Process;
use crate::harness::report::excerpt;

#[test]
fn of_many_lines_the_first_and_the_last_are_printed_and_the_others_counted() {
    let lines: Vec<String> = (0..18_000).map(|number| format!("line {number}")).collect();
    let shown = excerpt(lines.iter().map(String::as_str).collect(), 10);
    assert_eq!(shown.len(), 10);
    assert_eq!(shown[0], "line 0");
    assert_eq!(shown[3], "… 17991 lines …");
    assert_eq!(shown[9], "line 17999");
}

#[test]
fn of_a_few_lines_all_are_printed_and_of_one_that_is_too_long_its_ends() {
    let long = format!("begin{}end", "ü".repeat(1 << 20));
    let shown = excerpt(vec!["one", &long], 10);
    assert_eq!((shown.len(), &*shown[0]), (2, "one"));
    assert!(shown[1].chars().count() < 800, "{}", shown[1]);
    assert!(shown[1].starts_with("begin") && shown[1].ends_with("end"));
    assert!(excerpt(vec!["one", "two"], 0).is_empty());
}

#[tokio::test]
async fn a_failing_test_prints_at_most_a_hundred_lines() {
    // It runs itself again, and fails then.
    const FAIL: &str = "CULVERT_TEST_FAILS";
    let name = "failures::a_failing_test_prints_at_most_a_hundred_lines";
    if std::env::var_os(FAIL).is_some() {
        return fail().await;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again
        .args(["--exact", name])
        .env(FAIL, "")
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    // The line of the message's place, and what the test's runner says itself.
    assert!((50..100).contains(&said.lines().count()), "{said}");
    assert!(said.contains("a line of the message") && said.contains("unknown key"));
}

/// Fails with a long message, after a process with a lot to say.
async fn fail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.yaml");
    let keys: String = (0..5000)
        .map(|number| format!("key{number}: 1\n"))
        .collect();
    std::fs::write(&file, keys).unwrap();
    let mut process = Process::start(&["-t", "-c", file.to_str().unwrap()]);
    process.ended().await;
    panic!("{}", "a line of the message\n".repeat(18_000));
}
