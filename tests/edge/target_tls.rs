//! TLS towards targets: what a tunnel keeps of its promises, whose certificate is taken, which
//! connections are shared, and what is told where there is no TLS. The targets are rustls, Python
//! and HAProxy.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use crate::harness::admin::relayed;
use crate::harness::client::{CLOSE, GOING_AWAY, HANDSHAKE};
use crate::harness::ports::free_address;
use crate::harness::process::run;
use crate::harness::python;
use crate::harness::target::{ok, switching_protocols};
use crate::harness::tls::{Answering, TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{
    Answer, Authority, Config, Connection, Edge, Haproxy, Noise, Target, eventually, soon,
};

/// Long enough for a slow machine, and too short for any other timeout.
const LATEST: Duration = Duration::from_secs(10);

/// A Culvert that trusts an authority, with these settings of the tunnels, in front of a target.
async fn edge_before(authority: &Authority, tunnel: &str, target: &Target) -> Edge {
    let configuration = over_tls(&trusting(authority), &[target.address]);
    Edge::start(&configuration.rule(&format!("tunnel: {tunnel}"))).await
}

/// A target that has a certificate for [`HOST`], answers plain requests with "hello" and sends the
/// messages of a tunnel back.
async fn serving(authority: &Authority, certificate: &str) -> Target {
    authority
        .target(certificate, async |mut connection: Answering| {
            while connection.has_more().await {
                let head = connection.head().await;
                if head.contains("Upgrade") {
                    connection.send(switching_protocols(&head)).await;
                    return connection.echo_messages().await;
                }
                connection.send(ok("hello")).await;
            }
        })
        .await
}

/// A target that accepts the handshake, and leaves the rest to `script`.
async fn upgrading<F, S>(authority: &Authority, script: S) -> Target
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Answering) -> F + Send + Sync + 'static,
{
    authority.issue("one", &[HOST]);
    let script = Arc::new(script);
    authority
        .target("one", move |mut connection: Answering| {
            let script = Arc::clone(&script);
            async move {
                let head = connection.head().await;
                connection.send(switching_protocols(&head)).await;
                script(connection).await;
            }
        })
        .await
}

/// The answer to a handshake that is not accepted.
async fn refused_handshake(edge: &Edge) -> Answer {
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.answer_to_end().await
}

fn connect_errors(edge: &Edge, target: SocketAddr) -> f64 {
    edge.metric(&format!(
        "target_connect_errors_total{{target=\"{target}\",target_group=\"group\"}}"
    ))
}

#[tokio::test]
async fn pythons_websockets_is_a_target_in_tls() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let files = ["one.crt", "one.key"].map(|name| authority.file(name));
    let mut target = python("target.py");
    target.arg(free_address().port().to_string());
    let mut target = target.args(files).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(target.stdout.take().unwrap()).lines();
    let address = soon("the target's address", lines.next_line()).await;
    let address = address.unwrap().expect("an address").parse().unwrap();
    let edge = Edge::start(&over_tls(&trusting(&authority), &[address])).await;

    let client = python("client.py")
        .arg(format!("ws://{}/chat", edge.address))
        .output();
    let output = soon("the client's end", client).await.unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client said:\n{said}");
    let line = edge.log_line().await;
    assert_eq!(
        (&line["upgrade"], &line["closeCode"]),
        (&"websocket".into(), &1000.into())
    );
    assert!(
        line["requestBodyBytes"].as_u64().unwrap() > 10_000,
        "{line}"
    );
    assert!(line["framesOut"].as_u64().unwrap() > 6, "{line}");
}

