//! The end of a process: nothing new is taken, plain requests finish, and tunnels are sent away
//! one after the other.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::harness::client::{CLOSE, HANDSHAKE, HI, SERVICE_RESTART, header, sent_away};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// A deadline in whose first seconds no tunnel is due, but perhaps one.
pub const LONG: &str = "{deadline: 1h}";
/// By how much a busy machine may be late with all that is to happen at a moment.
const LATENESS: Duration = Duration::from_secs(2);

/// A Culvert in front of this target, with these settings of `server.drain`, in which only the
/// drain ends anything.
pub async fn edge(drain: &str, target: &Target) -> Edge {
    let drain = format!("drain: {drain}");
    let patient = patient(target).rule("tunnel: {closeTimeout: 60s}");
    Edge::start(&patient.server(&drain)).await
}

pub fn patient(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 60s")
        .group("connectTimeout: 60s, responseTimeout: 60s")
}

async fn is_draining(edge: &Edge) {
    let is_unready = || edge.admin_page("/readyz").contains(" 503 ").then_some(());
    eventually("it is not ready any more", is_unready).await;
}

fn assert_all_drained(lines: &[Value], count: usize) {
    assert_eq!(lines.len(), count, "{lines:#?}");
    for line in lines {
        assert_eq!(line["closeReason"], "drained", "{line}");
        assert_eq!(line["closeCode"], 1012, "{line}");
    }
}

#[tokio::test]
async fn it_is_not_ready_at_once_and_the_listeners_close_after_the_ready_delay() {
    const DELAY: Duration = Duration::from_secs(5);
    let target = Target::named("hello").await;
    let edge = edge("{readyDelay: 5s}", &target).await;
    let began = Instant::now();
    edge.signal("TERM");
    is_draining(&edge).await;

    assert_eq!(edge.get("/").await.text(), "hello");

    assert!(began.elapsed() < DELAY, "too late to tell");
    eventually("new connections are refused", || {
        let refused = std::net::TcpStream::connect(edge.address).err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    assert!(began.elapsed() >= DELAY, "after {:?}", began.elapsed());
    assert_eq!(edge.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn tunnels_are_sent_away_evenly_over_the_first_three_quarters_of_the_deadline() {
    let target = Target::named("target").await;
    let edge = edge("{deadline: 8s}", &target).await;
    let clients = edge.tunnels(60).await;
    let began = Instant::now();
    edge.signal("TERM");

    let moments = sent_away(clients, began).await;

    let before = |end| moments.iter().filter(|moment| **moment < end).count();
    for quarter in 1..=4 {
        // But for the jitter; none is early, and a busy machine is late.
        let (due, end) = (15 * quarter, Duration::from_millis(1500) * quarter as u32);
        assert!(before(end) <= due + 8, "{moments:?}");
        assert!(before(end + LATENESS) >= due - 8, "{moments:?}");
    }
    assert!(moments[59] < Duration::from_secs(8), "{moments:?}");
    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_all_drained(&lines, 60);
}

#[tokio::test]
async fn idle_tunnels_go_first_and_busy_ones_between_two_frames() {
    let target = Target::named("target").await;
    let edge = edge("{deadline: 4s}", &target).await;
    let (mut clients, mut busy) = (JoinSet::new(), Vec::new());
    for _ in 0..20 {
        let (mut idle, _) = Connection::tunnel(edge.address, "/idle").await;
        clients.spawn(async move { idle.is_sent_away().await });
        busy.push(Connection::tunnel(edge.address, "/busy").await.0);
    }
    let idle_since = Instant::now();
    while idle_since.elapsed() < Duration::from_millis(500) {
        for client in &mut busy {
            client.say_hi().await;
        }
    }
    for client in busy {
        clients.spawn(chat(client));
    }
    edge.signal("TERM");
    clients.join_all().await;

    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_all_drained(&lines, 40);
    let order: Vec<_> = lines.iter().map(|line| &line["requestUri"]).collect();
    // Those in the middle may be neighbours.
    assert!(order[..15].iter().all(|uri| **uri == "/idle"), "{order:?}");
    assert!(order[25..].iter().all(|uri| **uri == "/busy"), "{order:?}");
}

/// Says hi every 20 ms and hears it, in whole frames, until it is sent away.
async fn chat(mut client: Connection) {
    let mut pace = interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        client.send(HI).await;
        match soon("a frame", client.frame()).await {
            Some((1, text)) => assert_eq!(text, b"hi"),
            close => {
                assert_eq!(close, Some((CLOSE, SERVICE_RESTART.to_be_bytes().to_vec())));
                client.leave(SERVICE_RESTART).await;
                return assert_eq!(client.to_end().await, b"");
            }
        }
    }
}

#[tokio::test]
async fn a_tunnel_in_the_middle_of_a_frame_gets_its_close_behind_it() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send([0x81, 4, b'h', b'a']).await;
        assert_eq!(connection.frame().await.unwrap().0, CLOSE);
        connection.send(b"lf\x88\x02\x03\xE9").await;
        connection.to_end().await;
    })
    .await;
    let edge = edge("{deadline: 4s}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    assert_eq!(client.exactly(4).await, [0x81, 4, b'h', b'a']);
    edge.signal("TERM");

    assert_eq!(client.exactly(2).await, b"lf");
    client.is_sent_away().await;

    assert_all_drained(&edge.ended().await.1, 1);
}

#[tokio::test]
async fn the_rate_lowers_the_pace_until_the_deadline_sends_the_rest_away_at_once() {
    let target = Target::named("target").await;
    let edge = edge("{deadline: 6s, rate: 4}", &target).await;
    let clients = edge.tunnels(40).await;
    let began = Instant::now();
    edge.signal("TERM");

    let moments = sent_away(clients, began).await;

    let before = |end| moments.iter().filter(|moment| **moment < end).count();
    let early = Duration::from_secs(3);
    // 12 at this rate; 26 without it.
    assert!(before(early) <= 18, "{moments:?}");
    assert!(before(early + LATENESS) >= 6, "{moments:?}");
    // At this rate these would take more than two seconds.
    let rest = moments[39] - moments[29];
    assert!(rest < Duration::from_secs(2), "{moments:?}");
    assert!(moments[39] < Duration::from_secs(10), "{moments:?}");
    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_all_drained(&lines, 40);
}

#[tokio::test]
async fn the_process_exits_two_seconds_after_the_deadline_though_nobody_answers() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if header(&head, "upgrade").is_some() {
            connection.send(switching_protocols(&head)).await;
        }
        std::future::pending().await
    })
    .await;
    let edge = edge("{deadline: 2s}", &target).await;
    let mut clients = edge.tunnels(10).await;
    clients.push(edge.connect().await);
    clients[10].send(GET).await;
    let is_there = || (target.connections() == 11).then_some(());
    eventually("the request is there", is_there).await;
    let began = Instant::now();
    edge.signal("TERM");

    let (status, lines) = edge.ended().await;

    let took = began.elapsed().as_secs_f64();
    // Until 4.0 is promised; a busy machine gets some more.
    assert!((2.0..8.0).contains(&took), "after {took} s");
    assert_eq!((status.code(), lines.len()), (Some(0), 11), "{lines:#?}");
    assert!(lines.iter().all(|line| line["closeReason"] == "drained"));
    let tunnels = lines.iter().filter(|line| line["closeCode"] == 1012);
    assert_eq!(tunnels.count(), 10);
    for client in &mut clients[..10] {
        assert_eq!(client.to_end().await, [0x88, 2, 0x03, 0xF4]);
    }
}

