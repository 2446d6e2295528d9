//! TLS: who is shown which certificate, what a tunnel keeps of its promises, and what becomes of
//! clients that cannot or will not shake hands. The clients are rustls, OpenSSL, curl and Python.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::KeyPair;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::harness::client::{CLOSE, GOING_AWAY, HANDSHAKE};
use crate::harness::process::run;
use crate::harness::python;
use crate::harness::target::any_size;
use crate::harness::tls::{Encrypted, HOST, forwarding, openssl, s_client, start};
use crate::harness::{Authority, Config, Connection, Edge, Noise, Target, eventually, soon};

const FAILED: &str = "refusals_total{forwarding_rule=\"edge\",reason=\"tls_handshake\"}";
/// Long enough for a slow machine, and too short for any other timeout.
const LATEST: Duration = Duration::from_secs(10);

/// The certificate, of these, that OpenSSL is shown.
async fn shown<'a>(
    edge: &Edge,
    authority: &Authority,
    names: &[&'a str],
    arguments: &[&str],
) -> Option<&'a str> {
    authority.name_of(&s_client(edge.address, arguments).await, names)
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_for_the_host_that_it_asks_for() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["first", "wildcard", "exact"];
    authority.issue("first", &["first.example"]);
    authority.issue("wildcard", &["*.example.com"]);
    authority.issue("exact", &["a.example.com", "example.com"]);
    let with = |settings| forwarding(&authority, &names, settings, target.address);
    let edge = Edge::start(&with("")).await;
    let strict = Edge::start(&with("strictSni: true")).await;
    for (host, lax, in_strict) in [
        (Some("first.example"), "first", Some("first")),
        (Some("a.example.com"), "exact", Some("exact")),
        (Some("A.Example.COM"), "exact", Some("exact")),
        (Some("example.com"), "exact", Some("exact")),
        (Some("b.example.com"), "wildcard", Some("wildcard")),
        (Some("a.b.example.com"), "first", None),
        (Some("other.example"), "first", None),
        (None, "first", None),
    ] {
        let arguments = match host {
            Some(host) => ["-servername", host].to_vec(),
            None => ["-noservername"].to_vec(),
        };
        let found = shown(&edge, &authority, &names, &arguments).await;
        assert_eq!(found, Some(lax), "{host:?}");
        let found = shown(&strict, &authority, &names, &arguments).await;
        assert_eq!(found, in_strict, "{host:?}, strictly");
    }
    strict.metric_becomes(FAILED, 3.0).await;
    assert_eq!(edge.metric(FAILED), 0.0);
    assert!(edge.log().is_empty() && strict.log().is_empty());
}

#[tokio::test]
async fn of_an_rsa_and_an_ecdsa_certificate_a_client_is_shown_one_that_it_can_verify() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["rsa", "ecdsa"];
    authority.issue_rsa("rsa", &[HOST]);
    authority.issue("ecdsa", &[HOST]);
    let edge = Edge::start(&forwarding(&authority, &names, "", target.address)).await;
    for (arguments, expected) in [
        (&["-tls1_3"][..], "ecdsa"),
        (&["-tls1_2"], "ecdsa"),
        (&["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsa"),
        (&["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ecdsa"),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            "rsa",
        ),
        (&["-tls1_2", "-sigalgs", "RSA+SHA256"], "rsa"),
    ] {
        let arguments = [&["-servername", HOST], arguments].concat();
        let found = shown(&edge, &authority, &names, &arguments).await;
        assert_eq!(found, Some(expected), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_client_of_an_older_version_than_the_oldest_is_refused() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &[HOST]);
    let with = |settings| forwarding(&authority, &["one"], settings, target.address);
    let edge = Edge::start(&with("")).await;
    let strict = Edge::start(&with("minTlsVersion: \"1.3\"")).await;
    for (version, in_edge, in_strict) in [
        ("-tls1_1", None, None),
        ("-tls1_2", Some("one"), None),
        ("-tls1_3", Some("one"), Some("one")),
    ] {
        let found = shown(&edge, &authority, &["one"], &[version]).await;
        assert_eq!(found, in_edge, "{version}");
        let found = shown(&strict, &authority, &["one"], &[version]).await;
        assert_eq!(found, in_strict, "{version}, 1.3 being the oldest");
    }
}

#[tokio::test]
async fn curl_is_answered_and_the_target_and_the_log_hear_of_tls() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let edge = start(&authority, "", &target).await;
    let (port, ca) = (edge.address.port(), authority.file("ca.crt"));
    for (place, (version, protocol, cipher)) in [
        ("1.3", "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        ("1.2", "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-i",
            "--http1.1",
            "--noproxy",
            "*",
            "--tls-max",
            version,
        ]);
        curl.arg("--cacert").arg(&ca);
        curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
        curl.arg(format!("https://{HOST}:{port}/path"));
        let output = soon("curl's end", curl.kill_on_drop(true).output()).await;
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl said:\n{said}");
        let answer = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(
            answer.contains("\r\nx-forwarded-proto: https\r\n"),
            "{answer}"
        );
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["tlsProtocol"], protocol);
        assert_eq!(line["tlsCipher"], cipher);
        assert_eq!(line["serverName"], HOST);
        assert_eq!(line["requestUri"], "/path");
        assert_eq!(line["closeReason"], "completed");
    }
}

