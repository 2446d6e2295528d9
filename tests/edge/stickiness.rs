//! A client that has a cookie stays with its target: on every path, node and process, and for as
//! long as the target can be had.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::client::{handshake, header, status};
use crate::harness::http2::{Http2, get, websocket};
use crate::harness::tls::openssl;
use crate::harness::{Authority, Config, Connection, Edge, Target, eventually};

const COOKIE: &str = "stickiness: {type: COOKIE}";

/// A configuration with these settings of `server` and of the target group, and targets with
/// settings.
fn group(server: &str, settings: &str, targets: &[(&Target, &str)]) -> Config {
    let group = Config::to_group(
        "healthCheck: {checkInterval: 100, unhealthyThreshold: 1}",
        &[],
    )
    .server(server)
    .top("accessLog: {path: FOLDER/access.log}")
    .group(settings);
    let add =
        |config: Config, (target, keys): &(&Target, &str)| config.target(target.address, keys);
    targets.iter().fold(group, add)
}

async fn two() -> [Target; 2] {
    [Target::named("one").await, Target::named("two").await]
}

fn both<'a>(targets: &'a [Target; 2], settings: [&'a str; 2]) -> [(&'a Target, &'a str); 2] {
    [(&targets[0], settings[0]), (&targets[1], settings[1])]
}

/// Who answers a client with these cookies, and the cookie that it gets.
async fn ask(edge: &Edge, cookies: &str) -> (String, Option<String>) {
    let cookies = match cookies {
        "" => String::new(),
        cookies => format!("Cookie: {cookies}\r\n"),
    };
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookies}\r\n");
    let answer = edge.request(&request).await;
    let cookie = answer.header("set-cookie").map(pair);
    (answer.text().to_owned(), cookie)
}

/// `name=value` of a Set-Cookie.
fn pair(header: &str) -> String {
    header.split(';').next().unwrap().to_owned()
}

/// A client of this target: the cookie that it has.
async fn client_of(edge: &Edge, name: &str) -> String {
    for _ in 0..2 {
        let (who, cookie) = ask(edge, "").await;
        if who == name {
            return cookie.unwrap();
        }
    }
    panic!("no turn for {name}");
}

/// Asserts that a client with this cookie is at home there, and gets no other one.
async fn stays(edge: &Edge, cookie: &str, name: &str) {
    for _ in 0..4 {
        assert_eq!(ask(edge, cookie).await, (name.to_owned(), None));
    }
}

#[tokio::test]
async fn a_client_with_a_cookie_stays_and_others_take_turns_and_get_one() {
    let targets = two().await;
    let edge = Edge::start(&group("", COOKIE, &both(&targets, ["", ""]))).await;
    let (one, two) = (client_of(&edge, "one").await, client_of(&edge, "two").await);
    assert!(one.starts_with("culvert=") && one.len() == 30 && one != two);

    stays(&edge, &one, "one").await;
    stays(&edge, &format!("a=b; {two}; c=d"), "two").await;
    stays(&edge, &format!("culvert=stale; {two}"), "two").await;

    for forged in [
        "culvert=",
        "culvert=AAAAAAAAAAAAAAAAAAAAAA",
        "culvert=127.0.0.1",
    ] {
        let (who, cookie) = ask(&edge, forged).await;
        let expected = if who == "one" { &one } else { &two };
        assert_eq!(cookie.as_ref(), Some(expected));
    }
    // The target sees it.
    let heads = targets[0].heads();
    assert!(heads.iter().any(|head| head.contains(&one)));
}

