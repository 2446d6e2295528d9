//! Who is heard at the admin address, and who is not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::json;

use crate::harness::admin::{ask, ask_at, ask_unix, get, send};
use crate::harness::client::status;
use crate::harness::edge::{body_of, free_addresses};
use crate::harness::process::run;
use crate::harness::{Config, Edge, Process, eventually};

const STATUS: &str = "/api/v1/status";
const TOKEN: &str = "0123456789abcdef";

/// A Culvert whose `admin` has these keys.
fn with_admin(keys: &str) -> Config {
    let admin = format!("admin: {{listen: '127.0.0.1:ADMIN_PORT', {keys}}}");
    Config::answering("hello").upgradable().top(&admin)
}

#[tokio::test]
async fn a_page_whose_name_leads_here_gets_nothing() {
    let edge = Edge::start(&with_admin("hostNames: [edge-1.example]")).await;
    let port = edge.admin.port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("edge-1.example".to_owned(), 200),
        ("[::1]:1".to_owned(), 200),
        (format!("evil.example:{port}"), 421),
        ("127.0.0.1.evil.example".to_owned(), 421),
        ("192.0.2.1".to_owned(), 421),
        (String::new(), 400),
    ] {
        for path in [STATUS, "/metrics", "/"] {
            let answer = ask_at(edge.admin, "GET", path, &[("Host", &host)], "");
            assert_eq!(status(&answer), expected, "{host}: {answer}");
        }
        let probe = ask_at(edge.admin, "GET", "/livez", &[("Host", &host)], "");
        assert_eq!(status(&probe), 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let edge = Edge::start(&with_admin("")).await;
    let ours = format!("http://{}", edge.admin);
    for (origin, expected) in [
        (&ours[..], 404),
        ("http://evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("null", 403),
    ] {
        let path = "/api/v1/tunnels/none";
        let (status, answer) = ask(&edge, "DELETE", path, &[("Origin", origin)], "");
        assert_eq!(status, expected, "{origin}: {answer}");
    }
    let head = ask_at(
        edge.admin,
        "GET",
        STATUS,
        &[("Origin", "http://evil.example")],
        "",
    );
    assert!(!head.to_lowercase().contains("access-control"), "{head}");
    edge.says("another origin").await;
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing_and_whoever_follows_a_link_does() {
    let edge = Edge::start(&with_admin("")).await;
    for (path, site, destination, expected) in [
        (STATUS, "cross-site", "empty", 403),
        ("/api/v1/events", "same-site", "iframe", 403),
        (STATUS, "same-origin", "empty", 200),
        (STATUS, "none", "document", 200),
        ("/metrics", "cross-site", "document", 200),
        ("/", "cross-site", "document", 200),
    ] {
        let headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Dest", destination)];
        let answer = ask_at(edge.admin, "GET", path, &headers, "");
        assert_eq!(status(&answer), expected, "{path} {site}: {answer}");
    }
}

#[tokio::test]
async fn with_a_token_nothing_but_the_probes_is_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let edge = Edge::start(&with_admin(&format!("tokenFile: {}", file.display()))).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&edge.admin_page(path)), 200);
    }
    // The page itself holds no data.
    assert_eq!(status(&edge.admin_page("/")), 200);
    for path in ["/metrics", STATUS, "/api/v1/openapi.json", "/api/v1/events"] {
        let answer = edge.admin_page(path);
        assert_eq!(status(&answer), 401, "{path}");
        assert!(
            answer
                .to_lowercase()
                .contains("\r\nwww-authenticate: bearer\r\n")
        );
    }
    let with = |token: &str| {
        let value = format!("Bearer {token}");
        let header = [("Authorization", value.as_str())];
        status(&ask_at(edge.admin, "GET", STATUS, &header, ""))
    };
    assert_eq!(
        (with(TOKEN), with("0123456789abcdeF"), with("")),
        (200, 401, 401)
    );

    std::fs::write(&file, "another-token-than-before").unwrap();
    edge.signal("HUP");
    let is_read = || (with("another-token-than-before") == 200).then_some(());
    eventually("the new token", is_read).await;
    assert_eq!(with(TOKEN), 401);
}

