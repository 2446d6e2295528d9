//! A target that is ejected stays so in the process that takes over, for the time that it had left.

use serde_json::Value;

use crate::harness::{Config, Connection, Edge, Target, admin};

const EJECTING: &str = "outlierDetection: {consecutiveFailures: 1, baseEjectionTime: 1h, \
    maxEjectionTime: 1h, maxEjectedPercent: 50}";

/// The ejections that the admin address tells of.
fn ejections(edge: &Edge) -> Vec<Value> {
    let status = admin::get(edge, "/api/v1/status");
    let groups = status["targetGroups"].as_array().unwrap();
    let targets = groups
        .iter()
        .flat_map(|group| group["targets"].as_array().unwrap());
    targets.map(|target| target["ejected"].clone()).collect()
}

/// Until when it is ejected, in seconds of a day.
fn until(ejected: &Value) -> Option<u64> {
    let time = ejected["until"].as_str()?.split(['T', '.', 'Z']).nth(1)?;
    let parts = time.split(':').map(|part| part.parse::<u64>().unwrap());
    Some(parts.fold(0, |sum, part| 60 * sum + part))
}

#[tokio::test]
async fn an_ejected_target_stays_ejected_in_the_new_process() {
    let sound = Target::answering("sound").await;
    let broken = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
    })
    .await;
    let addresses = [sound.address, broken.address];
    let configuration = Config::forwarding_to(&addresses).group(EJECTING);
    let edge = Edge::start(&configuration.upgradable()).await;
    let address = broken.address;
    let gauge = format!("target_ejected{{target=\"{address}\",target_group=\"group\"}}");
    while edge.metric(&gauge) < 1.0 {
        assert_eq!(edge.get("/").await.text(), "sound");
    }
    let before = ejections(&edge);

    let _successor = edge.hand_over().await;

    assert_eq!(edge.metric(&gauge), 1.0);
    let asked = broken.connections();
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "sound");
    }
    assert_eq!(broken.connections(), asked);
    for (before, after) in before.iter().zip(ejections(&edge)) {
        assert_eq!(before["count"], after["count"]);
        let (was, is) = (until(before), until(&after));
        let differs = was.zip(is).map_or(0, |(was, is)| was.abs_diff(is));
        assert!(
            was.is_some() == is.is_some() && differs <= 5,
            "{before} {after}"
        );
    }
}
