//! A network of a test's own, in which any address of a range can be listened at: an API server
//! takes no addresses of the loopback for endpoints.

use std::process::Command;

/// Set where the test is in its network already.
const INSIDE: &str = "CULVERT_TEST_INSIDE";
/// Namespaces of its own, with whoever it is as root.
const UNSHARE: [&str; 3] = ["--user", "--map-root-user", "--net"];
/// Which addresses there are beside the loopback.
const SETUP: &str = "ip link set lo up && ip route add local 10.99.0.0/24 dev lo && exec \"$@\"";

/// Whether the test of this name is in a network of its own. Outside it runs the test again in one,
/// and there is nothing to do then; with a word and without a run where there are no namespaces.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let network = |program: &str| {
        let mut command = Command::new("unshare");
        command
            .args(UNSHARE)
            .args(["sh", "-c", SETUP, "sh", program]);
        command
    };
    if !network("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("skipped: no namespaces, or no `ip`, on this machine");
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = network(program.to_str().unwrap());
    let command = command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    assert!(
        command.status().unwrap().success(),
        "it failed in its network"
    );
    false
}