#[tokio::test]
async fn a_plain_connection_has_no_word_of_tls() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = edge.get("/").await;
    assert!(
        answer
            .text()
            .to_lowercase()
            .contains("\r\nx-forwarded-proto: http\r\n")
    );
    let line = edge.log_line().await;
    for field in ["tlsProtocol", "tlsCipher", "serverName"] {
        assert!(line.get(field).is_none(), "{field}");
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_one_after_the_other() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(head + &body).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with(&body));
    }
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    // With a close_notify: rustls calls an end without one an error.
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn messages_of_up_to_16_megabytes_come_back_unchanged() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let edge = start(&authority, "", &target).await;
    let (stream, _) = authority.connect(edge.address, HOST).await.into_parts();
    let url = format!("wss://{HOST}/");
    let opened = client_async_with_config(url, stream, Some(any_size())).await;
    let (mut client, _) = opened.expect("the handshake succeeds");
    let mut noise = Noise::seeded(1);
    for message in [
        Message::text(""),
        Message::text("grüße 🚇"),
        Message::binary(Bytes::new()),
        Message::binary(noise.bytes(16_384)),
        Message::binary(noise.bytes(70_000)),
        Message::binary(noise.bytes(16 << 20)),
    ] {
        let sent = soon("sending", client.send(message.clone())).await;
        sent.unwrap();
        let received = soon("the echo", client.next()).await;
        assert!(received.unwrap().unwrap() == message, "{}", message.len());
    }
    client.close(None).await.unwrap();
    while client.next().await.is_some_and(|message| message.is_ok()) {}
    let line = edge.log_line().await;
    assert_eq!(line["upgrade"], "websocket");
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["tlsProtocol"], "TLSv1.3");
    let bytes = line["responseBodyBytes"].as_u64().unwrap();
    assert!(bytes > 16 << 20 && bytes < 17 << 20, "{bytes}");
}

#[tokio::test]
async fn every_byte_passes_in_both_directions_at_once() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let mut noise = Noise::seeded(2);
    let bytes = noise.bytes(8 << 20);
    let echo = client.swap(&bytes, bytes.len(), &mut noise).await;
    assert!(echo == bytes);
}

#[tokio::test]
async fn bytes_in_the_packet_of_the_handshake_are_the_tunnels_first() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    client.send([HANDSHAKE.as_bytes(), &frame].concat()).await;
    client.head().await;
    assert_eq!(client.frame().await, Some((1, b"hi".to_vec())));
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_and_gets_every_byte_later() {
    const SIZE: usize = 32 << 20;
    let target = Target::upgrading(async |mut connection: Connection| {
        let bytes = Noise::seeded(3).bytes(SIZE);
        connection.send(bytes).await;
        connection.finish().await;
        connection.to_end().await;
    })
    .await;
    let authority = Authority::new();
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let before = edge.resident_memory();
    let is_full = {
        let mut before = 0.0;
        let edge = &edge;
        move || {
            let now = edge.resident_memory() as f64;
            let is_steady = now == before;
            before = now;
            is_steady.then_some(())
        }
    };
    eventually("nothing moves", is_full).await;
    let grown = edge.resident_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    let bytes = client.exactly(SIZE).await;
    assert!(bytes == Noise::seeded(3).bytes(SIZE));
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn pythons_websockets_talk_through_tls() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let edge = start(&authority, "", &target).await;
    let client = python("client.py")
        .arg(format!("wss://{}/chat", edge.address))
        .arg(authority.file("ca.crt"))
        .arg(HOST)
        .output();
    let output = soon("the client's end", client).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client said:\n{said}");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["serverName"], HOST);
}