#[tokio::test]
async fn the_process_exits_as_soon_as_nothing_is_open_long_before_the_deadline() {
    let target = Target::named("target").await;
    let mut edge = edge(LONG, &target).await;
    let mut clients = edge.tunnels(3).await;
    edge.signal("TERM");
    is_draining(&edge).await;
    assert!(edge.is_running());

    for client in &mut clients {
        client.leave(1000).await;
    }

    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 3));
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_now() {
    for second in ["TERM", "INT"] {
        let target = Target::named("target").await;
        let edge = edge(LONG, &target).await;
        let _clients = edge.tunnels(20).await;
        edge.signal("TERM");
        is_draining(&edge).await;
        edge.signal(second);

        let (status, lines) = edge.ended().await;

        assert_eq!((status.code(), lines.len()), (Some(0), 20));
        let exits = |line: &&Value| line["closeReason"] == "process_exit";
        let (exited, others): (Vec<_>, Vec<_>) = lines.iter().partition(exits);
        assert!(exited.len() >= 19, "{others:#?}");
        assert!(others.iter().all(|line| line["closeReason"] == "drained"));
    }
}

#[tokio::test]
async fn a_tunnel_that_opens_during_a_drain_is_sent_away_too() {
    let (go_on, told) = watch::channel(false);
    let target = Target::scripted(move |mut connection: Connection| {
        let mut told = told.clone();
        async move {
            let head = connection.head().await;
            told.wait_for(|told| *told).await.unwrap();
            connection.send(switching_protocols(&head)).await;
            connection.echo_messages().await;
        }
    })
    .await;
    let edge = edge("{deadline: 3s}", &target).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    let is_there = || (target.connections() == 1).then_some(());
    eventually("the handshake is there", is_there).await;
    edge.signal("TERM");
    is_draining(&edge).await;
    go_on.send(true).unwrap();

    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.is_sent_away().await;

    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_all_drained(&lines, 1);
}

#[tokio::test]
async fn a_drain_tells_how_far_it_is() {
    let target = Target::named("target").await;
    let edge = edge(LONG, &target).await;
    let mut clients = edge.tunnels(10).await;
    assert_eq!(edge.drain_status()["state"], "serving");
    edge.signal("TERM");
    is_draining(&edge).await;
    for client in &mut clients[..4] {
        client.leave(1000).await;
        client.to_end().await;
    }

    // One may have been sent away by then, but hardly two.
    let status = eventually("four are closed", || {
        let status = edge.drain_status();
        let [open, closed] = ["open", "closed"].map(|key| status[key].as_u64().unwrap());
        (closed >= 4 && open + closed == 10).then_some(status)
    })
    .await;
    assert_eq!(status["state"], "draining");
    assert!(status["closed"].as_u64().unwrap() <= 5, "{status}");
    let left = status["secondsLeft"].as_f64().unwrap();
    assert!((3500.0..=3600.0).contains(&left), "{status}");
    edge.metric_becomes("draining", 1.0).await;
    let active = || Some(edge.tunnels_active(target.address));
    let is_right = |active: &f64| (5.0..=6.0).contains(active);
    eventually("the metric agrees", || active().filter(is_right)).await;
    let since = edge.diagnostics().len();
    eventually("three lines, one every second", || {
        let said = edge.diagnostics().split_off(since);
        let tells = |line: &&str| ["open", "closed", "left"].map(|word| line.contains(word));
        let lines = said.lines().filter(|line| tells(line) == [true; 3]);
        (lines.count() >= 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn clients_that_the_system_has_accepted_before_a_drain_are_answered() {
    let target = Target::answering("hello").await;
    let edge = edge("{deadline: 10s}", &target).await;
    edge.signal("STOP");
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = Connection::open(edge.address).await;
        client.send(GET).await;
        clients.push(client);
    }
    edge.signal("TERM");
    edge.signal("CONT");
    for mut client in clients {
        assert_eq!(client.answer().await.text(), "hello");
    }
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 300));
}