#[tokio::test]
async fn a_tunnel_over_tls_is_handed_over_and_counted_as_it_is_without() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let target = serving(&authority, "one").await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
    assert_eq!(relayed(&edge), 1);
    assert_eq!(edge.tunnels_active(target.address), 1.0);
    client.leave(1000).await;
    let close = soon("the target's Close", client.frame()).await;
    assert_eq!(close, Some((CLOSE, 1000u16.to_be_bytes().to_vec())));
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["closeCode"], 1000);
    assert_eq!(
        (&line["requestBodyBytes"], &line["responseBodyBytes"]),
        (&16.into(), &8.into())
    );
    assert_eq!(
        (&line["framesIn"], &line["framesOut"]),
        (&2.into(), &2.into())
    );
    assert!(line["targetConnectMs"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn every_byte_arrives_once_and_in_order_over_tls() {
    const LENGTH: usize = 3_000_000;
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        let (sent, mut sizes) = (Noise::seeded(2).bytes(LENGTH), Noise::seeded(3));
        let heard = connection.swap(&sent, LENGTH, &mut sizes).await;
        assert!(
            heard == Noise::seeded(1).bytes(LENGTH),
            "the target heard something else"
        );
        connection.send("all of it").await;
        connection.to_end().await;
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let mut client = edge.connect().await;
    let sent = Noise::seeded(1).bytes(LENGTH);
    // The first bytes leave with the handshake.
    client
        .send([HANDSHAKE.as_bytes(), &sent[..1000]].concat())
        .await;
    client.head().await;
    let heard = client
        .swap(&sent[1000..], LENGTH, &mut Noise::seeded(4))
        .await;
    assert!(
        heard == Noise::seeded(2).bytes(LENGTH),
        "the client heard something else"
    );
    assert_eq!(client.exactly(9).await, b"all of it");
    drop(client);
    let line = edge.log_line().await;
    assert_eq!(line["requestBodyBytes"], LENGTH);
    assert_eq!(line["responseBodyBytes"], LENGTH + 9);
}

#[tokio::test]
async fn a_client_that_has_ended_still_gets_what_a_target_in_tls_sends() {
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        let heard = connection.to_end().await;
        connection
            .send(format!("heard {} bytes", heard.len()))
            .await;
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("to the end").await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"heard 10 bytes");
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_target_that_ends_with_or_without_a_close_notify_has_closed() {
    for says_so in [true, false] {
        let authority = Authority::new();
        let (heard, mut hears) = mpsc::unbounded_channel();
        let target = upgrading(&authority, move |mut connection: Answering| {
            let heard = heard.clone();
            async move {
                connection.send("bye").await;
                match says_so {
                    true => connection.stream.shutdown().await.unwrap(),
                    false => connection.stream.get_mut().0.shutdown().await.unwrap(),
                }
                let mut rest = Vec::new();
                let read = connection.stream.read_to_end(&mut rest).await;
                heard.send((read.is_ok(), rest)).unwrap();
            }
        })
        .await;
        let edge = edge_before(&authority, "{}", &target).await;
        let (mut client, _) = edge.tunnel().await;
        assert_eq!(client.to_end().await, b"bye");
        client.send("after your end").await;
        client.finish().await;
        // The end with a close_notify: rustls calls one without it an error.
        let heard = soon("what the target hears", hears.recv()).await.unwrap();
        assert_eq!(heard, (true, b"after your end".to_vec()), "{says_so}");
        let line = edge.log_line().await;
        assert_eq!(line["closeReason"], "target_closed", "{says_so}: {line}");
        assert!(line.get("error").is_none(), "{line}");
    }
}

#[tokio::test]
async fn an_idle_tunnel_over_tls_is_closed_on_both_sides_with_a_close_notify_to_the_target() {
    let authority = Authority::new();
    let (heard, mut hears) = mpsc::unbounded_channel();
    let target = upgrading(&authority, move |mut connection: Answering| {
        let heard = heard.clone();
        async move {
            let close = connection.frame().await;
            connection.send([0x88, 2, 0x03, 0xE9]).await;
            let end = connection.stream.read_to_end(&mut Vec::new()).await;
            heard.send((close, end.is_ok())).unwrap();
        }
    })
    .await;
    let edge = edge_before(&authority, "{idleTimeout: 200}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.is_sent_away().await;
    let close = Some((CLOSE, GOING_AWAY.to_be_bytes().to_vec()));
    let heard = soon("what the target hears", hears.recv()).await;
    assert_eq!(heard, Some((close, true)));
    let line = edge.log_line().await;
    assert_eq!(
        (&line["closeReason"], &line["closeCode"]),
        (&"idle_timeout".into(), &1001.into())
    );
}

#[tokio::test]
async fn a_target_that_is_broken_off_is_a_target_error() {
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        connection.exactly(2).await;
        connection.stream.get_mut().0.set_zero_linger().unwrap();
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("hi").await;
    client.to_end().await;
    assert_eq!(edge.log_line().await["closeReason"], "target_error");
}

#[tokio::test]
async fn connections_to_targets_in_tls_are_kept_for_the_next_request() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let target = serving(&authority, "one").await;
    let edge = edge_before(&authority, "{}", &target).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.text(), "hello");
    }
    assert_eq!(target.connections(), 1);
    let lines = edge.log_lines(5).await;
    assert!(lines[0].get("targetConnectMs").is_some());
    assert!(lines[4].get("targetConnectMs").is_none());
    // Health checks say nothing, and are content with a connection.
    let healthy = format!(
        "target_healthy{{target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    let checks = format!(
        "health_checks_total{{result=\"passed\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    eventually("checks have passed", || {
        (edge.metric(&checks) > 2.0).then_some(())
    })
    .await;
    assert_eq!(edge.metric(&healthy), 1.0);
}