#[tokio::test]
async fn where_nothing_can_be_changed_everything_can_be_read() {
    let edge = Edge::start(&with_admin("readOnly: true")).await;
    for (method, path) in [
        ("DELETE", "/api/v1/tunnels?forwardingRule=edge"),
        ("POST", "/api/v1/reload"),
        ("POST", "/api/v1/drain"),
        ("PATCH", "/api/v1/targetgroups/a/targets/127.0.0.1:1"),
    ] {
        let (status, answer) = send(&edge, method, path);
        assert_eq!(status, 403, "{method} {path}");
        assert!(answer["error"].as_str().unwrap().contains("readOnly"));
    }
    let shown = get(&edge, STATUS);
    assert_eq!(shown["drain"]["state"], "serving");
    assert_eq!(shown["readOnly"], true);
    let (status, told) = ask(&edge, "POST", "/api/v1/explain", &[], "{\"path\": \"/\"}");
    assert_eq!((status, &told["matched"]), (200, &json!("all")));
}

#[tokio::test]
async fn large_bodies_are_refused_and_large_heads_too() {
    let edge = Edge::start(&with_admin("")).await;
    let mut client = TcpStream::connect(edge.admin).unwrap();
    let head = "POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let path = format!("/{}", "x".repeat(40_000));
    let answer = ask_at(edge.admin, "GET", &path, &[], "");
    assert!(
        answer.contains(" 431 ") || answer.contains(" 414 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let file = configured(folder.path(), &socket, "mode: \"0600\"");
    let mut process = Process::start(&["-c", file.to_str().unwrap()]);
    is_served(&socket).await;

    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let answer = ask_unix(&socket, "DELETE", "/api/v1/tunnels/none").unwrap();
    assert_eq!(status(&answer), 404);
    configured(folder.path(), &socket, "mode: \"0660\"");
    assert_eq!(
        status(&ask_unix(&socket, "POST", "/api/v1/reload").unwrap()),
        200
    );
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o660
    );

    process.signal("TERM");
    assert!(process.ended().await.success());
    assert!(!socket.exists(), "it is left behind");
}

#[tokio::test]
async fn a_unix_socket_is_handed_over_and_nobody_finds_it_closed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let file = configured(folder.path(), &socket, "");
    let mut old = Process::start(&["-c", file.to_str().unwrap()]);
    is_served(&socket).await;
    let mut kept = UnixStream::connect(&socket).unwrap();

    let upgraded = run(&["-c", file.to_str().unwrap(), "upgrade"], folder.path());

    assert!(
        upgraded.status.success(),
        "{}",
        String::from_utf8_lossy(&upgraded.stderr)
    );
    assert!(old.exited().await.success());
    let page = body_of(&ask_unix(&socket, "GET", STATUS).unwrap());
    let pid = page["pid"].as_u64().unwrap() as u32;
    assert_ne!(pid, old.id());
    assert_eq!(kept.read(&mut [0; 8]).unwrap_or(0), 0);
    Process::signal_to(pid, "TERM");
    eventually("the socket is gone", || (!socket.exists()).then_some(())).await;
}

#[tokio::test]
async fn an_admin_address_moves_to_a_unix_socket_and_back() {
    let edge = Edge::start(&with_admin("")).await;
    let socket = edge.folder.path().join("admin.sock");
    let moved = with_admin("").admin("unix:FOLDER/admin.sock");
    edge.configure(&moved);
    assert_eq!(send(&edge, "POST", "/api/v1/reload").0, 200);
    is_served(&socket).await;
    let refused = || TcpStream::connect(edge.admin).is_err().then_some(());
    eventually("the old address is closed", refused).await;

    edge.configure(&with_admin(""));
    assert_eq!(
        status(&ask_unix(&socket, "POST", "/api/v1/reload").unwrap()),
        200
    );
    assert_eq!(get(&edge, STATUS)["pid"], edge.id());
    eventually("the socket is gone", || (!socket.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let file = configured(folder.path(), &path, "");
    let ended = run(&["-c", file.to_str().unwrap()], folder.path());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        !ended.status.success() && said.contains("admin.listen: cannot listen on"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

/// Writes a configuration whose admin address is this socket.
fn configured(folder: &Path, socket: &Path, keys: &str) -> std::path::PathBuf {
    let [address] = free_addresses();
    let listen = format!("unix:{}", socket.display());
    let config = with_admin(keys).admin(listen).listen(address);
    config.write_to(folder)
}

async fn is_served(socket: &Path) {
    let is_ready = || {
        let answer = ask_unix(socket, "GET", "/readyz").ok()?;
        answer.contains(" 200 ").then_some(())
    };
    eventually("the socket is served", is_ready).await;
}
