//! What was answered is kept, whatever happens to the process or to the disk.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use serde_json::Value;

use crate::harness::api::{Api, GROUPS, Reply, group, group_path};
use crate::harness::edge::free_addresses;
use crate::harness::{Config, Edge, Process, admin};

/// The names and the locations of what is answered, until the process is gone.
fn write_on(address: SocketAddr, answered: &AtomicUsize, begun: usize) -> Vec<(String, String)> {
    let mut done = Vec::new();
    for number in begun.. {
        let name = format!("g{number}");
        let Some(answer) = admin::try_at(address, "POST", GROUPS, &group(&name)) else {
            break;
        };
        let reply = Reply::of(&answer);
        assert_eq!(reply.status(), 202, "{reply:?}");
        done.push((name, reply.header("location").unwrap().to_owned()));
        answered.fetch_add(1, SeqCst);
    }
    done
}

fn names(address: SocketAddr) -> BTreeSet<String> {
    let path = format!("{GROUPS}?depth=1&limit=200");
    let list = Reply::of(&admin::ask_at(address, "GET", &path, &[], "")).body;
    let items = list["items"].as_array().unwrap().iter();
    let name = |item: &Value| item["properties"]["name"].as_str().unwrap().to_owned();
    items.map(name).collect()
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_write_has_kept_all_that_it_answered() {
    let [address] = free_addresses();
    let config = Config::answering("hello").api(address, "");
    let mut edge = Edge::start(&config).await;
    let mut known: Vec<(String, String)> = Vec::new();
    // Each time another write is under way when it is killed.
    for kill in 1..=10 {
        let answered = AtomicUsize::new(0);
        let done = thread::scope(|scope| {
            let writer = scope.spawn(|| write_on(address, &answered, known.len() + 100 * kill));
            while answered.load(SeqCst) < kill && !writer.is_finished() {
                thread::yield_now();
            }
            edge.signal("KILL");
            writer.join().unwrap()
        });
        edge.exited().await;
        known.extend(done);
        edge.start_again().await;
        let kept = names(address);
        for (name, location) in &known {
            assert!(kept.contains(name), "{name}");
            let path = location.split_once("/cloudapi").unwrap().1;
            let path = format!("/cloudapi{path}");
            let status = Reply::of(&admin::ask_at(address, "GET", &path, &[], "")).body;
            assert_eq!(status["metadata"]["status"], "DONE");
        }
    }
}

/// Whether a file system of so many bytes can be had here.
fn can_mount(folder: &Path) -> bool {
    let script = format!("mount -t tmpfs -o size=64k tmpfs {}", folder.display());
    let arguments = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    let output = Command::new("unshare").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_is_507_and_what_was_answered_before_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    if !can_mount(folder.path()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let [address] = free_addresses();
    let config = Config::answering("hello").api(address, "");
    let at = folder.path().to_str().unwrap();
    let config = config.top(&format!("api: {{store: {{path: {at}}}}}"));
    let edge = Edge::start_by(&config, |arguments| {
        Process::start_with_a_disk_of("64k", folder.path(), arguments)
    });
    let api = Api {
        edge: edge.await,
        address,
    };
    let is_full = AtomicBool::new(false);
    let mut last = String::new();
    for number in 0..1000 {
        let reply = api.post_group(&format!("g{number}"));
        match reply.status() {
            202 => last = reply.body["id"].as_str().unwrap().to_owned(),
            _ => {
                reply.is_refused(507);
                is_full.store(true, SeqCst);
                break;
            }
        }
    }
    assert!(is_full.load(SeqCst));
    let before = names(address);
    // And it goes on being 507, and nothing of it is there.
    api.post_group("more").is_refused(507);
    let path = format!("{GROUPS}/{last}");
    let patched = api.ask("PATCH", &path, &[], "{\"algorithm\": \"RANDOM\"}");
    patched.is_refused(507);
    assert_eq!(names(address), before);
    assert_eq!(api.get(&path)["properties"]["algorithm"], "ROUND_ROBIN");
    assert_eq!(api.edge.get("/").await.text(), "hello");
    let available = "api_store_available{type=\"FILE\"}";
    assert_eq!(api.edge.metric(available), 0.0);
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_507_and_the_process_lives() {
    let mut api = Api::start("").await;
    let path = group_path(&api.group());
    let journal = api.edge.folder.path().join("api.journal");
    let length = std::fs::metadata(journal).unwrap().len();
    api.edge.limit_size_of_files(Some(length + 10));
    api.post_group("more").is_refused(507);
    assert_eq!(api.get(&path)["properties"]["name"], "group");
    api.edge.limit_size_of_files(None);
    assert_eq!(api.post_group("more").status(), 202);
    assert!(api.edge.is_running());
}
