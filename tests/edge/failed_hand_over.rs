//! A hand-over that fails at its last step leaves everything as it was; and no process takes over
//! from somebody else's.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::harness::http2::{Http2, get};
use crate::harness::process::run;
use crate::harness::{Config, Edge, Target};

/// A user who is neither root nor ours.
const NOBODY: u32 = 65534;

/// Waits to take over, takes everything, and ends when it is told that nobody else accepts.
fn take_over_and_end(edge: &Edge) {
    let mut link = UnixStream::connect(edge.folder.path().join("upgrade.sock")).unwrap();
    let mut lines = BufReader::new(link.try_clone().unwrap()).lines();
    link.write_all(b"\"takeOver\"\n").unwrap();
    let mut said = move |word: &str| {
        let is_it = |line: std::io::Result<String>| line.unwrap() == format!("\"{word}\"");
        assert!(lines.any(is_it), "nobody said {word}");
    };
    said("allSockets");
    link.write_all(b"\"ready\"\n").unwrap();
    said("over");
}

/// The same once the running process is asked to hand over.
pub async fn fail_to_take_over(edge: &Edge) {
    std::thread::scope(|threads| {
        let taking = threads.spawn(|| take_over_and_end(edge));
        while !taking.is_finished() {
            edge.signal("QUIT");
            std::thread::yield_now();
        }
        taking.join().unwrap();
    });
    edge.says("this process serves on").await;
}

#[tokio::test]
async fn connections_that_are_kept_stay_through_a_hand_over_that_fails() {
    let target = Target::answering("hello").await;
    let configuration = Config::forwarding_to(&[target.address]).upgradable();
    let edge = Edge::start(&configuration.rule("clientTimeout: 50s, h2c: true")).await;
    let mut kept = edge.connect().await;
    let mut streams = Http2::connect(edge.address).await;
    for _ in 0..2 {
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = kept.answer().await;
        assert_eq!(answer.status, 200);
        assert_ne!(answer.header("connection"), Some("close"));
        assert_eq!(streams.ask(get("/"), "").await.status(), 200);
        fail_to_take_over(&edge).await;
    }
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_ne!(kept.answer().await.header("connection"), Some("close"));
    assert_eq!(streams.ask(get("/"), "").await.status(), 200);
    assert_eq!(edge.get("/").await.status, 200);
    let _successor = edge.hand_over().await;
}

/// Listens at `upgrade.sock` of a folder as another user; `None` where we may not be another.
fn somebody_else(folder: &Path) -> Option<UnixListener> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    let socket = folder.join("upgrade.sock");
    let listening = move || {
        // That of this thread alone.
        let nobody = Uid::from_raw(NOBODY);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        UnixListener::bind(socket).unwrap()
    };
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| std::thread::spawn(listening).join().unwrap())
}

#[tokio::test]
async fn nobody_takes_over_from_a_process_of_another_user() {
    let target = Target::answering("hello").await;
    let folder = tempfile::tempdir().unwrap();
    let Some(_somebody) = somebody_else(folder.path()) else {
        return println!("skipped: only root can be another user");
    };
    let configuration = Config::forwarding_to(&[target.address])
        .upgradable()
        .rule("listenerPort: 1");
    let file = configuration.write_to(folder.path());
    let output = run(&["-c", file.to_str().unwrap(), "-u"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("of user 65534 is not trusted"), "{said}");
}