#[tokio::test]
async fn a_host_is_asked_for_and_an_address_is_verified_without_asking() {
    let authority = Authority::new();
    authority.issue("named", &[HOST]);
    authority.issue("addressed", &["127.0.0.1"]);
    for (certificate, name, asked) in [
        ("named", format!("serverName: {HOST}"), HOST),
        ("addressed", String::new(), "nobody"),
    ] {
        let target = authority.target(certificate, async |mut connection: Answering| {
            let asked = connection.stream.get_ref().1.server_name();
            let asked = asked.unwrap_or("nobody").to_owned();
            let head = connection.head().await;
            match head.contains("Upgrade") {
                true => {
                    connection.send(switching_protocols(&head)).await;
                    connection.send(asked).await;
                    connection.to_end().await;
                }
                false => connection.send(ok(&asked)).await,
            }
        });
        let target = target.await;
        let file = authority.file("ca.crt");
        let keys = format!("caFile: {}, {name}", file.display());
        let edge = Edge::start(&over_tls(&keys, &[target.address])).await;
        assert_eq!(edge.get("/").await.text(), asked);
        let (mut client, _) = edge.tunnel().await;
        assert_eq!(client.exactly(asked.len()).await, asked.as_bytes());
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_verified_is_a_connect_error_and_the_log_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    stranger.issue("one", &[HOST]);
    authority.issue("other", &["other.example"]);
    authority.issue_for("expired", &[HOST], &KeyPair::generate().unwrap(), -1);
    let plain = Target::scripted(async |mut connection: Connection| {
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.to_end().await;
    });
    let plain = plain.await;
    for (target, error) in [
        (
            serving(&stranger, "one").await,
            "target certificate: unknown issuer",
        ),
        (
            serving(&authority, "other").await,
            "target certificate: wrong name",
        ),
        (
            serving(&authority, "expired").await,
            "target certificate: expired",
        ),
        (plain, "target TLS: the answer is not TLS"),
        (
            Target::scripted(async |_| ()).await,
            "target TLS: it closed the connection",
        ),
    ] {
        let edge = edge_before(&authority, "{}", &target).await;
        let answers = [edge.get("/").await, refused_handshake(&edge).await];
        let lines = edge.log_lines(2).await;
        for (answer, line) in answers.iter().zip(&lines) {
            assert_eq!(answer.status, 503, "{error}");
            assert_eq!(line["closeReason"], "refused");
            assert_eq!(line["error"], error);
        }
        assert_eq!(connect_errors(&edge, target.address), 2.0, "{error}");
    }
}

#[tokio::test]
async fn another_target_is_tried_where_the_first_cannot_be_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    stranger.issue("one", &[HOST]);
    let (good, bad) = (
        serving(&authority, "one").await,
        serving(&stranger, "one").await,
    );
    let targets = [good.address, bad.address];
    let edge = Edge::start(&over_tls(&trusting(&authority), &targets)).await;
    for _ in 0..4 {
        assert_eq!(edge.get("/").await.text(), "hello");
        let (mut client, _) = edge.tunnel().await;
        client.say_hi().await;
    }
    assert_eq!(connect_errors(&edge, good.address), 0.0);
    assert_eq!(connect_errors(&edge, bad.address), 4.0);
}

