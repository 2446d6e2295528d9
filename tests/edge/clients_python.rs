//! IONOS' Python SDK drives Culvert.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{header, sent_away};
use crate::harness::ports::free_address;
use crate::harness::story::{Story, nothing, run, start, start_with};
use crate::harness::{Config, Connection, Target, eventually, python};

const TUNNELS: usize = 1000;

#[tokio::test]
async fn python_makes_what_ionos_page_has_and_websockets_go_through_until_it_is_removed() {
    let ((api, _token), target) = (start().await, Target::named("target").await);
    let ports = [api.edge.address, target.address];
    let (mut story, ids) = Story::begin(python("ionos_tour.py"), &api, &ports).await;
    let (mut tunnel, _) = api.tunnel().await;
    tunnel.say_hi().await;
    let group = api.admin_page("/api/v1/status");
    assert!(group.contains("websocket-target-group"), "{group}");
    assert!(ids["rule"].is_string(), "{ids}");

    // The target group was to go first, which is refused.
    story.go_on().await;
    tunnel.say_hi().await;

    story.go_on().await;
    tunnel.say_hi().await;
    let is_closed = || TcpStream::connect(api.edge.address).is_err().then_some(());
    eventually("nobody listens any more", is_closed).await;
    story.end().await;
}

#[tokio::test]
async fn a_thousand_tunnels_stay_open_while_python_changes_what_they_go_through() {
    culvert::os::open_files::raise();
    let ((api, _token), target) = (start().await, Target::named("target").await);
    let another = free_address();
    let ports = [api.edge.address, another, target.address];
    let (mut story, _) = Story::begin(python("ionos_changes.py"), &api, &ports).await;
    let mut tunnels = api.tunnels(TUNNELS).await;

    story.go_on().await;

    for tunnel in &mut tunnels {
        tunnel.say_hi().await;
    }
    assert_eq!(api.count_lines(), 0);
    let (mut through_another, _) = Connection::tunnel(another, "/chat").await;
    through_another.say_hi().await;
    let gone = api.edge.get("/old/page").await;
    assert_eq!((gone.status, gone.text()), (303, "gone"));
    let renamed = format!(
        "tunnels_active{{forwarding_rule=\"another\",target=\"{}\",target_group=\"chat-2\"}}",
        target.address
    );
    assert_eq!(api.metric(&renamed), 1.0);
    story.end().await;
}

#[tokio::test]
async fn a_target_that_python_adds_gets_tunnels_and_those_of_one_that_it_removes_drain() {
    let [goes, comes] = [Target::named("goes").await, Target::named("comes").await];
    let config = nothing().server("drain: {deadline: 500ms}");
    let (api, _token) = start_with(config, "").await;
    let ports = [api.edge.address, goes.address, comes.address];
    let (mut story, _) = Story::begin(python("ionos_targets.py"), &api, &ports).await;
    let mut going = api.tunnels(10).await;

    story.go_on().await;
    let mut opened = Vec::new();
    for _ in 0..10 {
        opened.push(api.tunnel().await);
    }
    let goes_there = |(_, head): &(Connection, String)| header(head, "x-target") == Some("goes");
    let (more, staying): (Vec<_>, Vec<_>) = opened.into_iter().partition(goes_there);
    assert_eq!((more.len(), staying.len()), (5, 5));
    going.extend(more.into_iter().map(|(tunnel, _)| tunnel));

    let since = Instant::now();
    story.go_on().await;
    let (_stays, head) = api.tunnel().await;
    assert_eq!(header(&head, "x-target"), Some("comes"));
    let moments = sent_away(going, since).await;
    assert!(moments[0] >= Duration::from_secs(1), "{moments:?}");
    for line in api.log_lines(15).await {
        assert_eq!(line["closeReason"], json!("target_removed"));
    }
    for (mut tunnel, _) in staying {
        tunnel.say_hi().await;
    }
    story.end().await;
}

#[tokio::test]
async fn python_lists_what_there_is_with_depths_parts_orders_and_filters() {
    let (api, _token) = start().await;
    run(python("ionos_lists.py"), &api, &[api.edge.address]).await;
}

#[tokio::test]
async fn what_python_patches_and_puts_is_what_it_reads_then() {
    let (api, _token) = start().await;
    run(python("ionos_writes.py"), &api, &[]).await;
}

#[tokio::test]
async fn pythons_exceptions_say_what_is_wrong_and_where() {
    let config = Config::answering("hello").add_group("of-the-file");
    let (api, _token) = start_with(config, "").await;
    let ports = [free_address(), api.edge.address];
    run(python("ionos_errors.py"), &api, &ports).await;
}
