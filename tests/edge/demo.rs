//! `culvert demo` serves a page, and the chat that it talks to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::edge::get_now;
use crate::harness::ports::{Claim, claim};
use crate::harness::{Process, eventually, soon};

#[tokio::test]
async fn the_demo_serves_a_page_and_the_chat_it_talks_to() {
    let (mut process, _ports) = start_demo().await;
    let [edge, admin] = DEMO;
    let page = get_now(edge, "/").unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        "{page}"
    );
    assert!(page.contains("<html") && page.contains("/chat"), "{page}");
    for word in [
        "http://127.0.0.1:8080/",
        "ws://127.0.0.1:8080/chat",
        "http://127.0.0.1:9900/metrics",
    ] {
        process.says(word).await;
    }
    let ready = get_now(admin, "/readyz").unwrap();
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");

    let (mut chat, _) = connect_async("ws://127.0.0.1:8080/chat").await.unwrap();
    chat.send(Message::text("hello")).await.unwrap();
    let echo = soon("the echo", chat.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text("hello"));
    chat.close(None).await.unwrap();
    while let Some(Ok(_)) = soon("the close", chat.next()).await {}
    drop(chat);
    eventually("both lines", || (process.lines().len() == 2).then_some(())).await;

    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));
    let lines = process.lines().into_iter();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert_eq!(
        [&lines[0]["httpRule"], &lines[1]["httpRule"]],
        ["page", "chat"]
    );
    assert_eq!(lines[1]["httpStatusCode"], 101);
}

/// Where the demo listens, and its admin address.
const DEMO: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900),
];

/// Starts the demo as soon as nobody else on the machine has its ports, and waits until it is
/// ready; nobody gets them meanwhile.
async fn start_demo() -> (Process, Vec<Claim>) {
    let claims = eventually("the demo's ports are free", || {
        let claims = DEMO.map(|address| claim(address.port()));
        let are_free = DEMO.map(TcpListener::bind).iter().all(Result::is_ok);
        claims
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .filter(|_| are_free)
    })
    .await;
    let mut process = Process::start(&["demo"]);
    eventually("the demo gets ready", || {
        assert!(process.is_running());
        get_now(DEMO[1], "/readyz").filter(|page| page.contains(" 200 "))
    })
    .await;
    (process, claims)
}
