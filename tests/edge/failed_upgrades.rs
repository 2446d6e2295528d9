//! A new process that fails, however and whenever, changes nothing.

use std::time::{Duration, Instant};

use crate::harness::Load;
use crate::upgrade::{LONG, Lineage, REAL, configuration};

const HANG: &str = "while :; do sleep 1; done";

#[tokio::test]
async fn a_new_process_that_fails_at_any_step_changes_nothing() {
    let lineage = Lineage::start(LONG).await;
    let mut client = lineage.edge.tunnels(1).await.remove(0);
    lineage.prepare("second");
    let said = lineage.fails("echo not good >&2; exit 1", REAL).await;
    assert!(said.contains("not good"), "{said}");
    for (check, start) in [
        ("kill -9 $$", REAL),
        (REAL, "exit 7"),
        (REAL, "exit 0"),
        (REAL, "kill -9 $$"),
    ] {
        lineage.fails(check, start).await;
        client.say_hi().await;
    }
    lineage.succeeds("second").await;
    client.say_hi().await;
}

#[tokio::test]
async fn a_binary_that_is_not_there_or_cannot_be_run_changes_nothing() {
    let lineage = Lineage::start(LONG).await;
    let file = lineage.edge.file();
    for binary in ["/nowhere/culvert", file.to_str().unwrap()] {
        let (code, said) = lineage.upgrade(&["--binary", binary]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(binary), "{said}");
        lineage.nothing_changed().await;
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_the_command_tells_its_problems() {
    let lineage = Lineage::start(LONG).await;
    let second = || configuration("second", LONG, &lineage.target);
    for (bad, problem) in [
        (
            second().http_rule("targetGroup: nowhere"),
            "targetGroup: no target group named \"nowhere\"",
        ),
        // These show only when the new process is about to listen and to log.
        (
            second().rule("listenerIp: 192.0.2.1"),
            "forwardingRules[0] \"edge\": cannot listen on 192.0.2.1:",
        ),
        (
            second().top("accessLog: {path: FOLDER/missing/access.log}"),
            "accessLog.path: No such file",
        ),
        (
            second().server("pidFile: FOLDER/missing/culvert.pid"),
            "server.pidFile: ",
        ),
    ] {
        lineage.edge.configure(&bad);
        let (code, said) = lineage.upgrade(&[]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(problem), "{said}");
        lineage.nothing_changed().await;
    }
    // The way to it is still there.
    lineage.succeeds("second").await;
    lineage.succeeds("second").await;
}

/// Without an answer within the timeout the new process is ended, whatever it hangs in.
async fn hangs(check: &str, start: &str) {
    let lineage = Lineage::start("upgrade: {timeout: 4s}").await;
    let load = Load::on(lineage.edge.address);
    lineage.prepare("second");
    let since = Instant::now();
    lineage.fails(check, start).await;
    assert!(since.elapsed() >= Duration::from_secs(4));
    load.stop().await;
    lineage.succeeds("second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_that_does_not_end_its_check_in_time_changes_nothing() {
    hangs(HANG, REAL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_does_not_get_ready_in_time_changes_nothing() {
    hangs(REAL, HANG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_is_killed_at_any_moment_before_it_serves_changes_nothing() {
    let lineage = Lineage::start("upgrade: {timeout: 10s}").await;
    let mut client = lineage.edge.tunnels(1).await.remove(0);
    lineage.prepare("second");
    let mut kills = 0;
    // Later and later, until it has got so far that the command has ended well.
    for milliseconds in (0..1000).step_by(7) {
        let load = Load::on(lineage.edge.address);
        let start = format!("(sleep 0.{milliseconds:03}; kill -9 $$) & {REAL}");
        let path = lineage.impostor(REAL, &start);
        let (code, said) = lineage.upgrade(&["--binary", path.to_str().unwrap()]).await;
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(1), "{said}");
        lineage.nothing_changed().await;
        client.say_hi().await;
        load.stop().await;
        kills += 1;
    }
    assert!(kills > 0, "it was never killed in time");
}

#[tokio::test]
async fn an_upgrade_without_a_running_process_fails_with_a_reason() {
    let mut lineage = Lineage::start(LONG).await;
    lineage.edge.signal("TERM");
    lineage.edge.exited().await;
    let (code, said) = lineage.upgrade(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("upgrade.sock"), "{said}");
}
