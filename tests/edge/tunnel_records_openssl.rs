//! OpenSSL in a tunnel: it changes its keys on demand, and asks us to change ours or not.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::harness::client::HANDSHAKE;
use crate::harness::tls::start;
use crate::harness::{Authority, Target, soon};

/// Says these lines to `openssl s_client` in a tunnel, and tells what comes back.
async fn lines_in_a_tunnel(arguments: &[&str], lines: &[&str]) -> Vec<String> {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    // Of changes of keys it tells on standard error.
    let mut command = Command::new("sh");
    command.args(["-c", "exec openssl s_client \"$@\" 2>&1", "sh"]);
    command.args(["-connect", &edge.address.to_string()]);
    let mut child = command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = Vec::new();
    stdin.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut lines = lines.iter();
    let mut awaited = "HTTP/1.1 101 Switching Protocols";
    loop {
        let line = soon("a line", said.next_line())
            .await
            .unwrap()
            .expect("it goes on");
        heard.push(line.trim().to_owned());
        if heard.last().is_some_and(|line| line == awaited) {
            let Some(line) = lines.next() else {
                return heard;
            };
            stdin
                .write_all(format!("{line}\n").as_bytes())
                .await
                .unwrap();
            awaited = match *line {
                "K" | "k" => "KEYUPDATE",
                line => line,
            };
        }
        assert!(heard.len() < 500, "{heard:?}");
    }
}

#[tokio::test]
async fn openssl_goes_on_after_each_change_of_keys() {
    let lines = ["one", "K", "two", "k", "three", "K", "K", "k", "four"];
    for suite in [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ] {
        let heard = lines_in_a_tunnel(&["-ciphersuites", suite], &lines).await;
        assert!(heard.iter().any(|line| line.contains(suite)), "{heard:?}");
    }
}

#[tokio::test]
async fn openssl_has_a_tunnel_in_tls_1_2() {
    for suite in [
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "CHACHA20-POLY1305",
    ] {
        let suite = format!("ECDHE-ECDSA-{suite}");
        let arguments = ["-tls1_2", "-cipher", &suite];
        let heard = lines_in_a_tunnel(&arguments, &["one", "two"]).await;
        assert!(heard.iter().any(|line| line.contains(&suite)), "{heard:?}");
    }
}
