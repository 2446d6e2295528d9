//! Secrets in an address are seen nowhere: not in the log, in either of its lines, nor by the API,
//! the commands and the diagnostics.

use crate::harness::admin::get;
use crate::harness::client::handshake;
use crate::harness::process::run;
use crate::harness::{Config, Connection, Edge, Target, eventually};

const SECRET: &str = "S3CR3T";

/// What people send: in each the word above is a secret.
const ADDRESSES: [&str; 13] = [
    "/chat?auth_token=S3CR3T&room=1",
    "/chat?sessionToken=S3CR3T",
    "/chat?jwt_token=S3CR3T",
    "/chat?X-Amz-Signature=S3CR3T",
    "/chat?token[]=S3CR3T",
    "/chat?token%5B%5D=S3CR3T",
    "/chat?code=S3CR3T",
    "/chat?ticket=S3CR3T",
    "/chat?room=1;token=S3CR3T",
    "/chat;jsessionid=S3CR3T?room=1",
    "/chat?to=wss%3A%2F%2Fe%2F%3Ftoken%3DS3CR3T",
    "/chat?to=wss://me:S3CR3T@e/",
    "/chat?to=wss%3A%2F%2Fme%3AS3CR3T%40e",
];

async fn start(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address]);
    Edge::start(&configuration.top("accessLog: {openRecords: true}")).await
}

#[tokio::test]
async fn what_people_send_is_redacted_in_both_lines_and_by_the_api_and_the_commands() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let mut tunnels = Vec::new();
    for address in ADDRESSES {
        tunnels.push(Connection::tunnel(edge.address, address).await.0);
    }

    let all = || {
        let shown = get(&edge, "/api/v1/tunnels").to_string();
        let count = shown.matches("<redacted>").count();
        (count == ADDRESSES.len()).then_some(shown)
    };
    let shown = eventually("all are listed, redacted", all).await;
    let file = edge.file();
    let listed = run(
        &["-c", file.to_str().unwrap(), "tunnels"],
        edge.folder.path(),
    );
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("/chat"), "{listed}");
    for tunnel in &mut tunnels {
        tunnel.leave(1000).await;
    }
    let lines = edge.log_lines(2 * ADDRESSES.len()).await;
    let logged = format!("{lines:?}");
    assert_eq!(
        logged.matches("<redacted>").count(),
        lines.len(),
        "{logged}"
    );
    let said = edge.diagnostics();
    assert!(
        [shown, listed, logged, said]
            .iter()
            .all(|text| !text.contains(SECRET))
    );
}

#[tokio::test]
async fn so_are_the_fragment_and_the_user_in_a_referer() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    for referer in [
        "http://e/#access_token=S3CR3T&x=1",
        "http://e/#/callback?id_token=S3CR3T",
        "http://me:S3CR3T@e/page",
    ] {
        let line = format!("Referer: {referer}\r\n");
        let mut client = edge.connect().await;
        client.send(handshake("/chat", &line)).await;
        client.head().await;
    }
    for line in edge.log_lines(6).await {
        let referer = line["referer"].as_str().unwrap();
        assert!(
            referer.contains("<redacted>") && !referer.contains(SECRET),
            "{referer}"
        );
    }
}

#[tokio::test]
async fn what_only_sounds_like_a_secret_is_shown() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let address = "/code/token?page=2&monkey=3&keyword=4&country_code=DE&state=5;v=6";
    edge.get(address).await;
    let line = edge.log_line().await;
    assert_eq!(line["requestUri"], address);
}
