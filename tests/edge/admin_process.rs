//! What the API tells of the process, and what it does with it.

use serde_json::json;

use crate::admin_tunnels::{SMALL_DRAIN, two_groups};
use crate::harness::admin::{get, send};
use crate::harness::{Config, Connection, Edge, Target, eventually};

#[tokio::test]
async fn the_status_tells_what_the_process_is_and_what_it_serves_with() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let (_tunnel, _) = Connection::tunnel(edge.address, "/b").await;
    edge.get("/rest").await;
    edge.log_lines(1).await;

    let status = eventually("nothing but the tunnel is open", || {
        let status = get(&edge, "/api/v1/status");
        let open = [&status["tunnels"], &status["listeners"][0]["connections"]];
        (open == [&json!(1); 2]).then_some(status)
    })
    .await;

    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], edge.id());
    assert!(status["uptimeSeconds"].as_f64().unwrap() > 0.0);
    assert_eq!(status["drain"]["state"], "serving");
    assert_eq!(
        status["configuration"]["path"],
        edge.file().to_str().unwrap()
    );
    assert_eq!(status["listeners"][0]["address"], edge.address.to_string());
    let rules = &status["forwardingRules"][0]["httpRules"];
    assert_eq!(
        (&rules[1]["name"], &rules[1]["hits"]),
        (&json!("rest"), &json!(1))
    );
    let target = &status["targetGroups"][1]["targets"][0];
    assert_eq!(target["address"], b.address.to_string());
    let seen = ["healthy", "maintenance", "drain", "weight", "openTunnels"];
    assert_eq!(
        seen.map(|key| &target[key]),
        [
            &json!(true),
            &json!(false),
            &json!(false),
            &json!(1),
            &json!(1)
        ]
    );
    assert!(target.get("override").is_none());
}

#[tokio::test]
async fn a_reload_tells_whether_it_was_applied() {
    let target = Target::named("a").await;
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration).await;
    let reload = || send(&edge, "POST", "/api/v1/reload");
    let nothing = json!({"applied": true, "warnings": [], "changes": []});
    assert_eq!(reload(), (200, nothing));

    edge.configure(&configuration.http_rule("targetGroup: gruop"));
    let (status, answer) = reload();

    assert_eq!(status, 422, "{answer}");
    let problem = answer["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("httpRules[0] \"all\": targetGroup: no target group named"),
        "{problem}"
    );
    let last = get(&edge, "/api/v1/status")["configuration"]["lastReload"].take();
    assert_eq!(
        (&last["applied"], &last["problems"]),
        (&json!(false), &answer["problems"])
    );
    assert_eq!(edge.get("/").await.text(), "a");
}

#[tokio::test]
async fn a_drain_is_asked_for_twice_and_ends_the_process_gently() {
    let target = Target::named("a").await;
    let configuration = Config::forwarding_to(&[target.address]).server(SMALL_DRAIN);
    let edge = Edge::start(&configuration).await;
    let mut tunnel = edge.tunnel().await.0;
    // The client may hear of it first.
    let is_known = || (edge.tunnels_active(target.address) == 1.0).then_some(());
    eventually("the tunnel is counted", is_known).await;
    for _ in 0..2 {
        let (status, answer) = send(&edge, "POST", "/api/v1/drain");
        let told = (status, &answer["draining"], &answer["openTunnels"]);
        assert_eq!(told, (202, &json!(true), &json!(1)));
    }
    tunnel.is_sent_away().await;
    let (status, lines) = edge.ended().await;
    assert_eq!((status.code(), lines.len()), (Some(0), 1));
    assert_eq!(lines[0]["closeReason"], "drained");
}

#[tokio::test]
async fn every_error_is_json_and_the_document_has_every_path() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (method, path, expected) in [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/status", 405),
        ("OPTIONS", "/api/v1/tunnels", 405),
        ("DELETE", "/api/v1/tunnels/none", 404),
        ("GET", "/api/v1/tunnels?limit=0", 400),
        ("POST", "/api/v1/explain", 400),
    ] {
        let (status, answer) = send(&edge, method, path);
        assert_eq!(status, expected, "{method} {path}");
        assert!(
            !answer["error"].as_str().unwrap().is_empty(),
            "{method} {path}"
        );
    }
    let document = get(&edge, "/api/v1/openapi.json");
    for (path, method) in [
        ("/api/v1/status", "get"),
        ("/api/v1/tunnels", "get"),
        ("/api/v1/events", "get"),
        ("/api/v1/tunnels", "delete"),
        ("/api/v1/tunnels/{id}", "get"),
        ("/api/v1/tunnels/{id}", "delete"),
        ("/api/v1/targetgroups/{name}/targets/{target}", "patch"),
        ("/api/v1/reload", "post"),
        ("/api/v1/drain", "post"),
        ("/api/v1/explain", "post"),
    ] {
        assert!(
            document["paths"][path][method]["responses"].is_object(),
            "{method} {path}"
        );
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}
