//! `culvert demo`: the whole road in one process, without a configuration file.
//!
//! Two echo targets on free ports, a rule that serves a chat page and one that forwards the
//! WebSockets it opens. All of it is an ordinary configuration, `demo.yaml`, with the targets'
//! ports put in.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::accept_async;

use crate::config;
use crate::listener::{FailedAccepts, REST, is_passing};
use crate::process;

const CONFIGURATION: &str = include_str!("demo.yaml");
const PAGE: &str = include_str!("chat.html");
/// What the targets are called in the diagnostics.
const NAME: &str = "demo target";
const TARGETS: [&str; 2] = ["{{first target}}", "{{second target}}"];
const INSTRUCTIONS: &str = r#"
  Open   http://127.0.0.1:8080/            a chat page; what you write comes back through the tunnel
  Type   python3 -m websockets ws://127.0.0.1:8080/chat
         curl -i http://127.0.0.1:8080/nothing-here
         curl http://127.0.0.1:9900/metrics

  Every exchange leaves one line below, when it is over. End with Ctrl-C.
"#;

/// Runs the demo until a signal ends it. An error is what the operator reads.
pub fn run() -> Result<(), String> {
    let ports = start_targets().map_err(|error| format!("demo: no echo targets: {error}"))?;
    let text = configuration(&ports)?;
    let loaded = config::parse("demo", &text).map_err(|problems| problems.to_string())?;
    eprintln!("{INSTRUCTIONS}");
    process::serve(None, loaded.config, false)
}

fn configuration(ports: &[u16]) -> Result<String, String> {
    let page = serde_json::to_string(PAGE).map_err(|error| error.to_string())?;
    let text = CONFIGURATION.replace("{{page}}", &page);
    let put_in = |text: String, (name, port): (&&str, &u16)| text.replace(name, &port.to_string());
    Ok(TARGETS.iter().zip(ports).fold(text, put_in))
}

/// Starts an echo target for each of the configuration's, on a thread of their own, and tells their
/// ports.
fn start_targets() -> io::Result<Vec<u16>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listen = |_| std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let sockets = TARGETS.iter().map(listen).collect::<io::Result<Vec<_>>>()?;
    let port = |socket: &std::net::TcpListener| socket.local_addr().map(|address| address.port());
    let ports = sockets.iter().map(port).collect::<io::Result<Vec<_>>>()?;
    for socket in sockets {
        socket.set_nonblocking(true)?;
        let _entered = runtime.enter();
        runtime.spawn(serve(TcpListener::from_std(socket)?));
    }
    let forever = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new()
        .name("demo-targets".into())
        .spawn(forever)?;
    Ok(ports)
}

async fn serve(socket: TcpListener) {
    let mut failed = FailedAccepts::default();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                failed.end(NAME);
                tokio::spawn(echo(stream));
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                failed.note(NAME, &error);
                sleep(REST).await;
            }
        }
    }
}

/// Sends every message back. A connection without a handshake is a health check.
async fn echo(stream: TcpStream) {
    let Ok(mut socket) = accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_demo_is_valid() {
        let text = configuration(&[4711, 4712]).unwrap();
        let loaded = config::parse("demo", &text)
            .map_err(|problems| problems.to_string())
            .unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.target_groups[0].targets.len(), 2);
    }
}
