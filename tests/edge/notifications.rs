//! What the process tells the service manager that started it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use culvert::os::systemd;
use tempfile::TempDir;

use crate::harness::edge::{free_addresses, get_now};
use crate::harness::{PATIENCE, Process};
use crate::service::{configuration, text};

#[tokio::test]
async fn the_manager_hears_of_readiness_once_readyz_says_so_and_of_the_end_when_it_begins() {
    for signal in ["TERM", "INT"] {
        let (mut process, admin, news) = notifying(&[]);

        let kept = news.next();
        assert!(
            kept.starts_with("FDSTORE=1\nFDNAME=listener-127.0.0.1-"),
            "{kept}"
        );
        assert_eq!(news.next(), "READY=1\n");
        let page = get_now(admin, "/readyz").unwrap();
        assert!(page.contains(" 200 "), "{page}");
        news.until(concat!(
            "STATUS=culvert ",
            env!("CARGO_PKG_VERSION"),
            " serves\n"
        ));

        process.signal(signal);
        news.until("STOPPING=1\nEXTEND_TIMEOUT_USEC=");
        assert!(process.ended().await.success());
    }
}

#[tokio::test]
async fn the_manager_keeps_the_sockets_that_are_listened_on_and_no_others() {
    let (mut process, admin, news) = notifying(&[]);
    let kept = news.next();
    let name = kept.trim_start_matches("FDSTORE=1\n");
    news.until("READY=1\n");
    let path = news.path.parent().unwrap().join("culvert.yaml");
    let [other] = free_addresses();
    fs::write(path, configuration(other, admin, "")).unwrap();
    process.signal("HUP");
    news.until(&format!("FDSTOREREMOVE=1\n{name}"));
    let port = other.port();
    news.until(&format!("FDSTORE=1\nFDNAME=listener-127.0.0.1-{port}\n"));
    process.signal("TERM");
    news.until(&format!(
        "FDSTOREREMOVE=1\nFDNAME=listener-127.0.0.1-{port}\n"
    ));
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_watchdog_hears_that_the_threads_turn_though_the_variables_name_another_process() {
    let watchdog = [("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let (mut process, _, news) = notifying(&watchdog);
    for _ in 0..3 {
        news.until("WATCHDOG=1\n");
    }
    process.signal("TERM");
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_manager_that_is_gone_stops_nothing() {
    let (mut process, admin, news) = notifying(&[]);
    news.until("READY=1\n");
    drop(news);
    process.signal("TERM");
    assert!(process.ended().await.success());
    let said = process.diagnostics();
    assert!(
        said.contains("the service manager cannot be told"),
        "{said}"
    );
    assert!(get_now(admin, "/livez").is_none());
}

#[test]
fn a_process_that_has_named_its_successor_is_silent() {
    let news = News::new();
    let alone = [
        "--exact",
        "notifications::an_old_process_speaks",
        "--ignored",
    ];
    let old = Command::new(std::env::current_exe().unwrap())
        .args(alone)
        .env("NOTIFY_SOCKET", &news.path)
        .output()
        .unwrap();
    assert!(old.status.success(), "{old:?}");
    let reload = news.next();
    let time = reload.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(time.trim_end().parse::<u64>().unwrap() > 0, "{reload}");
    assert_eq!(news.next(), "STATUS=two lines\n");
    assert_eq!(news.next(), "MAINPID=4711\nREADY=1\n");
    assert_eq!(news.now(), None);
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn an_old_process_speaks() {
    systemd::reloading();
    systemd::status("two\nlines");
    systemd::main_process(4711);
    systemd::ready();
    systemd::stopping(Duration::ZERO);
    systemd::status("draining");
}

/// The socket of a service manager.
struct News {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl News {
    fn new() -> News {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        News {
            socket,
            path,
            _folder: folder,
        }
    }

    /// The next news; waits for it.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("there is news");
        text(&buffer[..length]).to_owned()
    }

    /// Waits for news that begins with this.
    fn until(&self, expected: &str) {
        while !self.next().starts_with(expected) {}
    }

    /// News that is here already.
    fn now(&self) -> Option<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(text(&buffer[..length]).to_owned())
    }
}

/// A process that was told of a manager, its admin address, and what the manager hears.
fn notifying(environment: &[(&str, &str)]) -> (Process, SocketAddr, News) {
    let news = News::new();
    let folder = news.path.parent().unwrap();
    let (path, [address, admin]) = (folder.join("culvert.yaml"), free_addresses());
    fs::write(&path, configuration(address, admin, "")).unwrap();
    let notify = [("NOTIFY_SOCKET", news.path.to_str().unwrap())];
    let environment = [&notify, environment].concat();
    let process = Process::start_in(&environment, &["-c", path.to_str().unwrap()]);
    (process, admin, news)
}
