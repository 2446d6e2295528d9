//! The tunnels to a target that left, or is maintained, hear of it in time and gently.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::interval;

use crate::harness::client::{header, sent_away};
use crate::harness::{Connection, Edge, Target, eventually};
use crate::reload::{all_say_hi, group, saying};

/// A Culvert with two targets, and ten tunnels to each.
struct Pair {
    edge: Edge,
    stays: Target,
    goes: Target,
    staying: Vec<Connection>,
    going: Vec<Connection>,
    settings: [&'static str; 2],
}

impl Pair {
    /// With these settings of `server` and of the group.
    async fn start(server: &'static str, settings: &'static str) -> Pair {
        let [stays, goes] = [Target::named("stays").await, Target::named("goes").await];
        let targets = [(stays.address, ""), (goes.address, "")];
        let edge = Edge::start(&group(settings, &targets).server(server)).await;
        let mut tunnels = Vec::new();
        for _ in 0..20 {
            tunnels.push(edge.tunnel().await);
        }
        let stays_open =
            |(_, head): &(Connection, String)| header(head, "x-target") == Some("stays");
        let (staying, going): (Vec<_>, Vec<_>) = tunnels.into_iter().partition(stays_open);
        let clients = |tunnels: Vec<(Connection, String)>| -> Vec<Connection> {
            tunnels.into_iter().map(|(client, _)| client).collect()
        };
        let (staying, going) = (clients(staying), clients(going));
        assert_eq!((staying.len(), going.len()), (10, 10));
        Pair {
            edge,
            stays,
            goes,
            staying,
            going,
            settings: [server, settings],
        }
    }

    /// Reloads with these settings of the target that goes; `None` leaves it out.
    async fn reload(&self, goes: Option<&str>) {
        let goes = goes.map(|settings| (self.goes.address, settings));
        let targets: Vec<_> = [(self.stays.address, "")].into_iter().chain(goes).collect();
        let [server, settings] = self.settings;
        self.edge
            .reload(&group(settings, &targets).server(server))
            .await;
    }

    /// Nothing new comes to the target that goes.
    async fn one_takes_it_all(&self) {
        assert_eq!(self.edge.answers(20).await, ["stays"; 20]);
    }

    /// All say hi, again and again for this long.
    async fn live_for(&mut self, time: Duration) {
        let (since, mut pace) = (Instant::now(), interval(Duration::from_millis(50)));
        while since.elapsed() < time {
            pace.tick().await;
            all_say_hi(&mut self.staying).await;
            all_say_hi(&mut self.going).await;
        }
    }

    /// What the lines of the tunnels that have ended say: the target and the reason.
    fn ends(&self) -> Vec<(String, String, u64)> {
        let mut lines = self.edge.log();
        lines.retain(|line| line["upgrade"] == "websocket");
        let text = |line: &Value, field| line[field].as_str().unwrap().to_owned();
        let end = |line: &Value| {
            let code = line["closeCode"].as_u64().unwrap();
            (text(line, "target"), text(line, "closeReason"), code)
        };
        lines.iter().map(end).collect()
    }

