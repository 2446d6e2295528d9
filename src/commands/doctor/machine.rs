//! What the machine is like: what /proc says, and what it should say for many tunnels.

use std::fs;
use std::path::Path;

use super::verdict::Finding;
use super::verdict::Verdict::{Unknown, Warning, Wrong};

/// With fewer open files there are hardly 20,000 tunnels.
const FEW_FILES: u64 = 65_536;
/// With fewer ports there are not even 10,000 connections to one target.
const FEW_PORTS: u32 = 20_000;
/// With less a burst of new clients is turned away.
const SHORT_QUEUE: u32 = 4096;

/// Looks at the machine, below `root`, for this process, or for ourselves.
pub(super) fn look(root: &Path, pid: Option<u64>, listens_on: &[u16]) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let process = pid.map_or("self".to_owned(), |pid| pid.to_string());
    vec![
        files(read(&format!("proc/{process}/limits")).as_deref()),
        ports(
            read("proc/sys/net/ipv4/ip_local_port_range").as_deref(),
            read("proc/sys/net/ipv4/ip_local_reserved_ports").as_deref(),
            listens_on,
        ),
        queue(read("proc/sys/net/core/somaxconn").as_deref()),
        tracked(
            read("proc/sys/net/netfilter/nf_conntrack_count").as_deref(),
            read("proc/sys/net/netfilter/nf_conntrack_max").as_deref(),
        ),
        clock(root),
    ]
}

fn files(limits: Option<&str>) -> Finding {
    const CHECK: &str = "open files";
    let mut lines = limits.iter().flat_map(|limits| limits.lines());
    let line = lines.find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1));
    let todo = "raise LimitNOFILE= of the unit, or ulimit -n: a tunnel takes two files";
    match hard.map(|hard| (hard, hard.parse::<u64>())) {
        None => Finding::new(Unknown, CHECK, "no limit in /proc", ""),
        Some((hard, Ok(count))) if count < FEW_FILES => {
            Finding::new(Warning, CHECK, format!("at most {hard}"), todo)
        }
        Some((hard, _)) => Finding::ok(CHECK, format!("at most {hard}")),
    }
}

fn ports(range: Option<&str>, reserved: Option<&str>, listens_on: &[u16]) -> Finding {
    const CHECK: &str = "ports to targets";
    const KEY: &str = "net.ipv4.ip_local_port_range";
    let mut ends = range.unwrap_or_default().split_whitespace();
    let mut end = || ends.next().and_then(|end| end.parse::<u16>().ok());
    let (Some(first), Some(last)) = (end(), end()) else {
        return Finding::new(Unknown, CHECK, format!("no {KEY}"), "");
    };
    let count = u32::from(last.saturating_sub(first)) + 1;
    let seen = format!("{first} to {last}: {count} connections to each target");
    if count < FEW_PORTS {
        let todo = format!("sysctl -w {KEY}='1024 65535', or sourceAddresses of the group");
        return Finding::new(Warning, CHECK, seen, todo);
    }
    let is_reserved = |port: u16| reserved.is_some_and(|list| has(list, port));
    let mut at_risk = listens_on.iter().copied();
    match at_risk.find(|port| (first..=last).contains(port) && !is_reserved(*port)) {
        None => Finding::ok(CHECK, seen),
        Some(port) => Finding::new(
            Warning,
            CHECK,
            format!("{seen}; {port}, on which Culvert listens, is one of them"),
            format!("sysctl -w net.ipv4.ip_local_reserved_ports={port}: a start may find it taken"),
        ),
    }
}

/// Whether a list of ports and ranges has this port.
fn has(list: &str, port: u16) -> bool {
    list.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u16>(), last.parse::<u16>());
        first.is_ok_and(|first| first <= port) && last.is_ok_and(|last| port <= last)
    })
}

fn queue(most: Option<&str>) -> Finding {
    const CHECK: &str = "new connections";
    match most.and_then(|most| most.trim().parse::<u32>().ok()) {
        None => Finding::new(Unknown, CHECK, "no net.core.somaxconn", ""),
        Some(most) if most < SHORT_QUEUE => Finding::new(
            Warning,
            CHECK,
            format!("{most} may wait to be accepted"),
            "sysctl -w net.core.somaxconn=65535: clients that come back together are lost",
        ),
        Some(most) => Finding::ok(CHECK, format!("{most} may wait to be accepted")),
    }
}

fn tracked(count: Option<&str>, most: Option<&str>) -> Finding {
    const CHECK: &str = "conntrack";
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok());
    let Some((count, most)) = number(count).zip(number(most)) else {
        return Finding::ok(CHECK, "not in use");
    };
    let seen = format!("{count} of {most} connections");
    let todo = "sysctl -w net.netfilter.nf_conntrack_max=1048576, or NOTRACK for its ports: new \
                connections are dropped without a word where it is full";
    match count.saturating_mul(100) / most.max(1) {
        0..60 => Finding::ok(CHECK, seen),
        60..95 => Finding::new(Warning, CHECK, seen, todo),
        _ => Finding::new(Wrong, CHECK, seen, todo),
    }
}

/// Who keeps the clock right leaves a trace; a container has none.
fn clock(root: &Path) -> Finding {
    const CHECK: &str = "clock";
    let keepers = [
        ("run/systemd/timesync/synchronized", "systemd-timesyncd"),
        ("run/chrony", "chrony"),
        ("run/ntpd.pid", "ntpd"),
        ("run/ntpsec", "ntpsec"),
    ];
    match keepers.iter().find(|(path, _)| root.join(path).exists()) {
        Some((_, name)) => Finding::ok(CHECK, format!("kept by {name}")),
        None => Finding::new(
            Unknown,
            CHECK,
            "nobody is seen to keep it",
            "timedatectl shows whether it is synchronised: certificates and logs go by it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict::{self, Ok};
    use super::*;

    #[test]
    fn what_the_system_says_is_judged() {
        let limits =
            |hard: &str| format!("Limit  Soft Hard\nMax open files   1024   {hard}  files");
        let few = limits("4096");
        let many = limits("1048576");
        let table: [(Finding, Verdict); 12] = [
            (files(Some(&few)), Warning),
            (files(Some(&many)), Ok),
            (files(None), Unknown),
            (ports(Some("32768\t60999\n"), None, &[80]), Ok),
            (ports(Some("32768\t33000\n"), None, &[]), Warning),
            (ports(Some("32768\t60999\n"), Some("\n"), &[40000]), Warning),
            (
                ports(Some("32768\t60999\n"), Some("1,39000-40000"), &[40000]),
                Ok,
            ),
            (queue(Some("128\n")), Warning),
            (queue(Some("4096\n")), Ok),
            (tracked(None, None), Ok),
            (tracked(Some("700\n"), Some("1000\n")), Warning),
            (tracked(Some("1000\n"), Some("1000\n")), Wrong),
        ];
        for (finding, verdict) in table {
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            let is_fine = matches!(verdict, Ok | Unknown);
            assert_eq!(finding.what_to_do.is_empty(), is_fine, "{finding:?}");
        }
    }

    #[test]
    fn whoever_keeps_the_clock_is_found_by_its_trace() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(clock(root.path()).verdict, Unknown);
        fs::create_dir_all(root.path().join("run/chrony")).unwrap();
        assert_eq!(clock(root.path()).seen, "kept by chrony");
        assert_eq!(look(root.path(), None, &[]).len(), 5);
    }
}