#[tokio::test]
async fn a_tunnel_begins_with_a_cookie_and_leads_to_the_same_target() {
    let targets = two().await;
    let settings = "stickiness: {type: COOKIE, name: node, duration: 1h, sameSite: Strict}";
    let edge = Edge::start(&group("", settings, &both(&targets, ["", ""]))).await;
    let (_tunnel, head) = edge.tunnel().await;
    let set = header(&head, "set-cookie").unwrap();
    let attributes = "; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600";
    assert_eq!(set, pair(set) + attributes);
    let name = header(&head, "x-target").unwrap();

    stays(&edge, &pair(set), name).await;
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        let mut client = edge.connect().await;
        let cookie = format!("Cookie: {}\r\n", pair(set));
        client.send(handshake("/chat", &cookie)).await;
        let head = client.head().await;
        assert_eq!(status(&head), 101);
        assert_eq!(header(&head, "x-target"), Some(name));
        assert_eq!(header(&head, "set-cookie"), None);
        tunnels.push(client);
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_secure() {
    let (authority, targets) = (Authority::new(), two().await);
    authority.issue("one", &["a.example"]);
    let settings = "stickiness: {type: COOKIE, sameSite: None}";
    let configuration = group("", settings, &both(&targets, ["", ""]));
    let edge = Edge::start(&configuration.tls(&authority, &["one"])).await;
    let mut client = authority.connect(edge.address, "a.example").await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    let set = answer.header("set-cookie").unwrap();
    assert_eq!(set, pair(set) + "; Path=/; HttpOnly; SameSite=None; Secure");
}

#[tokio::test]
async fn over_http_2_requests_and_tunnels_stay_together_too() {
    let targets = two().await;
    let configuration = group("", COOKIE, &both(&targets, ["", ""]));
    let edge = Edge::start(&configuration.rule("h2c: true")).await;
    let mut client = Http2::connect(edge.address).await;
    let (_stream, answer) = client.begin(websocket("/chat")).await;
    assert_eq!(answer.status(), 200);
    let set = pair(answer.headers()["set-cookie"].to_str().unwrap());
    let name = answer.headers()["x-target"].to_str().unwrap().to_owned();

    for _ in 0..4 {
        let mut request = get("/");
        // Browsers send each cookie in a field of its own (RFC 9113 section 8.2.3).
        for cookie in ["a=b", &set] {
            let cookie = cookie.parse().unwrap();
            request.headers_mut().append("cookie", cookie);
        }
        let reply = client.ask(request, "").await;
        assert_eq!((reply.status(), reply.text()), (200, name.as_str()));
        assert!(reply.head.headers().get("set-cookie").is_none());
    }
}

#[tokio::test]
async fn weight_0_keeps_its_clients_and_maintenance_does_not() {
    let targets = two().await;
    let edge = Edge::start(&group("", COOKIE, &both(&targets, ["", ""]))).await;
    let (one, two) = (client_of(&edge, "one").await, client_of(&edge, "two").await);

    let resting = group("", COOKIE, &both(&targets, ["weight: 0", ""]));
    edge.reload(&resting).await;
    stays(&edge, &one, "one").await;
    for _ in 0..4 {
        assert_eq!(ask(&edge, "").await, ("two".to_owned(), Some(two.clone())));
    }

    let maintained = group(
        "",
        COOKIE,
        &both(&targets, ["maintenanceEnabled: true", ""]),
    );
    edge.reload(&maintained).await;
    assert_eq!(ask(&edge, &one).await, ("two".to_owned(), Some(two)));
}

#[tokio::test]
async fn a_client_of_an_unhealthy_or_a_full_target_gets_another_one_and_its_cookie() {
    let [first, second] = two().await;
    let entries = [(&first, "maxConnections: 1"), (&second, "")];
    let edge = Edge::start(&group("", COOKIE, &entries)).await;
    let (one, two) = (client_of(&edge, "one").await, client_of(&edge, "two").await);
    let mut client = edge.connect().await;
    let cookie = format!("Cookie: {one}\r\n");
    client.send(handshake("/chat", &cookie)).await;
    assert_eq!(header(&client.head().await, "x-target"), Some("one"));
    assert_eq!(
        ask(&edge, &one).await,
        ("two".to_owned(), Some(two.clone()))
    );

    let metric = format!(
        "target_healthy{{target=\"{}\",target_group=\"group\"}}",
        second.address
    );
    drop((client, second));
    eventually("the target is unhealthy", || {
        (edge.metric(&metric) == 0.0).then_some(())
    })
    .await;
    let is_free = || (edge.tunnels_active(first.address) == 0.0).then_some(());
    eventually("the other one is free", is_free).await;
    assert_eq!(ask(&edge, &two).await, ("one".to_owned(), Some(one)));
}

fn write_keys(path: &Path, keys: &[&str]) {
    std::fs::write(path, keys.concat()).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn nodes_with_the_same_key_know_each_others_cookies_and_others_do_not() {
    let (folder, targets) = (tempfile::tempdir().unwrap(), two().await);
    let path = folder.path().join("stickiness");
    let server = format!("stickinessKeyFile: {}", path.display());
    let keyed = group(&server, COOKIE, &both(&targets, ["", ""]));
    let [old, new] = [(); 2].map(|()| openssl(&["rand", "-base64", "32"]));
    write_keys(&path, &[&old]);
    let (edge, node) = (Edge::start(&keyed).await, Edge::start(&keyed).await);
    let stranger = Edge::start(&group("", COOKIE, &both(&targets, ["", ""]))).await;
    let one = client_of(&edge, "one").await;
    stays(&node, &one, "one").await;
    assert!(ask(&stranger, &one).await.1.is_some());

    write_keys(&path, &[&new, &old]);
    node.reload(&keyed).await;
    stays(&node, &one, "one").await;
    assert_ne!(client_of(&node, "one").await, one);
}

#[tokio::test]
async fn without_a_key_file_cookies_outlive_a_reload_and_an_upgrade() {
    let targets = two().await;
    let server = "upgradeSocket: FOLDER/upgrade.sock, pidFile: FOLDER/culvert.pid";
    let configuration = group(server, COOKIE, &both(&targets, ["", ""]));
    let edge = Edge::start(&configuration).await;
    edge.says("without server.stickinessKeyFile").await;
    let one = client_of(&edge, "one").await;
    edge.reload(&configuration).await;
    stays(&edge, &one, "one").await;
    let _successor = edge.hand_over().await;
    stays(&edge, &one, "one").await;
}

#[tokio::test]
async fn the_applications_own_cookie_keeps_a_client_and_is_never_set() {
    let targets = two().await;
    let settings = "stickiness: {type: APPLICATION_COOKIE, name: session}";
    let edge = Edge::start(&group("", settings, &both(&targets, ["", ""]))).await;
    let mut seen = Vec::new();
    for number in 0..12 {
        let cookie = format!("a=b; session={number}");
        let (who, set) = ask(&edge, &cookie).await;
        assert_eq!(set, None);
        stays(&edge, &cookie, &who).await;
        let mut client = Connection::open(edge.address).await;
        let line = format!("Cookie: {cookie}\r\n");
        client.send(handshake("/chat", &line)).await;
        assert_eq!(header(&client.head().await, "x-target"), Some(who.as_str()));
        seen.push(who);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["one", "two"]);
    let (first, second) = (ask(&edge, "").await, ask(&edge, "session=").await);
    assert_ne!(first, second);
}