#[tokio::test]
async fn with_verify_certificate_false_any_certificate_is_taken_with_a_warning() {
    let stranger = Authority::new();
    stranger.issue_for("one", &["other.example"], &KeyPair::generate().unwrap(), -1);
    let target = serving(&stranger, "one").await;
    let edge = Edge::start(&over_tls("verifyCertificate: false", &[target.address])).await;
    assert_eq!(edge.get("/").await.text(), "hello");
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
    let warning = "warning: targetGroups[0].verifyCertificate: nobody's certificate is verified";
    edge.says(warning).await;
}

#[tokio::test]
async fn groups_that_trust_others_share_no_connection() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    let target = serving(&authority, "one").await;
    let address = target.address;
    let file = |authority: &Authority| authority.file("ca.crt").display().to_string();
    let others = [
        ("lax", "verifyCertificate: false".to_owned()),
        (
            "strange",
            format!("serverName: {HOST}, caFile: {}", file(&stranger)),
        ),
        (
            "other",
            format!("serverName: other.example, caFile: {}", file(&authority)),
        ),
    ];
    let add = |config: Config, (name, keys): (&str, String)| {
        let rule = format!(
            "{{name: {name}, type: FORWARD, targetGroup: {name},
                conditions: [{{type: PATH, condition: EQUALS, value: /{name}}}]}}"
        );
        let group = config.http_rules(&rule).add_group(name);
        group
            .group("protocol: HTTPS")
            .group(&keys)
            .target(address, "")
    };
    let one = over_tls(&trusting(&authority), &[address]);
    let edge = Edge::start(&others.into_iter().fold(one, add)).await;
    for _ in 0..2 {
        for (path, status) in [
            ("/", 200),
            ("/lax", 200),
            ("/strange", 503),
            ("/other", 503),
        ] {
            assert_eq!(edge.get(path).await.status, status, "{path}");
        }
    }
    let certificate = |line: &serde_json::Value| line["error"].as_str().map(str::to_owned);
    let errors: Vec<_> = edge
        .log_lines(8)
        .await
        .iter()
        .filter_map(certificate)
        .collect();
    let (issuer, name) = (
        "target certificate: unknown issuer",
        "target certificate: wrong name",
    );
    assert_eq!(errors, [issuer, name, issuer, name]);
}

#[tokio::test]
async fn a_reload_with_another_authority_uses_no_connection_that_the_old_one_vouched_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    let target = serving(&authority, "one").await;
    let own = authority.file("ca.crt");
    let own_text = std::fs::read(&own).unwrap();
    let configuration = over_tls(&trusting(&authority), &[target.address]);
    let edge = Edge::start(&configuration).await;
    let (mut client, _) = edge.tunnel().await;
    assert_eq!(edge.get("/").await.status, 200);

    // Another authority in the same file.
    std::fs::copy(stranger.file("ca.crt"), &own).unwrap();
    edge.reload(&configuration).await;
    assert_eq!(edge.get("/").await.status, 503);
    assert_eq!(refused_handshake(&edge).await.status, 503);
    client.say_hi().await;

    std::fs::remove_file(&own).unwrap();
    edge.signal("HUP");
    let rejected = "config_reloads_total{result=\"rejected\"}";
    let is_rejected = || (edge.metric(rejected) == 1.0).then_some(());
    eventually("it is rejected", is_rejected).await;
    let told = "targetGroups[0].caFile: cannot be read: No such file";
    edge.says(told).await;

    std::fs::write(&own, own_text).unwrap();
    edge.reload(&configuration).await;
    let connections = target.connections();
    assert_eq!(edge.get("/").await.status, 200);
    // With the same authority as at first the connection of then is as good.
    assert_eq!(target.connections(), connections);
    client.say_hi().await;
}

