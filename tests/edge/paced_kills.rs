//! Many tunnels are killed one after the other, so that their clients do not come back at once; and
//! what kills and drains do is told.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::admin::get;
use crate::harness::process::run;
use crate::harness::{Config, Connection, Edge, Target, eventually};

async fn open(config: &Config, path: &str, count: usize) -> (Edge, Vec<Connection>) {
    let edge = Edge::start(config).await;
    let mut tunnels = Vec::new();
    for number in 0..count {
        tunnels.push(
            Connection::tunnel(edge.address, &format!("{path}{number}"))
                .await
                .0,
        );
    }
    let are_open = || (get(&edge, "/api/v1/tunnels")["total"] == count).then_some(());
    eventually("they are open", are_open).await;
    (edge, tunnels)
}

fn culvert(edge: &Edge, arguments: &[&str]) -> String {
    let admin = format!("http://{}", edge.admin);
    let all = [arguments, &["--admin", &admin]].concat();
    let output = run(&all, edge.folder.path());
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_many_are_spread_and_nobody_else_is_ended() {
    let target = Target::named("chat").await;
    let config = Config::forwarding_to(&[target.address]);
    let (edge, tunnels) = open(&config, "/room", 20).await;
    let mut other = Connection::tunnel(edge.address, "/other").await.0;
    let arguments = [
        "kill", "--search", "/room", "--code", "1012", "--over", "2s",
    ];
    let began = Instant::now();
    let said = culvert(&edge, &arguments);
    assert_eq!(
        said,
        "culvert: 20 tunnels are told to end with 1012 over 2 s\n"
    );
    let mut waiting = JoinSet::new();
    for mut tunnel in tunnels {
        waiting.spawn(async move {
            tunnel.is_sent_away().await;
            began.elapsed()
        });
    }
    let mut moments = waiting.join_all().await;
    moments.sort();
    let spread = moments[19] - moments[0];
    assert!(spread > Duration::from_secs(1), "{moments:?}");
    other.say_hi().await;
    edge.says("20 tunnels killed: search=\"/room\" code=\"1012\" over=\"2s\"")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_says_what_its_code_does() {
    let target = Target::named("chat").await;
    let config = Config::forwarding_to(&[target.address]);
    let (edge, mut tunnels) = open(&config, "/", 1).await;
    let said = culvert(&edge, &["kill", "--group", "group"]);
    let words = "culvert: 1 tunnel is told to end with 1008: it throws out, and bans nobody";
    assert!(said.starts_with(words), "{said}");
    tunnels[0].is_ended_with(1008).await;
    let help = culvert(&edge, &["kill", "--help"]);
    assert!(help.contains("graphql-ws gives up for good"), "{help}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_how_long_it_takes_and_how_many_it_ends_a_second() {
    let target = Target::named("chat").await;
    let config = Config::forwarding_to(&[target.address]);
    let config = config.server("drain: {readyDelay: 100ms, deadline: 2100ms}");
    let (edge, mut tunnels) = open(&config, "/", 3).await;
    let said = culvert(&edge, &["drain"]);
    let words = "culvert: drains 3 tunnels, 2.0 a second, from 0.1 s to 1.6 s from now; what is left \
                 after 2.1 s ends at once\n";
    assert_eq!(said, words);
    for tunnel in &mut tunnels {
        tunnel.is_sent_away().await;
    }
}
