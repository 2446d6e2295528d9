//! Who is heard at the API's address, and how it is told to those who are not.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::harness::api::{Api, BASE, GROUPS, Reply, group};
use crate::harness::eventually;

const TOKEN: (&str, &str) = ("Authorization", "Bearer 0123456789abcdef");
/// `ann:secret`
const ANN: (&str, &str) = ("Authorization", "Basic YW5uOnNlY3JldA==");

/// A folder with a token and a user, and the keys that name their files.
fn credentials() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let [token, users] = ["token", "users"].map(|name| folder.path().join(name));
    fs::write(&token, "0123456789abcdef\n").unwrap();
    fs::write(&users, "# who may\nann:secret\n").unwrap();
    fs::set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    let (token, users) = (token.display(), users.display());
    let keys = format!("tokenFile: {token}, usersFile: {users}");
    (folder, keys)
}

#[tokio::test]
async fn whoever_has_neither_the_token_nor_a_password_is_told_that_one_is_needed() {
    let (folder, keys) = credentials();
    let api = Api::start(&keys).await;
    for (headers, expected) in [
        (&[TOKEN][..], 200),
        (&[ANN], 200),
        (&[], 401),
        (&[("Authorization", "Bearer 0123456789abcdeF")], 401),
        (&[("Authorization", "Basic YW5uOnNlY3JldHM=")], 401),
        (&[("Authorization", "Basic ann:secret")], 401),
    ] {
        for path in [BASE, GROUPS, "/"] {
            let reply = api.ask("GET", path, headers, "");
            match expected {
                401 => reply.is_refused(401),
                _ => assert_ne!(reply.status(), 401, "{headers:?}"),
            }
        }
    }
    let refused = api.ask("GET", GROUPS, &[], "").head.to_lowercase();
    for scheme in ["bearer", "basic"] {
        assert!(
            refused.contains(&format!("\r\nwww-authenticate: {scheme} ")),
            "{refused}"
        );
    }
    api.says("credentials are needed").await;
    fs::write(folder.path().join("token"), "another-token-than-before").unwrap();
    api.signal("HUP");
    let is_unknown = || (api.ask("GET", BASE, &[TOKEN], "").status() == 401).then_some(());
    eventually("the token of before is none", is_unknown).await;
}

#[tokio::test]
async fn a_write_is_told_in_the_diagnostics_with_who_asked_for_it() {
    let (_folder, keys) = credentials();
    let api = Api::start(&keys).await;
    for (header, by) in [(TOKEN, "token"), (ANN, "ann")] {
        let made = api.ask("POST", GROUPS, &[header], &group(by));
        assert_eq!(made.status(), 202, "{made:?}");
        api.says(&format!("\"{by}\": POST \"{GROUPS}\": 202")).await;
        assert_eq!(made.body["metadata"]["createdBy"], by);
    }
}

#[tokio::test]
async fn a_page_whose_name_leads_here_gets_nothing() {
    let api = Api::start("hostNames: [api.example]").await;
    let port = api.address.port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("api.example".to_owned(), 200),
        ("edge-1.example".to_owned(), 421),
        ("192.0.2.1".to_owned(), 421),
        (String::new(), 400),
    ] {
        let reply = api.ask("GET", GROUPS, &[("Host", &host)], "");
        match expected {
            200 => {
                assert_eq!(reply.status(), 200, "{reply:?}");
                let href = reply.body["href"].as_str().unwrap();
                assert_eq!(href, format!("http://{host}{GROUPS}"));
            }
            _ => reply.is_refused(expected),
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_one_of_another_site_sees_nothing() {
    let api = Api::start("").await;
    let evil = ("Origin", "http://evil.example");
    api.ask("POST", GROUPS, &[evil], &group("a"))
        .is_refused(403);
    let site = ("Sec-Fetch-Site", "cross-site");
    api.ask("GET", GROUPS, &[site], "").is_refused(403);
    let ours = format!("http://{}", api.address);
    let made = api.ask("POST", GROUPS, &[("Origin", &ours)], &group("b"));
    assert_eq!(made.status(), 202, "{made:?}");
    let names = &api.get(&format!("{GROUPS}?depth=1"))["items"];
    assert_eq!(names.as_array().unwrap().len(), 1, "{names}");
    assert_eq!(names[0]["properties"]["name"], "b");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_the_same_shape() {
    let api = Api::start("").await;
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/api/v1/status", 404),
        ("GET", "/cloudapi/v6/servers", 404),
        ("POST", GROUPS, 400),
        ("GET", "/cloudapi/v6/targetgroups?depth=x", 400),
        ("DELETE", GROUPS, 405),
        ("OPTIONS", GROUPS, 405),
    ] {
        api.ask(method, path, &[], "").is_refused(expected);
    }
    let head = api.ask("DELETE", GROUPS, &[], "").head;
    assert!(
        head.to_lowercase().contains("\r\nallow: get, head, post"),
        "{head}"
    );
    // The slashes of a client whose base ends in one.
    assert_eq!(
        api.get("//cloudapi/v6//targetgroups/")["items"],
        api.get(GROUPS)["items"]
    );
    let mut client = TcpStream::connect(api.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("HEAD {GROUPS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_may_have_16_mib_and_no_more() {
    let api = Api::start("").await;
    let announce = |length: usize| {
        let mut client = TcpStream::connect(api.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST {GROUPS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    let mut answer = String::new();
    announce((16 << 20) + 1)
        .read_to_string(&mut answer)
        .unwrap();
    Reply::of(&answer).is_refused(413);
    let mut large = announce(16 << 20);
    large.write_all(&vec![b' '; 16 << 20]).unwrap();
    answer.clear();
    large.read_to_string(&mut answer).unwrap();
    // It is empty, but it is read.
    Reply::of(&answer).is_refused(400);
}

#[tokio::test]
async fn whoever_guesses_passwords_is_told_to_wait_a_second() {
    let (_folder, keys) = credentials();
    let api = Api::start(&keys).await;
    let wrong = ("Authorization", "Bearer 0123456789abcdeF");
    let refused = eventually("it is told to wait", || {
        let reply = api.ask("GET", BASE, &[wrong], "");
        (reply.status() != 401).then_some(reply)
    });
    let refused = refused.await;
    refused.is_refused(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let is_heard = || (api.ask("GET", BASE, &[TOKEN], "").status() == 200).then_some(());
    eventually("the token is heard again", is_heard).await;
}