#[tokio::test]
async fn the_end_of_a_direction_is_passed_on_and_the_other_goes_on() {
    // One after the other ends first.
    let target = Target::upgrading(async |mut connection: Connection| {
        let heard = connection.to_end().await;
        connection.send(heard).await;
    })
    .await;
    let authority = Authority::new();
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    client.send(b"\x83and then?").await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"\x83and then?");
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");

    let target = Target::upgrading(async |mut connection: Connection| {
        connection.finish().await;
        assert_eq!(connection.to_end().await, b"\x83and then?");
    })
    .await;
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    assert!(!soon("the close_notify", client.has_more()).await);
    client.send(b"\x83and then?").await;
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "target_closed");
    assert_eq!(line["requestBodyBytes"], 10);
}

#[tokio::test]
async fn a_fin_without_a_close_notify_is_an_end_like_any_other() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let client = authority.tunnel(edge.address, HOST).await;
    let (stream, _) = client.into_parts();
    let (mut socket, _) = stream.into_inner();
    socket.shutdown().await.unwrap();
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert!(line.get("error").is_none(), "{line}");
}

#[tokio::test]
async fn an_idle_tunnel_is_sent_a_close_and_told_of_its_end() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let edge = start(&authority, "tunnel: {idleTimeout: 300ms}", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let close = soon("the Close", client.frame()).await;
    assert_eq!(close, Some((CLOSE, GOING_AWAY.to_be_bytes().to_vec())));
    client.leave(GOING_AWAY).await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "idle_timeout");
    assert_eq!(line["closeCode"], 1001);
}

#[tokio::test]
async fn a_drain_sends_tunnels_away_and_ends() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("one", &[HOST]);
    let configuration = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&configuration.server("drain: {deadline: 400ms}")).await;
    let mut clients: Vec<Encrypted> = Vec::new();
    for _ in 0..5 {
        clients.push(authority.tunnel(edge.address, HOST).await);
    }
    // One is idle after its handshake, one in the middle of it.
    let mut silent = authority.connect(edge.address, HOST).await;
    let mut half = edge.connect().await;
    half.send([0x16]).await;
    edge.signal("TERM");
    for client in &mut clients {
        client.is_sent_away().await;
    }
    soon("the end of the silent one", silent.has_more()).await;
    assert_eq!(half.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert!(status.success());
    let drained = lines.iter().filter(|line| line["closeReason"] == "drained");
    assert_eq!((lines.len(), drained.count()), (5, 5), "{lines:#?}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_and_counted_and_leaves_no_line() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let began = Instant::now();
    let [mut slow, mut silent] = [edge.connect().await, edge.connect().await];
    // The beginning of a ClientHello.
    slow.send([0x16, 3, 1, 2, 0, 1, 0]).await;
    assert_eq!(slow.to_end().await, b"");
    assert_eq!(silent.to_end().await, b"");
    // The rule's `clientTimeout`.
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < LATEST, "{took:?}");
    let is_counted = || (edge.metric(FAILED) == 1.0).then_some(());
    eventually("it is counted", is_counted).await;
    assert_eq!(edge.log().len(), 0);
    let active = "connections_active{forwarding_rule=\"edge\"}";
    let are_gone = || (edge.metric(active) == 0.0).then_some(());
    eventually("both are gone", are_gone).await;
}

