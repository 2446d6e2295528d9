//! A real HAProxy: a load balancer in front of Culvert, or a target behind it, that speaks the
//! PROXY protocol.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;
use super::ports::free_address;

const DEFAULTS: &str = "defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
";

/// A running HAProxy. Dropping it kills the process.
pub struct Haproxy {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Haproxy {
    /// One that passes connections on to `address`; `options` are those of its server, `send-proxy`
    /// for example.
    pub async fn in_front_of(address: SocketAddr, options: &str) -> Haproxy {
        Haproxy::start(&format!(
            "listen front\n  mode tcp\n  bind LISTEN\n  server edge {address} {options}\n"
        ))
        .await
    }

    /// One that wants the PROXY protocol, and answers every request with what it learned from its
    /// header: the two addresses. `options` are those of its listener, `ssl` for example.
    pub async fn hearing_of_clients(options: &str) -> Haproxy {
        Haproxy::start(&format!(
            "frontend target\n  mode http\n  bind LISTEN accept-proxy {options}\n  http-request return status 200 \
             content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port]\"\n"
        ))
        .await
    }

    async fn start(configuration: &str) -> Haproxy {
        let mut haproxy = Haproxy::spawn(configuration, free_address());
        haproxy.listens().await;
        haproxy
    }

    fn spawn(configuration: &str, address: SocketAddr) -> Haproxy {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        let configuration = configuration.replace("LISTEN", &address.to_string());
        std::fs::write(&file, format!("{DEFAULTS}{configuration}")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("haproxy")
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-db", "-f", file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("HAProxy is installed");
        Haproxy {
            address,
            child,
            _folder: folder,
        }
    }

    async fn listens(&mut self) {
        eventually("HAProxy listens", || {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "HAProxy ended");
            TcpStream::connect(self.address).ok()
        })
        .await;
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
