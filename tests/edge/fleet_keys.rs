//! Nodes have the keys of session tickets and of sticky cookies in common, sealed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::api::Api;
use crate::harness::process::run;
use crate::harness::tls::{HOST, openssl, s_client_asking};
use crate::harness::{Authority, Config, Edge, Etcd, Target};

const SHARED: &str = "the keys that the nodes have in common are used";

/// A fleet whose nodes lead to two targets, with a sticky cookie.
struct Fleet {
    etcd: Etcd,
    targets: [Target; 2],
    folder: TempDir,
}

impl Fleet {
    async fn new() -> Option<Fleet> {
        Some(Fleet {
            etcd: Etcd::start().await?,
            targets: [Target::named("one").await, Target::named("two").await],
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// A file with a key to seal with.
    fn sealing_key(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        if !path.exists() {
            fs::write(&path, openssl(&["rand", "-base64", "32"])).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    fn config(&self, key: &Path) -> Config {
        let addresses = self.targets.each_ref().map(|target| target.address);
        Config::forwarding_to(&addresses)
            .group("stickiness: {type: COOKIE}")
            .top(&format!(
                "api: {{store: {{sealingKeyFile: {}}}}}",
                key.display()
            ))
    }

    async fn node(&self, name: &str, key: &str) -> Api {
        let config = self.config(&self.sealing_key(key));
        self.etcd.node_with(config, name, "").await
    }
}

/// Who answers a client with this cookie, and the cookie that it gets.
async fn ask(edge: &Edge, cookie: &str) -> (String, Option<String>) {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n");
    let answer = edge.request(&request).await;
    let set = answer.header("set-cookie");
    let pair = set.map(|set| format!("Cookie: {}\r\n", set.split(';').next().unwrap()));
    (answer.text().to_owned(), pair)
}

async fn stays(edge: &Edge, who: &str, cookie: &str) {
    for _ in 0..4 {
        assert_eq!(ask(edge, cookie).await, (who.to_owned(), None));
    }
}

#[tokio::test]
async fn a_cookie_of_one_node_is_known_at_the_others_also_while_etcd_is_away() {
    let Some(mut fleet) = Fleet::new().await else {
        return;
    };
    let (one, mut other) = (
        fleet.node("one", "key").await,
        fleet.node("other", "key").await,
    );
    one.edge.says(SHARED).await;
    other.edge.says(SHARED).await;
    let (who, cookie) = ask(&one.edge, "").await;
    let cookie = cookie.unwrap();
    stays(&other.edge, &who, &cookie).await;
    // A reload leaves them.
    let file = fs::read_to_string(other.edge.file()).unwrap();
    other.edge.reload(&file).await;
    stays(&other.edge, &who, &cookie).await;
    other.edge.signal("KILL");
    other.edge.exited().await;
    fleet.etcd.kill();
    other.edge.start_again().await;
    stays(&other.edge, &who, &cookie).await;
}

#[tokio::test]
async fn what_is_in_common_is_sealed_and_stays_where_a_node_has_another_key() {
    let Some(fleet) = Fleet::new().await else {
        return;
    };
    let one = fleet.node("one", "key").await;
    one.edge.says(SHARED).await;
    let sealed = || fleet.etcd.ctl(&["get", "/culvert/keys", "-w", "json"]);
    let before = sealed();
    assert!(before.contains("\"value\""), "{before}");
    let (who, cookie) = ask(&one.edge, "").await;
    let stranger = fleet.node("stranger", "another").await;
    let said = "none of its keys opens what the nodes have in common";
    stranger.edge.says(said).await;
    stays(&one.edge, &who, &cookie.unwrap()).await;
    // What it writes does not change them either.
    stranger.group();
    let after = sealed();
    let of_key = |answer: &str| answer[answer.find("\"kvs\"").unwrap()..].to_owned();
    assert_eq!(of_key(&after), of_key(&before));
    assert!(!one.edge.diagnostics().contains("panicked"));
}

#[tokio::test]
async fn a_session_of_one_node_is_resumed_at_another() {
    let Some(fleet) = Fleet::new().await else {
        return;
    };
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let config = fleet.config(&fleet.sealing_key("key"));
    let config = config.tls(&authority, &["one"]);
    let one = fleet.etcd.node_with(config.clone(), "one", "").await;
    let other = fleet.etcd.node_with(config, "other", "").await;
    one.edge.says(SHARED).await;
    other.edge.says(SHARED).await;
    let session = fleet.folder.path().join("session");
    let session = session.to_str().unwrap();
    let asking = ["-tls1_3", "-servername", HOST];
    let first = [&asking[..], &["-sess_out", session]].concat();
    s_client_asking(one.edge.address, &first).await;
    let again = [&asking[..], &["-sess_in", session]].concat();
    let resumed = async |edge: &Edge| {
        let said = s_client_asking(edge.address, &again).await;
        said.contains("Reused, TLSv1.")
    };
    assert!(resumed(&other.edge).await);
}

#[test]
fn keys_of_files_and_keys_in_common_are_not_for_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, openssl(&["rand", "-base64", "32"])).unwrap();
    let key = key.display();
    let file = folder.path().join("culvert.yaml");
    let text = format!(
        "server: {{stickinessKeyFile: {key}}}\nforwardingRules: []\napi: {{listen: '127.0.0.1:9901', \
         store: {{type: ETCD, path: /var/lib/culvert, endpoints: ['http://127.0.0.1'], \
         sealingKeyFile: {key}}}}}\n"
    );
    fs::write(&file, text).unwrap();
    let output = run(&["-t", "-c", file.to_str().unwrap()], folder.path());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = "server: stickinessKeyFile is not for api.store.sealingKeyFile";
    assert!(said.contains(expected), "{said}");
}
