//! What operators can change of a target through the API, and for how long.

use std::collections::HashSet;

use serde_json::json;

use crate::admin_tunnels::{SMALL_DRAIN, two_groups};
use crate::harness::admin::{ask, get};
use crate::harness::{Config, Connection, Edge, Target};

#[tokio::test]
async fn a_target_in_maintenance_takes_nothing_new_until_the_next_reload() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let configuration = Config::forwarding_to(&[a.address, b.address]);
    let edge = Edge::start(&configuration).await;
    let mut tunnels = edge.tunnels(2).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", a.address);

    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"maintenance\": true}");

    assert_eq!((status, &answer["maintenance"]), (200, &json!(true)));
    assert_eq!(answer["override"], json!({"maintenance": true}));
    for _ in 0..6 {
        assert_eq!(edge.get("/").await.text(), "b");
    }
    for tunnel in &mut tunnels {
        tunnel.say_hi().await;
    }
    let status = get(&edge, "/api/v1/status");
    assert_eq!(status["configuration"]["overrides"], 1);
    assert_eq!(
        status["targetGroups"][0]["targets"][0]["override"],
        json!({"maintenance": true})
    );

    edge.reload(&configuration).await;
    let status = get(&edge, "/api/v1/status");
    assert!(
        status["targetGroups"][0]["targets"][0]
            .get("override")
            .is_none()
    );
    let answers: HashSet<String> = [edge.get("/").await, edge.get("/").await]
        .map(|answer| answer.text().to_owned())
        .into();
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn a_weight_is_overridden_and_given_back() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::forwarding_to(&[a.address, b.address]).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", a.address);
    let answers = async || {
        let mut from_a = 0;
        for _ in 0..8 {
            from_a += usize::from(edge.get("/").await.text() == "a");
        }
        from_a
    };
    for (body, expected) in [
        ("{\"weight\": 3}", 6),
        ("{\"weight\": 0}", 0),
        ("{\"weight\": null}", 4),
    ] {
        assert_eq!(ask(&edge, "PATCH", &path, &[], body).0, 200);
        assert_eq!(answers().await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_target_that_is_drained_loses_its_tunnels_and_no_other_does() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let configuration = two_groups(a.address, b.address).server(SMALL_DRAIN);
    let edge = Edge::start(&configuration).await;
    let (mut goes, _) = Connection::tunnel(edge.address, "/a").await;
    let (mut stays, _) = Connection::tunnel(edge.address, "/b").await;
    let path = format!("/api/v1/targetgroups/a/targets/{}", a.address);

    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"drain\": true}");

    assert_eq!(
        (status, &answer["drain"], &answer["maintenance"]),
        (200, &json!(true), &json!(true))
    );
    goes.is_sent_away().await;
    assert_eq!(edge.log_line().await["closeReason"], "drained");
    stays.say_hi().await;
    assert_eq!(edge.get("/a").await.status, 503);
    assert_eq!(
        ask(&edge, "PATCH", &path, &[], "{\"maintenance\": false}").0,
        200
    );
    assert_eq!(edge.get("/a").await.status, 200);
}

#[tokio::test]
async fn a_patch_that_cannot_be_done_is_refused() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let ours = format!("group/targets/{}", target.address);
    for (place, body, expected, word) in [
        (
            &ours[..],
            "{\"weight\": 1, \"persist\": true}",
            400,
            "persist",
        ),
        (&ours, "{\"weight\": 257}", 400, "weight"),
        (&ours, "{\"wait\": 1}", 400, "wait"),
        (&ours, "{}", 400, "weight"),
        (&ours, "weight", 400, ""),
        (
            "group/targets/192.0.2.1:80",
            "{\"weight\": 1}",
            404,
            "192.0.2.1:80",
        ),
        ("group/targets/nowhere", "{\"weight\": 1}", 404, "nowhere"),
        ("other/targets/127.0.0.1:1", "{\"weight\": 1}", 404, "other"),
    ] {
        let path = format!("/api/v1/targetgroups/{place}");
        let (status, answer) = ask(&edge, "PATCH", &path, &[], body);
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == expected && error.contains(word),
            "{place} {body}: {status} {error}"
        );
    }
}