    /// Every tunnel of the target that goes has ended for this reason, and no other.
    async fn only_its_tunnels_ended(&mut self, reason: &str) {
        let have_ended = || (self.ends().len() >= 10).then_some(());
        eventually("the lines", have_ended).await;
        let end = (self.goes.address.to_string(), reason.to_owned(), 1012);
        assert_eq!(self.ends(), vec![end; 10]);
        assert_eq!(self.edge.tunnels_active(self.goes.address), 0.0);
        all_say_hi(&mut self.staying).await;
        assert_eq!(self.edge.tunnels_active(self.stays.address), 10.0);
    }
}

#[tokio::test]
async fn a_target_that_left_takes_nothing_new_and_its_tunnels_are_sent_away_after_the_delay() {
    let mut pair = Pair::start("drain: {deadline: 1h}", "deregistrationDelay: 3s").await;
    let since = Instant::now();
    pair.reload(None).await;
    all_say_hi(&mut pair.going).await;
    assert_eq!(pair.edge.tunnels_active(pair.goes.address), 10.0);
    pair.one_takes_it_all().await;

    let going = std::mem::take(&mut pair.going);
    let moments = sent_away(going, since).await;

    // One after the other in the three seconds after the delay.
    assert!(moments[0] >= Duration::from_secs(3), "{moments:?}");
    assert!(moments[9] < Duration::from_secs(12), "{moments:?}");
    let spread = moments[9] - moments[0];
    assert!(spread > Duration::from_millis(500), "{moments:?}");
    pair.only_its_tunnels_ended("target_removed").await;
    pair.one_takes_it_all().await;
}

#[tokio::test]
async fn the_tunnels_of_a_group_that_left_are_sent_away_after_its_delay() {
    let mut pair = Pair::start("drain: {deadline: 500ms}", "deregistrationDelay: 2s").await;
    let since = Instant::now();
    pair.edge.reload(&saying("nothing else")).await;
    all_say_hi(&mut pair.going).await;
    assert_eq!(pair.edge.get("/").await.text(), "nothing else");

    let all = [&mut pair.staying, &mut pair.going].map(std::mem::take);
    let moments = sent_away(all.into_iter().flatten().collect(), since).await;

    assert!(moments[0] >= Duration::from_secs(2), "{moments:?}");
    let have_ended = || (pair.ends().len() >= 20).then_some(());
    eventually("the lines", have_ended).await;
    let ends = pair.ends();
    let removed = ends.iter().filter(|end| end.1 == "target_removed");
    assert_eq!((ends.len(), removed.count()), (20, 20));
}

#[tokio::test]
async fn a_target_that_returns_before_the_delay_is_over_keeps_its_tunnels() {
    let mut pair = Pair::start("drain: {deadline: 1s}", "deregistrationDelay: 6s").await;
    let since = Instant::now();
    pair.reload(None).await;
    pair.one_takes_it_all().await;
    pair.reload(Some("weight: 2")).await;
    assert!(since.elapsed() < Duration::from_secs(6), "too late to tell");

    pair.live_for(Duration::from_secs(8)).await;

    assert!(pair.ends().is_empty(), "{:?}", pair.ends());
    assert_eq!(pair.edge.tunnels_active(pair.goes.address), 10.0);
    assert!(pair.edge.answers(6).await.contains(&"goes".to_owned()));
}

#[tokio::test]
async fn what_was_counted_of_a_target_is_dropped_once_it_is_gone() {
    let mut pair = Pair::start("drain: {deadline: 300ms}", "deregistrationDelay: 0").await;
    let gone = format!("target=\"{}\"", pair.goes.address);
    let counted = |pair: &Pair| {
        let page = pair.edge.admin_page("/metrics");
        page.lines().filter(|line| line.contains(&gone)).count()
    };
    assert!(counted(&pair) >= 6, "{}", pair.edge.admin_page("/metrics"));
    pair.reload(None).await;
    let going = std::mem::take(&mut pair.going);
    sent_away(going, Instant::now()).await;
    eventually("nothing is shown of it", || {
        (counted(&pair) == 0).then_some(())
    })
    .await;
    pair.reload(Some("")).await;
    eventually("it is shown again", || (counted(&pair) >= 6).then_some(())).await;
}

#[tokio::test]
async fn a_target_in_maintenance_takes_nothing_new_and_keeps_what_is_open() {
    let mut pair = Pair::start("drain: {deadline: 300ms}", "deregistrationDelay: 300ms").await;
    pair.reload(Some("maintenanceEnabled: true")).await;

    pair.one_takes_it_all().await;
    pair.live_for(Duration::from_secs(2)).await;

    assert!(pair.ends().is_empty(), "{:?}", pair.ends());
    assert_eq!(pair.edge.tunnels_active(pair.goes.address), 10.0);
    pair.reload(Some("maintenanceEnabled: false")).await;
    assert!(pair.edge.answers(6).await.contains(&"goes".to_owned()));
}

#[tokio::test]
async fn maintenance_with_a_drain_sends_away_what_is_open_one_after_the_other() {
    let mut pair = Pair::start("drain: {deadline: 4s}", "deregistrationDelay: 1h").await;
    pair.reload(Some("maintenanceEnabled: true")).await;
    let since = Instant::now();
    let drain = "maintenanceEnabled: true, maintenanceDrain: true";
    pair.reload(Some(drain)).await;

    let going = std::mem::take(&mut pair.going);
    let moments = sent_away(going, since).await;

    assert!(moments[9] < Duration::from_secs(12), "{moments:?}");
    let spread = moments[9] - moments[0];
    assert!(spread > Duration::from_millis(500), "{moments:?}");
    pair.only_its_tunnels_ended("drained").await;
    pair.one_takes_it_all().await;
    assert!(pair.edge.admin_page("/readyz").contains(" 200 "));
    assert_eq!(pair.edge.metric("draining"), 0.0);
}
