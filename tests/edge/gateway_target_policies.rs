//! Each key of a TargetPolicy has the effect that it has in the configuration file: how endpoints
//! share what is new.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::harness::client::{header, status};
use crate::harness::manifests::{policy, route, service};
use crate::harness::target::unresponsive;
use crate::harness::{Connection, Manifests, Target, eventually};

/// Endpoints under a policy for their Service.
async fn under(says: &str, endpoints: &[&Target]) -> Manifests {
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|one| one.address).collect();
    Manifests::under("TargetPolicy", "Service chat", says, &addresses).await
}

async fn two() -> [Target; 2] {
    [Target::named("one").await, Target::named("two").await]
}

/// Who answers a request with these lines, and the cookie that it gets.
async fn ask(edge: &Manifests, path: &str, lines: &str) -> (String, Option<String>) {
    let mut client = Connection::open(edge.gateway).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    client.send(request).await;
    let answer = client.answer().await;
    let cookie = answer.header("set-cookie").map(str::to_owned);
    (answer.text().to_owned(), cookie)
}

/// Who answers so many requests with these lines.
async fn all(edge: &Manifests, count: usize, path: &str, lines: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(ask(edge, path, lines).await.0);
    }
    answers
}

/// The tunnels that are open to an endpoint.
fn tunnels(edge: &Manifests, endpoint: &Target) -> f64 {
    let (rule, target) = (edge.gateway, endpoint.address);
    edge.metric(&format!(
        "tunnels_active{{forwarding_rule=\"gateway {rule}\",target=\"{target}\",\
         target_group=\"apps/chat:8080\"}}"
    ))
}

#[tokio::test]
async fn by_turns_is_what_holds_without_an_algorithm() {
    let targets = two().await;
    let edge = under("failOpen: false", &[&targets[0], &targets[1]]).await;
    let answers = all(&edge, 20, "/", "").await;
    assert_eq!(answers.iter().filter(|who| *who == "one").count(), 10);
}

#[tokio::test]
async fn a_policy_has_the_least_loaded_endpoint_chosen() {
    let targets = two().await;
    let edge = under("algorithm: LEAST_CONNECTION", &[&targets[0], &targets[1]]).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(Connection::tunnel(edge.gateway, "/").await);
    }
    held.retain(|(_, head)| header(head, "x-target") == Some("one"));
    eventually("three are left", || {
        let open = [0, 1].map(|place| tunnels(&edge, &targets[place]));
        (open == [3.0, 0.0]).then_some(())
    })
    .await;
    let answers = all(&edge, 10, "/", "").await;
    assert_eq!(answers, ["two"; 10]);
}

#[tokio::test]
async fn a_policy_has_endpoints_chosen_at_random() {
    let targets = two().await;
    let edge = under("algorithm: RANDOM", &[&targets[0], &targets[1]]).await;
    let answers = all(&edge, 40, "/", "").await;
    let repeats = answers.windows(2).filter(|pair| pair[0] == pair[1]);
    assert!(repeats.count() > 5, "{answers:?}");
    assert!(answers.iter().any(|who| *who != answers[0]));
}

#[tokio::test]
async fn a_policy_has_endpoints_chosen_by_the_address_of_the_client() {
    let targets = two().await;
    let edge = under("algorithm: SOURCE_IP", &[&targets[0], &targets[1]]).await;
    let answers = all(&edge, 10, "/", "").await;
    assert!(answers.iter().all(|who| *who == answers[0]), "{answers:?}");
    let mut others = Vec::new();
    for last in 2..40 {
        let client = IpAddr::from([127, 0, 0, last]);
        let mut client = Connection::open_from(client, edge.gateway).await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        others.push(client.answer().await.text().to_owned());
    }
    assert!(others.iter().any(|who| *who != answers[0]), "{others:?}");
}

#[tokio::test]
async fn a_policy_has_endpoints_chosen_by_a_key_of_the_request() {
    let targets = two().await;
    for (key, lines) in [
        ("{type: HEADER, key: X-Room}", "X-Room: ROOM\r\n"),
        ("{type: COOKIE, key: room}", "Cookie: room=ROOM\r\n"),
        ("{type: QUERY, key: room}", ""),
    ] {
        let says = format!("algorithm: HASH, hashKey: {key}");
        let edge = under(&says, &[&targets[0], &targets[1]]).await;
        let mut chosen = Vec::new();
        for room in 0..20 {
            let lines = lines.replace("ROOM", &room.to_string());
            let answers = all(&edge, 3, &format!("/?room={room}"), &lines).await;
            assert!(
                answers.iter().all(|who| *who == answers[0]),
                "{key} {answers:?}"
            );
            chosen.push(answers[0].clone());
        }
        assert!(
            chosen.iter().any(|who| *who != chosen[0]),
            "{key}: {chosen:?}"
        );
    }
}

