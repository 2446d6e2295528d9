//! Every exchange that is open when the process ends leaves its line, whichever way out it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::drain::{GET, LONG, edge, patient};
use crate::harness::client::{CLOSE, HI, SERVICE_RESTART, header};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Connection, Edge, Noise, Target, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_tunnels_leave_their_lines_when_the_process_exits_now() {
    const MANY: usize = 4000;
    let target = Target::named("target").await;
    let edge = edge(LONG, &target).await;
    let clients = edge.tunnels(MANY).await;
    edge.signal("INT");
    let (status, exits) = edge.ended().await;
    assert_eq!((status.code(), exits.len()), (Some(0), MANY));
    assert!(
        exits
            .iter()
            .all(|line| line["closeReason"] == "process_exit")
    );
    drop(clients);
}

const TUNNELS: usize = 500;
const REQUESTS: usize = 100;
/// The pace of the clients of a [`Crowd`].
const TICK: Duration = Duration::from_millis(5);

/// 500 tunnels, of which some talk and some are about to leave, and 100 requests that wait for
/// their answers.
struct Crowd {
    edge: Edge,
    noise: Noise,
    answer: watch::Sender<bool>,
    _target: Target,
    _clients: JoinSet<()>,
    _requests: Vec<Connection>,
}

impl Crowd {
    async fn gathers(seed: u64, server: &str) -> Crowd {
        culvert::os::open_files::raise();
        let (answer, answers) = watch::channel(false);
        let target = answering_when_told(answers).await;
        let edge = Edge::start(&patient(&target).server(server)).await;
        let tunnels = edge.tunnels(TUNNELS).await;
        let mut requests = Vec::new();
        for number in 0..REQUESTS {
            let mut request = edge.connect().await;
            let path = format!("/request/{number} ");
            request.send(GET.replace("/ ", &path)).await;
            requests.push(request);
        }
        let are_there = || (target.connections() == TUNNELS + REQUESTS).then_some(());
        eventually("all are there", are_there).await;
        let (mut noise, mut clients) = (Noise::seeded(seed), JoinSet::new());
        for (number, tunnel) in tunnels.into_iter().enumerate() {
            clients.spawn(match number % 10 {
                0 => talk(tunnel, usize::MAX),
                LEAVER => talk(tunnel, noise.below(60)),
                _ => talk(tunnel, SILENT),
            });
        }
        let mut crowd = Crowd {
            edge,
            noise,
            answer,
            _target: target,
            _clients: clients,
            _requests: requests,
        };
        crowd.moment().await;
        crowd
    }

    /// Lets a random time pass, in which some leave.
    async fn moment(&mut self) {
        let mut ticks = interval(TICK);
        for _ in 0..self.noise.below(40) {
            ticks.tick().await;
        }
    }

    fn requests_are_answered(&self) {
        self.answer.send(true).unwrap();
    }

    /// Waits for the end of the process, and for one line for each exchange, with these reasons for
    /// the two kinds.
    async fn leaves_its_lines(self, tunnels: &str, requests: &str) {
        let (status, lines) = self.edge.ended().await;
        assert_eq!(status.code(), Some(0));
        assert_eq!(lines.len(), TUNNELS + REQUESTS);
        let by_path = |line: Value| (line["requestUri"].as_str().unwrap().to_owned(), line);
        let lines: BTreeMap<String, Value> = lines.into_iter().map(by_path).collect();
        for number in 0..TUNNELS {
            let line = &lines[&format!("/{number}")];
            let has_left = number % 10 == LEAVER && line["closeReason"] == "client_closed";
            assert!(has_left || line["closeReason"] == tunnels, "{line}");
            let is_told = line["closeReason"] != "drained" || line["closeCode"] == 1012;
            assert!(is_told && line["httpStatusCode"] == 101, "{line}");
        }
        for number in 0..REQUESTS {
            let line = &lines[&format!("/request/{number}")];
            assert_eq!(line["closeReason"], requests, "{line}");
        }
    }
}

/// One client in ten leaves; that it says hi `SILENT` times means that it says nothing and stays.
const LEAVER: usize = 1;
const SILENT: usize = usize::MAX - 1;

/// A client that says hi this often, once in a while, and leaves then, if it is not sent away or
/// cut off before.
async fn talk(mut client: Connection, times: usize) {
    let mut ticks = interval(TICK);
    for _ in 0..times {
        if times != SILENT {
            ticks.tick().await;
            client.stream.try_write(&HI).ok();
        }
        match client.frame().await {
            Some((CLOSE, _)) => return client.leave(SERVICE_RESTART).await,
            Some(_) => {}
            None => return,
        }
    }
    client.leave(1000).await;
    while client.frame().await.is_some() {}
}

/// A target that keeps its answers to plain requests until it is told.
async fn answering_when_told(told: watch::Receiver<bool>) -> Target {
    Target::scripted(move |mut connection: Connection| {
        let mut told = told.clone();
        async move {
            let head = connection.head().await;
            if header(&head, "upgrade").is_some() {
                connection.send(switching_protocols(&head)).await;
                connection.echo_messages().await;
            } else if told.wait_for(|told| *told).await.is_ok() {
                connection.send(ok("hello")).await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigterm_every_open_exchange_leaves_its_line() {
    for round in 0..7 {
        let crowd = Crowd::gathers(round, "drain: {deadline: 1500ms}").await;
        crowd.edge.signal("TERM");
        crowd.requests_are_answered();
        crowd.leaves_its_lines("drained", "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigint_every_open_exchange_leaves_its_line() {
    for round in 100..107 {
        let crowd = Crowd::gathers(round, "drain: {deadline: 1500ms}").await;
        crowd.edge.signal("INT");
        crowd.leaves_its_lines("process_exit", "process_exit").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigquit_with_a_new_process_every_open_exchange_leaves_its_line() {
    let server = "upgradeSocket: FOLDER/upgrade.sock, pidFile: FOLDER/culvert.pid, \
        upgrade: {drainDeadline: 500ms, moveTunnels: false}, drain: {deadline: 1500ms}";
    for round in 200..206 {
        let crowd = Crowd::gathers(round, server).await;
        let successor = crowd.edge.hand_over().await;
        crowd.requests_are_answered();
        crowd.leaves_its_lines("drained", "completed").await;
        assert_eq!(successor.lines(), [""; 0], "lines of the new process");
    }
}
