//! `culvert demo` serves a page, and the chat that it talks to.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::edge::get_now;
use crate::harness::ports::{Claim, claim, free_address};
use crate::harness::{Process, eventually, soon};

#[tokio::test]
async fn the_demo_serves_a_page_and_the_chat_it_talks_to() {
    let mut demo = Demo::start().await;
    let page = get_now(demo.edge, "/").unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"),
        "{page}"
    );
    let status = format!("href=\"http://{}/\"", demo.admin);
    for word in ["<html", "/chat", "rel=\"icon\" href=\"data:", &status] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let ready = get_now(demo.admin, "/readyz").unwrap();
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");

    let mut chat = demo.chat().await;
    let lines = demo.process.count_lines();
    chat.close(None).await.unwrap();
    while let Some(Ok(_)) = soon("the close", chat.next()).await {}
    drop(chat);
    eventually("its line", || {
        (demo.process.count_lines() > lines).then_some(())
    })
    .await;

    let folder = demo.file.parent().unwrap().to_owned();
    assert!(folder.exists());
    demo.process.signal("INT");
    assert_eq!(demo.process.ended().await.code(), Some(0));
    assert!(!folder.exists(), "{}", folder.display());
    let lines = demo.process.lines().into_iter();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    assert_eq!(
        [&lines[0]["httpRule"], &lines[1]["httpRule"]],
        ["page", "chat"]
    );
    assert_eq!(lines[1]["httpStatusCode"], 101);
}

#[tokio::test]
async fn an_upgrade_of_the_demo_keeps_its_tunnels_and_a_drain_ends_it() {
    let mut demo = Demo::start().await;
    let mut chat = demo.chat().await;
    // The second one is asked by a process that the demo has not started itself.
    let mut before = demo.serving();
    for _ in 0..2 {
        let (is_done, said) = demo.does("upgrade").await;
        assert!(is_done, "{said}");
        let gone = format!("/proc/{before}");
        eventually("the old process ends", || {
            (!PathBuf::from(&gone).exists()).then_some(())
        })
        .await;
        assert_ne!(demo.serving(), before);
        before = demo.serving();
        assert!(demo.process.is_running());
        says_back(&mut chat, "still here").await;
    }
    let (is_done, said) = demo.does("drain").await;
    assert!(is_done, "{said}");
    let mut code = None;
    while let Some(Ok(message)) = soon("the close", chat.next()).await {
        if let Message::Close(Some(frame)) = message {
            code = Some(u16::from(frame.code));
        }
    }
    assert_eq!(code, Some(1012));
    assert_eq!(demo.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_tells_where_it_is_and_what_to_try_next() {
    let demo = Demo::start().await;
    let said = demo.process.diagnostics();
    for word in [
        format!("http://{}/ ", demo.edge),
        format!("ws://{}/chat", demo.edge),
        format!("http://{}/ ", demo.admin),
        format!("http://{}/metrics ", demo.admin),
        format!("-c {} top", demo.file.display()),
        format!("-c {} upgrade", demo.file.display()),
        format!("-c {} drain", demo.file.display()),
    ] {
        assert!(said.contains(&word), "{word}: {said}");
    }
}

#[tokio::test]
async fn where_its_port_is_taken_the_demo_takes_a_free_one_unless_one_was_asked_for() {
    // Whoever has it, it is taken.
    let taken = TcpListener::bind("127.0.0.1:8080");
    let demo = Demo::start_with(&[]).await;
    assert_ne!(demo.edge.port(), 8080, "{taken:?}");
    let page = get_now(demo.edge, "/").unwrap();
    assert!(page.contains("<html"), "{page}");

    let port = demo.edge.port().to_string();
    let mut second = Process::start(&["demo", "--port", &port]);
    assert_eq!(second.ended().await.code(), Some(1));
    let said = second.diagnostics();
    let expected = format!("demo: 127.0.0.1:{port}: Address already in use");
    assert!(said.starts_with(&expected), "{said}");
}

#[tokio::test]
async fn a_demo_that_cannot_serve_any_more_says_so() {
    let mut demo = Demo::start().await;
    Process::signal_to(demo.serving(), "KILL");
    assert_eq!(demo.process.ended().await.code(), Some(1));
    demo.process.says("ended with signal 9").await;
}

/// A running demo, and where it says that it is.
struct Demo {
    process: Process,
    edge: SocketAddr,
    admin: SocketAddr,
    file: PathBuf,
    _admin: Claim,
    _folder: TempDir,
}

impl Demo {
    /// Starts it at a free port.
    async fn start() -> Demo {
        Demo::start_with(&["--port", &free_address().port().to_string()]).await
    }

    /// Starts it with these options, and waits until it is ready. One at a time: they would see the
    /// same admin address free.
    async fn start_with(options: &[&str]) -> Demo {
        let admin = eventually("no other demo starts", || claim(9900)).await;
        // Where its folder is, which it cannot remove if it is killed.
        let folder = tempfile::tempdir().unwrap();
        let place = [("TMPDIR", folder.path().to_str().unwrap())];
        let process = Process::start_in(&place, &[&["demo"], options].concat());
        let said = process.says("End with Ctrl-C").await;
        let found = |pattern: &str| {
            let found = Regex::new(pattern).unwrap().captures(&said);
            found.expect(pattern)[1].to_owned()
        };
        let mut demo = Demo {
            edge: found("Open +http://(\\S+)/ ").parse().unwrap(),
            admin: found("http://(\\S+)/metrics").parse().unwrap(),
            file: found(" -c (\\S+) top").into(),
            process,
            _admin: admin,
            _folder: folder,
        };
        eventually("the demo gets ready", || {
            assert!(demo.process.is_running());
            get_now(demo.admin, "/readyz").filter(|page| page.contains(" 200 "))
        })
        .await;
        demo
    }

    /// The process that serves.
    fn serving(&self) -> u32 {
        let text = std::fs::read_to_string(self.file.with_file_name("culvert.pid")).unwrap();
        text.trim().parse().unwrap()
    }

    /// Runs a command for it; tells whether that succeeded, and what it said.
    async fn does(&self, command: &str) -> (bool, String) {
        let mut culvert = tokio::process::Command::new(env!("CARGO_BIN_EXE_culvert"));
        culvert.arg("-c").arg(&self.file).arg(command);
        let output = soon("the command ends", culvert.kill_on_drop(true).output());
        let output = output.await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    /// A tunnel to one of its targets, which has said which one it is.
    async fn chat(&self) -> Chat {
        let (mut chat, _) = connect_async(format!("ws://{}/chat", self.edge))
            .await
            .unwrap();
        let greeting = soon("the target's word", chat.next()).await;
        let greeting = greeting.unwrap().unwrap().into_text().unwrap();
        let address = greeting.strip_prefix("target ").unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let configuration = std::fs::read_to_string(&self.file).unwrap();
        let target = format!("port: {}}}", address.port());
        assert!(configuration.contains(&target), "{configuration}");
        says_back(&mut chat, "hello").await;
        chat
    }
}

impl Drop for Demo {
    /// What serves is a process of its own, which would go on.
    fn drop(&mut self) {
        if self.process.is_running() {
            let pid = self.serving().to_string();
            Command::new("kill").args(["-KILL", &pid]).status().ok();
        }
    }
}

type Chat = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn says_back(chat: &mut Chat, words: &'static str) {
    chat.send(Message::text(words)).await.unwrap();
    let echo = soon("the echo", chat.next()).await.unwrap().unwrap();
    assert_eq!(echo, Message::text(words));
}