#[tokio::test]
async fn the_connect_timeout_is_for_the_connection_and_its_tls_together() {
    let authority = Authority::new();
    let silent = Target::scripted(async |_connection: Connection| std::future::pending().await);
    let silent = silent.await;
    let configuration = over_tls(&trusting(&authority), &[silent.address]);
    let edge = Edge::start(&configuration.group("connectTimeout: 300")).await;
    for is_tunnel in [false, true] {
        let began = Instant::now();
        let answer = match is_tunnel {
            true => refused_handshake(&edge).await,
            false => edge.get("/").await,
        };
        let took = began.elapsed();
        assert_eq!(answer.status, 503);
        assert!(
            took >= Duration::from_millis(300) && took < LATEST,
            "{took:?}"
        );
    }
    assert_eq!(connect_errors(&edge, silent.address), 2.0);
}

#[tokio::test]
async fn the_header_of_the_proxy_protocol_comes_before_the_tls() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let read = |name| std::fs::read_to_string(authority.file(name)).unwrap();
    std::fs::write(
        authority.file("one.pem"),
        read("one.crt") + &read("one.key"),
    )
    .unwrap();
    let options = format!("ssl crt {}", authority.file("one.pem").display());
    let haproxy = Haproxy::hearing_of_clients(&options).await;
    let announcing = |target| {
        over_tls(&trusting(&authority), &[target])
            .group("protocolVersion: HTTP2")
            .each_target("proxyProtocol: v1")
    };
    let edge = Edge::start(&announcing(haproxy.address)).await;
    for _ in 0..2 {
        let mut client = edge.connect().await;
        let from = client.stream.local_addr().unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(
            client.answer().await.text(),
            format!("{from} {}", edge.address)
        );
    }

    let acceptor = authority.acceptor("one");
    let target = Target::scripted(move |mut connection: Connection| {
        let acceptor = acceptor.clone();
        async move {
            let mut header = String::new();
            while !header.ends_with("\r\n") {
                header.push(connection.stream.read_u8().await.unwrap().into());
            }
            let mut connection =
                Connection::over(acceptor.accept(connection.stream).await.unwrap());
            let head = connection.head().await;
            connection.send(switching_protocols(&head)).await;
            connection.send(header).await;
            connection.to_end().await;
        }
    })
    .await;
    edge.reload(&announcing(target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    let from = client.stream.local_addr().unwrap();
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        from.port(),
        edge.address.port()
    );
    assert_eq!(client.exactly(expected.len()).await, expected.as_bytes());
}

#[test]
fn what_is_wrong_with_a_ca_file_is_told_with_its_place() {
    let authority = Authority::new();
    let good = std::fs::read_to_string(authority.file("ca.crt")).unwrap();
    let write = |name: &str, text: String| std::fs::write(authority.file(name), text).unwrap();
    write("torn.crt", good.replace("-----END", ""));
    write("malformed.crt", good.replacen("MII", "AAA", 1));
    write("second.crt", good.clone() + &good.replacen("MII", "AAA", 1));
    write("two.crt", good.clone() + &good);
    let key = KeyPair::generate().unwrap();
    write("key.crt", key.serialize_pem());
    let folder = authority.file("");
    for (name, problem) in [
        ("ca.crt", None),
        ("two.crt", None),
        (
            "torn.crt",
            Some("a PEM section has no end (-----END …-----)"),
        ),
        ("malformed.crt", Some("certificate 1 is malformed")),
        ("second.crt", Some("certificate 2 is malformed")),
        (
            "key.crt",
            Some("has no certificate (-----BEGIN CERTIFICATE-----)"),
        ),
    ] {
        let keys = format!("caFile: {}", authority.file(name).display());
        let configuration = over_tls(&keys, &[]).rule("listenerPort: 8080");
        write("culvert.yaml", configuration.to_string());
        let output = run(&["-t", "-c", "culvert.yaml"], &folder);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), problem.is_none(), "{name}: {said}");
        if let Some(problem) = problem {
            assert_eq!(
                said.trim_end(),
                format!("culvert.yaml: targetGroups[0].caFile: {problem}")
            );
        }
    }
}
