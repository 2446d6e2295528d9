//! A share of a rule has changes of its own, which come after the rule's, or is answered with a
//! status.

use crate::harness::{Config, Edge, Target};

/// A rule with changes, with these shares between the groups `group` and `other`.
fn shares(shares: &str, targets: &[Target; 2]) -> Config {
    Config::new()
        .http_rules(&format!(
            "{{name: all, type: FORWARD, targetGroups: [{shares}],
                conditions: [{{type: PATH, condition: UNDER, value: /a}}],
                headers: {{request: {{set: {{X-Rule: rule, X-Both: rule}}, add: {{X-Added: rule}}}},
                    response: {{set: {{X-Answer: rule}}}}}},
                rewrite: {{host: rule.example, pathPrefix: /rule}}}}"
        ))
        .add_group("group")
        .target(targets[0].address, "")
        .add_group("other")
        .target(targets[1].address, "")
}

#[tokio::test]
async fn a_share_changes_what_the_rule_has_changed() {
    let targets = [Target::showing().await, Target::named("other").await];
    let changed = "{name: group, headers: {request: {remove: [X-Added], set: {X-Both: share}},
            response: {set: {X-Answer: share}}}, rewrite: {pathPrefix: /share}}";
    let edge = Edge::start(&shares(
        &format!("{changed}, {{name: other, weight: 0}}"),
        &targets,
    ))
    .await;
    let answer = edge.get("/a/b").await;
    let shown = answer.text().to_ascii_lowercase();
    assert!(shown.starts_with("get /share/b http/1.1"), "{shown}");
    for line in ["x-rule: rule", "x-both: share", "host: rule.example"] {
        assert!(shown.contains(&format!("\n{line}\r")), "{line}: {shown}");
    }
    assert!(!shown.contains("x-added"), "{shown}");
    assert_eq!(answer.header("x-answer"), Some("share"));
}

#[tokio::test]
async fn a_share_without_a_group_is_answered_with_its_status() {
    let targets = [Target::named("group").await, Target::named("other").await];
    let of = "{name: group, weight: 1}, {statusCode: 500, weight: 1}";
    let edge = Edge::start(&shares(of, &targets)).await;
    let mut failed = 0_u32;
    for _ in 0..100 {
        let answer = edge.get("/a").await;
        match answer.status {
            500 => failed += 1,
            _ => assert_eq!(answer.text(), "group"),
        }
    }
    // Off by seven times the standard deviation once in 10 to the 12th runs.
    assert!(failed.abs_diff(50) < 36, "{failed}");
    let lines = edge.log_lines(100).await;
    let answered = lines.iter().filter(|line| line["httpStatusCode"] == 500);
    assert_eq!(answered.clone().count(), failed as usize);
    assert!(
        answered
            .into_iter()
            .all(|line| line["targetGroup"].is_null())
    );
}

#[tokio::test]
async fn a_share_that_is_answered_does_not_take_over_from_a_group_that_serves_nobody() {
    let targets = [Target::named("group").await, Target::named("other").await];
    let of = "{name: other, weight: 1000}, {statusCode: 500, weight: 1}";
    let config = shares(of, &targets).each_target("maintenanceEnabled: true");
    let edge = Edge::start(&config).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(edge.get("/a").await.status);
    }
    assert!(statuses.contains(&503), "{statuses:?}");
}
