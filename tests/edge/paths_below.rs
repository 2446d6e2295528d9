//! What is below a path, segment by segment, gets another beginning: for a target, and in a
//! redirect.

use crate::harness::client::header;
use crate::harness::{Config, Edge, Target};

const UNDER: &str = "conditions: [{type: PATH, condition: UNDER, value: /foo/}]";

#[tokio::test]
async fn a_target_is_asked_for_what_is_below_another_path() {
    let target = Target::showing().await;
    for (after, paths) in [
        (
            "/xyz",
            [
                ("/foo/bar", "/xyz/bar"),
                ("/foo", "/xyz"),
                ("/foo/", "/xyz/"),
            ],
        ),
        (
            "/",
            [("/foo/bar?a", "/bar?a"), ("/foo", "/"), ("/foo/", "/")],
        ),
    ] {
        let rewrite = format!("{UNDER}, rewrite: {{pathPrefix: {after}}}");
        let config = Config::forwarding_to(&[target.address]).http_rule(&rewrite);
        let edge = Edge::start(&config).await;
        for (asked, expected) in paths {
            let shown = edge.get(asked).await;
            let line = shown.text().lines().next().unwrap_or_default().to_owned();
            assert_eq!(line, format!("GET {expected} HTTP/1.1"), "{asked}");
        }
        assert_eq!(edge.get("/food").await.status, 404);
    }
}

#[tokio::test]
async fn a_redirect_leads_below_another_path() {
    let rule = format!(
        "{{name: moved, type: REDIRECT, location: '{{path}}{{query}}', {UNDER},
            rewrite: {{pathPrefix: /xyz}}}}"
    );
    let edge = Edge::start(&Config::new().http_rules(&rule)).await;
    for (asked, expected) in [
        ("/foo/bar?a", "/xyz/bar?a"),
        ("/foo", "/xyz"),
        ("/foo/", "/xyz/"),
    ] {
        let answer = edge.get(asked).await;
        assert_eq!(header(&answer.head, "location"), Some(expected), "{asked}");
    }
}