#[tokio::test]
async fn a_client_of_plain_http_is_told_of_tls_and_counted() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer_to_end().await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("TLS"), "{}", answer.text());
    let is_counted = || (edge.metric(FAILED) == 1.0).then_some(());
    eventually("it is counted", is_counted).await;
    assert_eq!(edge.log().len(), 0);
    assert_eq!(target.connections(), 0);
    // What is neither gets no answer in HTTP.
    let mut client = edge.connect().await;
    client.send("\r\n\r\n").await;
    let said = client.to_end().await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let is_counted = || (edge.metric(FAILED) == 2.0).then_some(());
    eventually("it is counted, too", is_counted).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_408_in_tls() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    client.send("GET / HT").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 408);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 408);
    assert_eq!(line["tlsProtocol"], "TLSv1.3");
}

#[tokio::test]
async fn a_reload_shows_a_new_certificate_to_new_clients_and_leaves_tunnels_alone() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("old", &[HOST]);
    authority.issue("new", &[HOST]);
    for end in ["crt", "key"] {
        let file = |name| authority.file(&format!("{name}.{end}"));
        std::fs::copy(file("old"), file("one")).unwrap();
    }
    let configuration = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&configuration).await;
    let names = ["old", "new"];
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    s_client(edge.address, &["-tls1_2", "-sess_out", session]).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    client.say_hi().await;

    // A key that is not the certificate's.
    std::fs::copy(authority.file("new.crt"), authority.file("one.crt")).unwrap();
    edge.signal("HUP");
    let rejected = "config_reloads_total{result=\"rejected\"}";
    let is_rejected = || (edge.metric(rejected) == 1.0).then_some(());
    eventually("it is rejected", is_rejected).await;
    let told = "certificates[0].privateKey: is not the key of the first certificate";
    edge.says(told).await;
    assert_eq!(shown(&edge, &authority, &names, &[]).await, Some("old"));

    std::fs::copy(authority.file("new.key"), authority.file("one.key")).unwrap();
    edge.reload(&configuration).await;
    assert_eq!(shown(&edge, &authority, &names, &[]).await, Some("new"));
    client.say_hi().await;
    let said = s_client(edge.address, &["-tls1_2", "-sess_in", session]).await;
    assert!(said.contains("Reused, TLSv1.2"), "{said}");
    client.leave(1000).await;
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_listener_changes_to_tls_and_back_by_a_reload() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("one", &[HOST]);
    let plain = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&plain).await;
    let (mut before, _) = edge.tunnel().await;
    edge.reload(&forwarding(&authority, &["one"], "", target.address))
        .await;
    let mut within = authority.tunnel(edge.address, HOST).await;
    edge.reload(&plain).await;
    let (mut after, _) = edge.tunnel().await;
    before.say_hi().await;
    within.say_hi().await;
    after.say_hi().await;
}

#[tokio::test]
async fn the_metrics_say_when_each_certificate_expires() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &[HOST]);
    authority.issue("two", &[HOST]);
    let expiry =
        |name| format!("certificate_not_after_timestamp_seconds{{certificate=\"{name}\"}}");
    let with = |names: &[&str]| forwarding(&authority, names, "", target.address);
    let edge = Edge::start(&with(&["one", "two"])).await;
    let file = authority.file("one.crt");
    let said = openssl(&[
        "x509",
        "-in",
        file.to_str().unwrap(),
        "-noout",
        "-enddate",
        "-dateopt",
        "iso_8601",
    ]);
    let date = said
        .trim()
        .trim_start_matches("notAfter=")
        .replace(' ', "T");
    let expected = humantime::parse_rfc3339(&date).unwrap();
    let expected = expected.duration_since(std::time::UNIX_EPOCH).unwrap();
    edge.metric_becomes(&expiry("one"), expected.as_secs_f64())
        .await;
    edge.reload(&with(&["two"])).await;
    assert_eq!(edge.metric(&expiry("one")), 0.0);
    assert!(edge.metric(&expiry("two")) > 0.0);
}

