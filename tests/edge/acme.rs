//! Certificates that are issued by a directory of ACME, here Pebble: whatever the challenge, and
//! whatever the directory does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::admin::{get, post, send};
use crate::harness::pebble::{Pebble, progress, shown};
use crate::harness::process::run;
use crate::harness::{Config, Edge, Target, eventually};

const NAME: &str = "chat.example.com";
/// Everything that is asked for on plain HTTP is sent to HTTPS.
const REDIRECT: &str =
    "{name: all, type: REDIRECT, statusCode: 301, location: 'https://{host}{path}'}";

/// A rule with TLS, and one without that redirects.
fn configuration(pebble: &Pebble, names: &[&str], keys: &str, target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .top(&pebble.certificate(names, keys))
        .add_rule("plain")
        .listen(pebble.http)
        .http_rules(REDIRECT)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The record of the certificate, as it is kept.
fn record(edge: &Edge) -> Value {
    let text = fs::read(edge.folder.path().join("acme/chat.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Waits until attempts have come to this.
async fn attempts(edge: &Edge, result: &str, count: f64) {
    let metric = format!("certificate_renewals_total{{certificate=\"chat\",result=\"{result}\"}}");
    let is_so = || (edge.metric(&metric) >= count).then_some(());
    eventually("an attempt", is_so).await;
}

fn command(edge: &Edge, arguments: &[&str]) -> String {
    let file = edge.file();
    let conf = ["-c", file.to_str().unwrap(), "certificates"];
    let output = run(&[&conf, arguments].concat(), edge.folder.path());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_by_http_01_past_a_redirect_and_served_without_a_restart() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let names = [NAME, "www.example.com"];
    let edge = Edge::start(&configuration(&pebble, &names, "", &target)).await;
    let served = pebble.is_served(edge.address, NAME).await;
    for name in names {
        assert!(served.contains(&format!("DNS:{name}")), "{served}");
    }
    let folder = edge.folder.path().join("acme");
    assert_eq!(mode(&folder), 0o700);
    for file in ["chat.pem", "chat.json", "chat.lock"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    eventually("no token is left", || {
        fs::read_dir(folder.join("challenges"))
            .unwrap()
            .next()
            .is_none()
            .then_some(())
    })
    .await;
    let chat = progress(&edge);
    assert_eq!(chat["selfSigned"], false, "{chat}");
    assert_eq!(chat["forwardingRules"], json!(["edge"]));
    assert_eq!(
        (&chat["acme"]["failures"], &chat["acme"]["state"]),
        (&json!(0), &json!("waiting"))
    );
    assert!(chat["acme"]["issued"].is_string(), "{chat}");
    assert!(command(&edge, &[]).contains(NAME));
    // Whoever asked for a token was answered, and is in the log; whoever asks for none is
    // redirected as ever.
    let lines = edge.log();
    let is_answered =
        |line: &&Value| line["httpStatusCode"] == 200 && line.get("httpRule").is_none();
    assert!(lines.iter().filter(is_answered).count() >= 2, "{lines:?}");
    let unknown = edge_get(&pebble, "/.well-known/acme-challenge/unknown");
    assert!(unknown.starts_with("HTTP/1.1 301"), "{unknown}");
    // A token of another process with the same folder; explain tells what becomes of it.
    let token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
    fs::write(
        folder.join("challenges").join(token),
        format!("{token}.thumbprint"),
    )
    .unwrap();
    let path = format!("/.well-known/acme-challenge/{token}");
    let known = edge_get(&pebble, &path);
    assert!(known.ends_with(&format!("{token}.thumbprint")), "{known}");
    let asked = json!({"path": path, "forwardingRule": "plain"});
    let told = post(&edge, "/api/v1/explain", &asked);
    let action = json!({"type": "CHALLENGE", "statusCode": 200, "websocket": false});
    assert_eq!(
        (&told["action"], &told["matched"]),
        (&action, &Value::Null),
        "{told}"
    );
}

/// What a GET is answered with where Pebble asks for tokens.
fn edge_get(pebble: &Pebble, path: &str) -> String {
    crate::harness::edge::get_now(pebble.http, path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_by_tls_alpn_01() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let config = Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .listen(pebble.tls)
        .top(&pebble.certificate(&[NAME], "challenge: TLS-ALPN-01"));
    let edge = Edge::start(&config).await;
    pebble.is_served(pebble.tls, NAME).await;
    assert_eq!(progress(&edge)["acme"]["challenge"], "TLS-ALPN-01");
    // Whoever asks like an authority without being one is shown nothing.
    let asks = ["-alpn", "acme-tls/1", "-servername", NAME];
    let answer = crate::harness::tls::s_client(pebble.tls, &asks).await;
    assert!(!answer.contains("BEGIN CERTIFICATE"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_a_wildcard_is_issued_by_dns_01_and_its_records_are_removed() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let folder = tempfile::tempdir().unwrap();
    let (hook, calls) = (folder.path().join("hook"), folder.path().join("calls"));
    let script = format!(
        "#!/bin/sh -e\n\
         case $2 in add) to=set-txt;; *) to=clear-txt;; esac\n\
         curl -sf -d \"{{\\\"host\\\": \\\"$3.\\\", \\\"value\\\": \\\"$4\\\"}}\" \
         http://{}/$to\n\
         echo \"$1 $2 $3 $CULVERT_CERTIFICATE\" >> {}\n",
        pebble.records,
        calls.display()
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = format!("challenge: DNS-01, command: [{}, zone]", hook.display());
    let config = Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .top(&pebble.certificate(&["*.example.com"], &keys));
    let edge = Edge::start(&config).await;
    let served = pebble.is_served(edge.address, NAME).await;
    assert!(served.contains("DNS:*.example.com"), "{served}");
    let calls = eventually("the record is removed", || {
        let calls = fs::read_to_string(&calls).unwrap();
        calls.contains("remove").then_some(calls)
    });
    let expected = "zone add _acme-challenge.example.com chat\n\
                    zone remove _acme-challenge.example.com chat\n";
    assert_eq!(calls.await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_one_that_is_there_already() {
    let Some(pebble) = Pebble::for_known_accounts().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let config = configuration(&pebble, &[NAME], &pebble.account(), &target);
    let edge = Edge::start(&config).await;
    pebble.is_served(edge.address, NAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_and_tried_later_even_by_the_next_process_or_when_somebody_says_so() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    // Nobody listens where the directory asks.
    let config = Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .top(&pebble.certificate(&[NAME], ""));
    let mut edge = Edge::start(&config).await;
    let served = shown(edge.address, NAME).await;
    assert!(served.contains("until a certificate is issued"), "{served}");
    assert!(
        edge.diagnostics()
            .contains("there is none yet: a self-signed one is served")
    );
    attempts(&edge, "failed", 1.0).await;
    let failures = "certificate_renewal_failures{certificate=\"chat\"}";
    assert_eq!(edge.metric(failures), 1.0);
    let chat = progress(&edge);
    assert_eq!(chat["selfSigned"], true);
    let error = chat["acme"]["error"].as_str().unwrap();
    assert!(error.contains(NAME) && error.contains("refused"), "{error}");
    assert!(command(&edge, &[]).contains(error));
    assert!(
        edge.diagnostics()
            .contains("what is served stays, and the next attempt is at")
    );
    let kept = record(&edge);
    // The next process does not begin anew.
    edge.signal("INT");
    edge.exited().await;
    edge.start_again().await;
    eventually("the next process knows", || {
        (progress(&edge)["acme"]["failures"] == 1).then_some(())
    })
    .await;
    assert_eq!(record(&edge), kept);
    // Now somebody listens, and says so.
    edge.reload(
        &config
            .add_rule("plain")
            .listen(pebble.http)
            .http_rules(REDIRECT),
    )
    .await;
    command(&edge, &["--renew", "chat"]);
    pebble.is_served(edge.address, NAME).await;
    assert_eq!(edge.metric(failures), 0.0);
    let (status, answer) = send(&edge, "POST", "/api/v1/certificates/other/renew");
    assert_eq!(status, 404, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_when_it_is_due_and_stays_while_nobody_renews_it() {
    let Some(mut pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let config = configuration(&pebble, &[NAME], "", &target);
    let mut edge = Edge::start(&config).await;
    let first = pebble.is_served(edge.address, NAME).await;
    let due_now = |edge: &Edge| {
        let mut record = record(edge);
        (record["renewal"], record["nextAttempt"]) = (json!(0), json!(0));
        fs::write(
            edge.folder.path().join("acme/chat.json"),
            record.to_string(),
        )
        .unwrap();
    };
    edge.signal("INT");
    edge.exited().await;
    due_now(&edge);
    edge.start_again().await;
    attempts(&edge, "renewed", 1.0).await;
    eventually("the metric follows", || {
        (record(&edge)["failures"] == 0).then_some(())
    })
    .await;
    let second = crate::harness::soon("another is served", async {
        loop {
            let shown = shown(edge.address, NAME).await;
            if shown != first {
                return shown;
            }
        }
    });
    let second = second.await;
    assert!(second.contains("Pebble Intermediate"), "{second}");
    // Without its directory what was issued last is served.
    pebble.stop();
    edge.signal("INT");
    edge.exited().await;
    due_now(&edge);
    edge.start_again().await;
    attempts(&edge, "failed", 1.0).await;
    assert_eq!(shown(edge.address, NAME).await, second);
    assert_eq!(progress(&edge)["selfSigned"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_when_its_directory_wants_it() {
    let Some(pebble) = Pebble::start().await.filter(Pebble::says_when_to_renew) else {
        return;
    };
    let target = Target::answering("hello").await;
    let mut edge = Edge::start(&configuration(&pebble, &[NAME], "", &target)).await;
    pebble.is_served(edge.address, NAME).await;
    eventually("the directory was asked", || {
        (record(&edge)["ask"] != 0).then_some(())
    })
    .await;
    let file = edge.folder.path().join("acme/chat.pem");
    pebble.wants_renewed(&fs::read_to_string(file).unwrap());
    edge.signal("INT");
    edge.exited().await;
    let mut changed = record(&edge);
    (changed["ask"], changed["nextAttempt"]) = (json!(0), json!(0));
    fs::write(
        edge.folder.path().join("acme/chat.json"),
        changed.to_string(),
    )
    .unwrap();
    edge.start_again().await;
    attempts(&edge, "renewed", 1.0).await;
    assert!(
        edge.diagnostics()
            .contains("its directory wants it renewed at 2001-02-03")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_life_is_renewed_again_and_again() {
    // As it is written for older ones, and for newer ones.
    let profile = json!({"description": "short", "validityPeriod": 9});
    let settings = json!({"certificateValidityPeriod": 9, "profiles": {"default": profile}});
    let Some(pebble) = Pebble::with(&[], &settings).await else {
        return;
    };
    let target = Target::answering("hello").await;
    let edge = Edge::start(&configuration(&pebble, &[NAME], "", &target)).await;
    attempts(&edge, "renewed", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_for_its_peer_and_nodes_with_one_folder_order_once() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let first_plain = crate::harness::ports::free_address();
    // The directory asks the second, which orders nothing: it has its certificate already.
    let peer = format!("peers: ['{first_plain}']");
    let shared = tempfile::tempdir().unwrap();
    let elsewhere = configuration(&pebble, &[NAME], "", &target).listen(first_plain);
    let second = configuration(&pebble, &["other.example.com"], &peer, &target);
    let second = Edge::start(&second).await;
    pebble.is_served(second.address, "other.example.com").await;
    let first = Edge::start(&elsewhere).await;
    pebble.is_served(first.address, NAME).await;
    drop((first, second));
    // Now two with one folder, of which one is asked.
    let keys = format!("stateDirectory: {}", shared.path().display());
    let at = |listen| {
        let config = configuration(&pebble, &[NAME], "", &target).listen(listen);
        let text = config
            .to_string()
            .replace("stateDirectory: FOLDER/acme", &keys);
        assert!(text.contains(&keys), "{text}");
        text
    };
    let asked = Edge::start(&at(pebble.http)).await;
    let other = Edge::start(&at(first_plain)).await;
    let serials = [
        pebble.is_served(asked.address, NAME).await,
        pebble.is_served(other.address, NAME).await,
    ];
    assert_eq!(serials[0], serials[1]);
    let orders = [&asked, &other].map(|edge| {
        let metrics = crate::harness::edge::get_now(edge.admin, "/metrics").unwrap();
        metrics.matches("result=\"renewed\"} 1").count()
    });
    assert_eq!(orders.iter().sum::<usize>(), 1, "{orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_the_new_process_renews() {
    let Some(pebble) = Pebble::start().await else {
        return;
    };
    let target = Target::answering("hello").await;
    let config = configuration(&pebble, &[NAME], "", &target).upgradable();
    let edge = Edge::start(&config).await;
    let first = pebble.is_served(edge.address, NAME).await;
    let successor = edge.hand_over().await;
    eventually("the new process looks after it", || {
        let chat = get(&edge, "/api/v1/certificates")["items"][0].clone();
        (chat["acme"]["state"] == "waiting").then_some(())
    })
    .await;
    command(&edge, &["--renew", "chat"]);
    successor.says("certificate \"chat\": issued by").await;
    let served = crate::harness::soon("another is served", async {
        loop {
            let shown = shown(edge.address, NAME).await;
            if shown != first {
                return shown;
            }
        }
    });
    assert!(served.await.contains("Pebble Intermediate"));
}
