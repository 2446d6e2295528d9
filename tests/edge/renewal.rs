//! Certificates and keys that change on disk are used without an order, however they come there;
//! what cannot be used changes nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rcgen::KeyPair;

use crate::harness::tls::{openssl, s_client, s_client_asking};
use crate::harness::{Authority, Config, Edge, Target, eventually, soon};

const HOST: &str = "a.example";
const NAMES: [&str; 3] = ["first", "second", "third"];

/// An authority that has issued these certificates, all for the same host.
fn authority() -> Authority {
    let authority = Authority::new();
    for (days, name) in NAMES.iter().enumerate() {
        let key = KeyPair::generate().unwrap();
        authority.issue_for(name, &[HOST], &key, 1000 + days as i64);
    }
    authority
}

/// Copies an issued pair to another folder, as `crt` and `key`.
fn put(authority: &Authority, name: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for end in ["crt", "key"] {
        fs::copy(authority.file(&format!("{name}.{end}")), folder.join(end)).unwrap();
    }
}

/// A Culvert with the certificate that is `crt` and `key` in a folder, and these settings of
/// `server`.
async fn start(folder: &Path, server: &str, target: &Target) -> Edge {
    Edge::start(&configuration(folder, server, target)).await
}

fn configuration(folder: &Path, server: &str, target: &Target) -> Config {
    let (chain, key) = (folder.join("crt"), folder.join("key"));
    let (chain, key) = (chain.display(), key.display());
    let pair =
        format!("certificates: [{{name: one, certificateChain: {chain}, privateKey: {key}}}]");
    Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [one]")
        .server(server)
        .top(&pair)
}

/// Which of the certificates is served.
async fn served<'a>(edge: &Edge, authority: &Authority, names: &[&'a str]) -> Option<&'a str> {
    authority.name_of(&s_client(edge.address, &[]).await, names)
}

/// Waits until this one is served.
async fn comes(edge: &Edge, authority: &Authority, name: &str) {
    let comes = async { while served(edge, authority, &NAMES).await != Some(name) {} };
    soon(&format!("{name} is served"), comes).await;
}