#[test]
fn what_is_wrong_with_certificates_and_keys_is_told_with_its_place() {
    let authority = Authority::new();
    authority.issue("good", &[HOST]);
    authority.issue("other", &[HOST]);
    authority.issue_for("expired", &[HOST], &KeyPair::generate().unwrap(), -3);
    authority.issue_for("soon", &[HOST], &KeyPair::generate().unwrap(), 5);
    authority.issue("nameless", &[]);
    let read = |name: &str| std::fs::read_to_string(authority.file(name)).unwrap();
    let write = |name: &str, text: String| std::fs::write(authority.file(name), text).unwrap();
    let [good, key] = ["good.crt", "good.key"].map(read);
    write("torn.crt", good.replace("-----END", ""));
    write("malformed.crt", good.replacen("MII", "AAA", 1));
    write("disordered.crt", good.clone() + &read("other.crt"));
    write("full.crt", good + &read("ca.crt"));
    let file = |name: &str| authority.file(name).to_str().unwrap().to_owned();
    let pass = ["-aes256", "-passout", "pass:secret"];
    let good_key = file("good.key");
    let encrypted = [&["pkey", "-in", &good_key][..], &pass].concat();
    write("encrypted.key", openssl(&encrypted));
    write("sec1.key", openssl(&["ec", "-in", &good_key]));
    write(
        "p521.key",
        openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-521",
        ]),
    );
    write("torn.key", key.replace("-----END", ""));
    for (chain, key, expected) in [
        ("good.crt", "good.key", Ok("")),
        ("full.crt", "sec1.key", Ok("")),
        (
            "expired.crt",
            "expired.key",
            Ok("certificateChain: expired on "),
        ),
        ("soon.crt", "soon.key", Ok("certificateChain: expires on ")),
        (
            "nameless.crt",
            "nameless.key",
            Ok("certificateChain: has no DNS name"),
        ),
        (
            "disordered.crt",
            "good.key",
            Ok("certificateChain: certificate 1 was not issued by certificate 2"),
        ),
        (
            "good.crt",
            "other.key",
            Err("privateKey: is not the key of the first certificate in certificateChain"),
        ),
        (
            "torn.crt",
            "good.key",
            Err("certificateChain: a PEM section has no end"),
        ),
        (
            "malformed.crt",
            "good.key",
            Err("certificateChain: certificate 1 is malformed"),
        ),
        (
            "good.key",
            "good.key",
            Err("certificateChain: has no certificate"),
        ),
        (
            "good.crt",
            "good.crt",
            Err("privateKey: has no private key"),
        ),
        (
            "good.crt",
            "encrypted.key",
            Err("privateKey: is encrypted, which is not supported"),
        ),
        (
            "good.crt",
            "p521.key",
            Err("privateKey: has no key that can be used"),
        ),
        (
            "good.crt",
            "torn.key",
            Err("privateKey: a PEM section has no end"),
        ),
        (
            "none.crt",
            "good.key",
            Err("certificateChain: cannot be read: No such file"),
        ),
    ] {
        let (chain, key) = (file(chain), file(key));
        let top =
            format!("certificates: [{{name: a, certificateChain: {chain}, privateKey: {key}}}]");
        let configuration = Config::answering("")
            .top(&top)
            .rule("listenerPort: 8443, serverCertificates: [a]");
        write("culvert.yaml", configuration.to_string());
        let path = file("culvert.yaml");
        let output = run(&["-t", "-c", &path], std::path::Path::new("/"));
        let said = String::from_utf8(output.stderr).unwrap();
        let expected_line = match expected {
            Ok("") => String::new(),
            Ok(warning) => format!("{path}: warning: certificates[0].{warning}"),
            Err(problem) => format!("{path}: certificates[0].{problem}"),
        };
        assert!(said.starts_with(&expected_line), "{chain} {key}: {said}");
        assert!(said.lines().count() <= 1, "{chain} {key}: {said}");
        assert_eq!(said.is_empty(), expected == Ok(""), "{chain} {key}: {said}");
        assert_eq!(output.status.success(), expected.is_ok(), "{chain} {key}");
    }
}

#[tokio::test]
async fn a_client_in_tls_that_breaks_off_is_an_error_of_the_client() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let client = authority.tunnel(edge.address, HOST).await;
    let (stream, _) = client.into_parts();
    let (socket, _): (TcpStream, _) = stream.into_inner();
    socket.set_zero_linger().unwrap();
    drop(socket);
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_error");
}
