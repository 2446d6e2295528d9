//! Upgrade after upgrade under load: no byte and no tunnel is lost, what is counted never jumps,
//! and the last process is as small as an early one. `CULVERT_TEST_UPGRADES` may say how many.

use rustls::version::{TLS12, TLS13};
use tokio::task::JoinSet;

use crate::harness::tls::HOST;
use crate::harness::{Authority, Config, Edge, Target};
use crate::moved_tunnels::{Over, lines, one_is_left, pump, sums, upgradable, upgrade};

/// How many upgrades there are at least, and after how many the process is measured first.
const UPGRADES: usize = 12;
const FIRST: usize = 4;
/// How many tunnels of each version of TLS there are.
const TUNNELS: usize = 4;

/// What a process has.
#[derive(Debug)]
struct Size {
    files: usize,
    threads: usize,
    kib: u64,
}

fn size(edge: &Edge) -> Size {
    let process = format!("/proc/{}", edge.pid_in_file().unwrap());
    let count = |folder: &str| {
        let entries = std::fs::read_dir(format!("{process}/{folder}"));
        entries.unwrap().count()
    };
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    Size {
        files: count("fd"),
        threads: count("task"),
        kib: line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_many_upgrades_nothing_is_lost_and_nothing_has_grown() {
    let upgrades = std::env::var("CULVERT_TEST_UPGRADES").ok();
    let upgrades = upgrades.map_or(UPGRADES, |count| count.parse().unwrap());
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let target = Target::mirror().await;
    let config = Config::forwarding_to(&[target.address]).tls(&authority, &["one"]);
    let edge = Edge::start(&upgradable(config)).await;
    let (over, is_over): (_, Over) = tokio::sync::watch::channel(false);
    let mut pumps = JoinSet::new();
    for (version, seed) in [(&TLS12, 0), (&TLS13, 100)] {
        for place in 0..TUNNELS as u64 {
            let client = authority.tunnel_in(version, edge.address, HOST).await;
            pumps.spawn(pump(client, seed + place, is_over.clone()));
        }
    }
    let count = 2.0 * TUNNELS as f64;
    let mut early = None;
    for number in 0..upgrades {
        upgrade(&edge).await;
        assert_eq!(
            edge.tunnels_active(target.address),
            count,
            "upgrade {number}"
        );
        one_is_left(&edge).await;
        assert_eq!(
            edge.tunnels_active(target.address),
            count,
            "upgrade {number}"
        );
        if number == FIRST {
            early = Some(size(&edge));
        }
    }
    let (early, late) = (early.unwrap(), size(&edge));
    println!("{early:?}, after {upgrades} upgrades {late:?}");
    over.send(true).unwrap();
    let mut sent = pumps.join_all().await;
    let lines = lines(&edge, sent.len()).await;
    let mut told: Vec<u64> = lines.iter().map(|line| sums(line)[0]).collect();
    sent.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, sent);
    // Connections of requests to the admin address come and go.
    assert!(late.files <= early.files + 4, "{early:?} {late:?}");
    assert!(late.threads <= early.threads + 2, "{early:?} {late:?}");
    assert!(late.kib <= early.kib * 5 / 4, "{early:?} {late:?}");
}
