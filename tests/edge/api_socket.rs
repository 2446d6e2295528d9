//! The API at a Unix socket: for whoever may use the file, and at no other place while it is there.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::admin::ask_unix;
use crate::harness::api::{BASE, GROUPS, Reply};
use crate::harness::edge::free_addresses;
use crate::harness::{Config, Edge, eventually};

fn at_socket(keys: &str) -> Config {
    Config::answering("hello").api("unix:FOLDER/api.sock", keys)
}

fn mode(socket: &Path) -> u32 {
    std::fs::metadata(socket).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_process() {
    let edge = Edge::start(&at_socket("mode: \"0600\"")).await;
    let socket = edge.folder.path().join("api.sock");
    assert_eq!(mode(&socket), 0o600);
    let reply = Reply::of(&ask_unix(&socket, "GET", GROUPS).unwrap());
    assert_eq!(reply.status(), 200, "{reply:?}");
    // Whatever host is named: a browser does not come here.
    assert_eq!(reply.body["href"], format!("http://any.example{GROUPS}"));
    edge.reload(&at_socket("mode: \"0660\"")).await;
    assert_eq!(mode(&socket), 0o660);
    let (status, _) = edge.terminate().await;
    assert!(status.success());
    assert!(!socket.exists(), "it is left behind");
}

#[tokio::test]
async fn the_api_moves_from_an_address_to_a_unix_socket_and_back() {
    let [address] = free_addresses();
    let at_address = Config::answering("hello").api(address, "");
    let edge = Edge::start(&at_address).await;
    let socket = edge.folder.path().join("api.sock");
    edge.reload(&at_socket("")).await;
    assert_eq!(
        Reply::of(&ask_unix(&socket, "GET", BASE).unwrap()).status(),
        200
    );
    let is_refused = || TcpStream::connect(address).is_err().then_some(());
    eventually("the old address is closed", is_refused).await;
    edge.reload(&at_address).await;
    assert!(TcpStream::connect(address).is_ok());
    eventually("the socket is gone", || (!socket.exists()).then_some(())).await;
}

#[tokio::test]
async fn an_api_that_the_file_no_longer_has_stays_until_a_new_process_takes_over() {
    let edge = Edge::start(&at_socket("")).await;
    let socket = edge.folder.path().join("api.sock");
    edge.reload(&Config::answering("hello")).await;
    edge.says("stays as it is until a new process takes over")
        .await;
    assert_eq!(
        Reply::of(&ask_unix(&socket, "GET", BASE).unwrap()).status(),
        200
    );
}

#[tokio::test]
async fn an_address_that_somebody_has_is_told_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [address] = free_addresses();
    let edge = Edge::start(&Config::answering("hello").api(address, "")).await;
    let here = taken.local_addr().unwrap();
    edge.configure(&Config::answering("hello").api(here, ""));
    edge.signal("HUP");
    edge.says(&format!("api.listen: cannot listen on {here}"))
        .await;
    assert!(TcpStream::connect(address).is_ok());
}
