//! A real nginx: a target that speaks TLS and HTTP/2.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;
use super::ports::free_address;

const CONFIGURATION: &str = "daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    client_max_body_size 0;
    server {
        listen LISTEN OPTIONS;
        SETTINGS
        add_header X-Protocol $server_protocol always;
        add_header X-Connection $connection always;
        location / {
            proxy_pass http://TARGET;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
        }
    }
}
";

/// A running nginx. Dropping it kills the process.
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// One that passes requests on to `target`, and names the version and the connection that a
    /// request came on in the answer's `X-Protocol` and `X-Connection`. `options` are those of its
    /// listener, `ssl http2` for example, `settings` are its server's.
    pub async fn before(target: SocketAddr, options: &str, settings: &str) -> Nginx {
        let configuration = CONFIGURATION
            .replace("TARGET", &target.to_string())
            .replace("OPTIONS", options)
            .replace("SETTINGS", settings);
        let mut nginx = Nginx::spawn(&configuration);
        nginx.listens().await;
        nginx
    }

    fn spawn(configuration: &str) -> Nginx {
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.conf");
        let configuration = configuration
            .replace("LISTEN", &address.to_string())
            .replace("FOLDER", folder.path().to_str().unwrap());
        std::fs::write(&file, configuration).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("nginx")
            .env("PATH", format!("{path}:/usr/sbin"))
            .args(["-c", file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        Nginx {
            address,
            child,
            _folder: folder,
        }
    }

    async fn listens(&mut self) {
        eventually("nginx listens", || {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "nginx ended");
            TcpStream::connect(self.address).ok()
        })
        .await;
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master, told so, ends its worker; killed, it would leave it behind.
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .ok();
        self.child.wait().ok();
    }
}