#[tokio::test]
async fn a_policy_keeps_a_client_at_its_endpoint_by_a_cookie() {
    let targets = two().await;
    let says = "stickiness: {type: COOKIE, name: seat, duration: 1h, sameSite: Strict}";
    let edge = under(says, &[&targets[0], &targets[1]]).await;
    let (who, cookie) = ask(&edge, "/", "").await;
    let cookie = cookie.unwrap();
    assert!(cookie.starts_with("seat="), "{cookie}");
    assert!(cookie.contains("Max-Age=3600"), "{cookie}");
    assert!(cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let answers = all(&edge, 10, "/", &format!("Cookie: {pair}\r\n")).await;
    assert!(answers.iter().all(|one| *one == who), "{answers:?}");
}

#[tokio::test]
async fn a_policy_keeps_a_client_at_its_endpoint_by_a_cookie_of_the_application() {
    let targets = two().await;
    let says = "stickiness: {type: APPLICATION_COOKIE, name: session}";
    let edge = under(says, &[&targets[0], &targets[1]]).await;
    let mut chosen = Vec::new();
    for session in 0..20 {
        let answers = all(&edge, 3, "/", &format!("Cookie: session={session}\r\n")).await;
        assert!(answers.iter().all(|who| *who == answers[0]), "{answers:?}");
        chosen.push(answers[0].clone());
    }
    assert!(chosen.iter().any(|who| *who != chosen[0]), "{chosen:?}");
}

/// Has a tunnel open, and opens another when it is sent away.
async fn come_back(gateway: SocketAddr) {
    loop {
        let (mut tunnel, _) = Connection::tunnel(gateway, "/").await;
        if let Some((8, _)) = tunnel.frame().await {
            tunnel.leave(1012).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_evens_tunnels_out_when_an_endpoint_joins() {
    let targets = two().await;
    let says = "algorithm: LEAST_CONNECTION, rebalance: {rate: 10000, minAge: 0}";
    let edge = under(says, &[&targets[0]]).await;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        clients.spawn(come_back(edge.gateway));
    }
    let open = || [0, 1].map(|place| tunnels(&edge, &targets[place]));
    eventually("all are open", || (open() == [20.0, 0.0]).then_some(())).await;
    let both = [targets[0].address, targets[1].address];
    let rest = route("chat", "/", "chat") + &policy("TargetPolicy", "Service chat", says);
    edge.write("routes.yaml", &(rest + &service("chat", &both)));
    eventually("they are even", || (open() == [10.0, 10.0]).then_some(())).await;
    for line in edge.log_lines(10).await {
        assert_eq!(line["closeReason"], "rebalanced");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_leaves_young_tunnels_where_they_are() {
    let targets = two().await;
    let says = "algorithm: LEAST_CONNECTION, rebalance: {rate: 10000, minAge: 1h}";
    let edge = under(says, &[&targets[0]]).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Connection::tunnel(edge.gateway, "/").await);
    }
    let both = [targets[0].address, targets[1].address];
    let rest = route("chat", "/", "chat") + &policy("TargetPolicy", "Service chat", says);
    edge.write("routes.yaml", &(rest + &service("chat", &both)));
    edge.answers("/", "two").await;
    assert_eq!(tunnels(&edge, &targets[0]), 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_has_an_endpoint_that_joins_begin_slowly() {
    let targets = two().await;
    let says = "slowStart: 1h";
    let edge = under(says, &[&targets[0]]).await;
    let both = [targets[0].address, targets[1].address];
    let rest = route("chat", "/", "chat") + &policy("TargetPolicy", "Service chat", says);
    edge.write("routes.yaml", &(rest + &service("chat", &both)));
    edge.answers("/", "two").await;
    let answers = all(&edge, 200, "/", "").await;
    let share = answers.iter().filter(|who| *who == "two").count();
    assert!((1..60).contains(&share), "{share} of 200");
}

#[tokio::test]
async fn a_policy_says_how_long_connections_to_endpoints_may_take() {
    let says = "connectTimeout: 200ms, healthCheck: {retries: 0}";
    let edge = Manifests::under("TargetPolicy", "Service chat", says, &[unresponsive()]).await;
    let began = Instant::now();
    let mut client = Connection::open(edge.gateway).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(status(&client.head().await) >= 502);
    assert!(began.elapsed().as_secs() < 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_policy_says_how_long_an_endpoint_may_say_nothing() {
    let silent = Target::scripted(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let edge = under("responseTimeout: 200ms", &[&silent]).await;
    let mut client = Connection::open(edge.gateway).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 504);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_says_how_long_tunnels_to_an_endpoint_that_left_live() {
    let targets = two().await;
    let says = "deregistrationDelay: 300ms";
    let edge = under(says, &[&targets[0]]).await;
    let (mut client, _) = Connection::tunnel(edge.gateway, "/").await;
    let rest = route("chat", "/", "chat") + &policy("TargetPolicy", "Service chat", says);
    edge.write(
        "routes.yaml",
        &(rest + &service("chat", &[targets[1].address])),
    );
    let (opcode, code) = client.frame().await.unwrap();
    assert_eq!((opcode, code), (8, 1012_u16.to_be_bytes().to_vec()));
    client.leave(1012).await;
    assert_eq!(edge.log_line().await["closeReason"], "target_removed");
}