/// Waits for an error line with these words.
async fn is_told(edge: &Edge, words: &[&str]) {
    eventually(&format!("{words:?} are told"), || {
        let said = edge.diagnostics();
        let mut errors = said.lines().filter(|line| line.contains("ERROR"));
        errors
            .find(|line| words.iter().all(|word| line.contains(word)))
            .map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_written_anew_is_served_and_tunnels_stay() {
    let (authority, target) = (authority(), Target::named("target").await);
    let folder = authority.file("live");
    put(&authority, "first", &folder);
    let edge = start(&folder, "", &target).await;
    let expiry = || edge.metric("certificate_not_after_timestamp_seconds{certificate=\"one\"}");
    let before = expiry();
    let mut client = authority.tunnel(edge.address, HOST).await;
    client.say_hi().await;
    // Nobody is to read this.
    fs::write(edge.file(), "nonsense").unwrap();
    put(&authority, "second", &folder);
    comes(&edge, &authority, "second").await;
    let day = 24.0 * 60.0 * 60.0;
    let has_followed = || (expiry() - before > day / 2.0).then_some(());
    eventually("the metric follows", has_followed).await;
    client.say_hi().await;
    for result in ["applied", "rejected"] {
        let reloads = format!("config_reloads_total{{result=\"{result}\"}}");
        assert_eq!(edge.metric(&reloads), 0.0);
    }
    assert_eq!(edge.errors_about(""), 0, "{}", edge.diagnostics());
}

#[tokio::test]
async fn a_certificate_that_is_renamed_into_its_place_is_served() {
    let (authority, target) = (authority(), Target::named("target").await);
    let (folder, new) = (authority.file("live"), authority.file("new"));
    put(&authority, "first", &folder);
    let edge = start(&folder, "", &target).await;
    for name in ["second", "third"] {
        put(&authority, name, &new);
        for end in ["crt", "key"] {
            fs::rename(new.join(end), folder.join(end)).unwrap();
        }
        comes(&edge, &authority, name).await;
    }
}

#[tokio::test]
async fn a_certificate_behind_symbolic_links_that_are_swapped_is_served() {
    let (authority, target) = (authority(), Target::named("target").await);
    // As Kubernetes mounts a secret.
    let folder = authority.file("mount");
    let swap = |name: &str| {
        put(&authority, name, &folder.join(format!("..{name}")));
        symlink(format!("..{name}"), folder.join("..tmp")).unwrap();
        fs::rename(folder.join("..tmp"), folder.join("..data")).unwrap();
    };
    swap("first");
    for end in ["crt", "key"] {
        symlink(format!("..data/{end}"), folder.join(end)).unwrap();
    }
    let edge = start(&folder, "", &target).await;
    for name in ["second", "third"] {
        swap(name);
        comes(&edge, &authority, name).await;
    }
}

#[tokio::test]
async fn a_folder_that_vanishes_and_comes_back_is_watched_again() {
    let (authority, target) = (authority(), Target::named("target").await);
    let folder = authority.file("live");
    put(&authority, "first", &folder);
    let edge = start(&folder, "", &target).await;
    fs::remove_dir_all(&folder).unwrap();
    let chain = folder.join("crt");
    is_told(&edge, &[chain.to_str().unwrap(), "cannot be read"]).await;
    let now = served(&edge, &authority, &NAMES).await;
    assert_eq!(now, Some("first"));
    put(&authority, "second", &folder);
    comes(&edge, &authority, "second").await;
    // Another one takes its place.
    put(&authority, "third", &authority.file("next"));
    fs::rename(&folder, authority.file("past")).unwrap();
    fs::rename(authority.file("next"), &folder).unwrap();
    comes(&edge, &authority, "third").await;
    put(&authority, "first", &folder);
    comes(&edge, &authority, "first").await;
}

#[tokio::test]
async fn a_pair_that_does_not_fit_changes_nothing_until_the_key_follows() {
    let (authority, target) = (authority(), Target::named("target").await);
    let folder = authority.file("live");
    put(&authority, "first", &folder);
    let edge = start(&folder, "", &target).await;
    fs::copy(authority.file("second.crt"), folder.join("crt")).unwrap();
    let key = folder.join("key");
    let file = key.to_str().unwrap();
    let fault = "certificates[0].privateKey: is not the key of the first certificate";
    is_told(&edge, &[file, fault]).await;
    let now = served(&edge, &authority, &NAMES).await;
    assert_eq!(now, Some("first"));
    fs::copy(authority.file("second.key"), &key).unwrap();
    comes(&edge, &authority, "second").await;
    fs::write(folder.join("crt"), "half").unwrap();
    let chain = folder.join("crt");
    let words = [
        chain.to_str().unwrap(),
        "certificateChain: has no certificate",
    ];
    is_told(&edge, &words).await;
    let now = served(&edge, &authority, &NAMES).await;
    assert_eq!(now, Some("second"));
    // Each is told once.
    assert_eq!(edge.errors_about(fault), 1);
}

#[tokio::test]
async fn an_expired_certificate_does_not_take_the_place_of_a_good_one_but_serves_where_there_is_none()
 {
    let (authority, target) = (authority(), Target::named("target").await);
    let names = ["expired", "first", "second"];
    authority.issue_for("expired", &[HOST], &KeyPair::generate().unwrap(), -3);
    let folder = authority.file("live");
    put(&authority, "expired", &folder);
    let configuration = configuration(&folder, "", &target);
    let edge = Edge::start(&configuration).await;
    assert_eq!(served(&edge, &authority, &names).await, Some("expired"));
    edge.says("certificateChain: expired on ").await;
    put(&authority, "first", &folder);
    comes(&edge, &authority, "first").await;
    put(&authority, "expired", &folder);
    let chain = folder.join("crt");
    let chain = chain.to_str().unwrap();
    let fault = "certificates[0].certificateChain: expired on ";
    is_told(&edge, &[chain, fault]).await;
    assert_eq!(served(&edge, &authority, &names).await, Some("first"));
    edge.reload(&configuration).await;
    is_told(&edge, &["reload", chain, fault]).await;
    assert_eq!(served(&edge, &authority, &names).await, Some("first"));
    put(&authority, "second", &folder);
    comes(&edge, &authority, "second").await;
}

#[tokio::test]
async fn a_certificate_that_a_reload_adds_is_watched_too() {
    let (authority, target) = (authority(), Target::named("target").await);
    let edge = Edge::forwarding_to(&[target.address]).await;
    let folder = authority.file("live");
    put(&authority, "first", &folder);
    edge.reload(&configuration(&folder, "", &target)).await;
    comes(&edge, &authority, "first").await;
    put(&authority, "second", &folder);
    comes(&edge, &authority, "second").await;
}

#[tokio::test]
async fn ticket_keys_that_change_on_disk_are_used_and_bad_ones_are_not() {
    let (authority, target) = (authority(), Target::answering("hello").await);
    let folder = authority.file("live");
    put(&authority, "first", &folder);
    let file = folder.join("tickets");
    let new_key = || openssl(&["rand", "-base64", "32"]);
    let (first, second) = (new_key(), new_key());
    fs::write(&file, &first).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = format!("sessionTicketKeyFile: {}", file.display());
    let edge = start(&folder, &server, &target).await;
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    s_client_asking(edge.address, &["-sess_out", session]).await;
    let is_resumed = async || {
        let said = s_client_asking(edge.address, &["-sess_in", session]).await;
        said.contains("Reused, TLSv1.3")
    };
    assert!(is_resumed().await);
    fs::write(&file, "secret").unwrap();
    is_told(&edge, &[file.to_str().unwrap(), "line 1 is no key"]).await;
    assert!(is_resumed().await);
    assert!(!edge.diagnostics().contains("secret"));
    fs::write(&file, second + &first).unwrap();
    let said = "server.sessionTicketKeyFile: the keys on disk are used";
    edge.says(said).await;
    assert!(is_resumed().await);
    fs::write(&file, new_key()).unwrap();
    let are_gone = async { while is_resumed().await {} };
    soon("the old keys are gone", are_gone).await;
}
