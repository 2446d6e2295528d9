//! The metrics: that Prometheus' own tool finds nothing wrong with them, and how long something is
//! counted.

use crate::harness::prometheus::promtool;
use crate::harness::{Authority, Config, Connection, Edge, Target, eventually};

/// The lines of the metrics that have this text.
fn lines_with(edge: &Edge, text: &str) -> Vec<String> {
    let page = edge.admin_page("/metrics");
    let lines = page.lines().filter(|line| line.contains(text));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn promtool_has_nothing_to_say_against_the_metrics() {
    let (authority, target) = (Authority::new(), Target::named("one").await);
    authority.issue("one", &["a.example"]);
    let configuration = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&configuration.certificates(&authority, &["one"])).await;
    edge.get("/").await;
    let (client, _) = edge.tunnel().await;
    drop(client);
    edge.log_lines(2).await;

    let page = edge.admin_page("/metrics");
    let (_, metrics) = page.split_once("\r\n\r\n").unwrap();

    assert!(metrics.contains("culvert_certificate_not_after_timestamp_seconds{"));
    let content = (true, String::new());
    let check = |metrics| promtool(&["check", "metrics"], metrics);
    assert_eq!(check(metrics), content, "{metrics}");
    let bad = "# HELP culvert_bytes Bytes.\n# TYPE culvert_bytes counter\nculvert_bytes 1\n";
    assert!(!check(bad).0, "it would be content with anything");
}

#[tokio::test]
async fn rules_and_groups_that_a_reload_removes_are_counted_until_their_last_tunnel_is_over() {
    let target = Target::named("one").await;
    let before = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&before).await;
    edge.get("/").await;
    let (client, _) = edge.tunnel().await;
    let of_the_rule = || lines_with(&edge, "forwarding_rule=\"edge\"");
    assert!(of_the_rule().len() > 20);

    let after = before
        .rule("name: other")
        .http_rule("targetGroup: set")
        .group("name: set");
    edge.reload(&after).await;

    let active = format!(
        "tunnels_active{{forwarding_rule=\"edge\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    edge.metric_becomes(&active, 1.0).await;
    drop(client);
    edge.log_lines(2).await;
    eventually("nothing is shown of the rule", || {
        of_the_rule().is_empty().then_some(())
    })
    .await;
    eventually("nothing is shown of the group", || {
        let of_the_group = lines_with(&edge, "target_group=\"group\"");
        of_the_group.is_empty().then_some(())
    })
    .await;
    assert!(!lines_with(&edge, "target_group=\"set\"").is_empty());
    let client = Connection::tunnel(edge.address, "/again").await;
    edge.metric_becomes(
        &active
            .replace("edge", "other")
            .replace("\"group\"", "\"set\""),
        1.0,
    )
    .await;
    drop(client);
}
