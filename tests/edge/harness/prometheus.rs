//! A real Prometheus that scrapes a Culvert, and promtool.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::edge::body_of;
use super::ports::free_address;
use super::{Edge, PATIENCE, eventually};

/// A running Prometheus. Dropping it kills the process.
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes a Culvert twice a second, as the job `culvert`, and evaluates our alerts as
    /// often. It has done so once.
    pub async fn scraping(edge: &Edge) -> Prometheus {
        let mut prometheus = Prometheus::spawn(edge.admin);
        prometheus.scrapes().await;
        prometheus
    }

    fn spawn(admin: SocketAddr) -> Prometheus {
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let alerts = grafana("alerts.yaml");
        let configuration = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [{}]
scrape_configs:
  - job_name: culvert
    static_configs: [{{targets: ['{admin}']}}]\n",
            alerts.display()
        );
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus is there: `make test` installs it");
        Prometheus {
            address,
            child,
            _folder: folder,
        }
    }

    async fn scrapes(&mut self) {
        eventually("Prometheus has scraped", || {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "Prometheus ended");
            let is_ready = self.get("/-/ready")?.contains(" 200 ");
            (is_ready && !self.query("up == 1").is_empty()).then_some(())
        })
        .await;
    }

    /// The numbers that an expression gives now, but for those that are none.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let data = self.ask(&format!("query?query={}", encoded(expression)));
        let number = |value: &Value| value[1].as_str().unwrap().parse::<f64>().unwrap();
        let numbers: Vec<f64> = match data["resultType"].as_str() {
            Some("scalar") => vec![number(&data["result"])],
            Some("vector") => {
                let series = data["result"].as_array().unwrap().iter();
                series.map(|series| number(&series["value"])).collect()
            }
            other => panic!("{expression} gives {other:?}"),
        };
        numbers.into_iter().filter(|it| !it.is_nan()).collect()
    }

    /// How the alerts were evaluated last: `ok`, `err` or `unknown`, and the error.
    pub fn alerts(&self) -> Vec<(String, String)> {
        let data = self.ask("rules");
        let rules = data["groups"].as_array().unwrap().iter();
        let rules = rules.flat_map(|group| group["rules"].as_array().unwrap());
        let word = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        rules
            .map(|rule| (word(rule, "health"), word(rule, "lastError")))
            .collect()
    }

    fn ask(&self, what: &str) -> Value {
        let answer = self.get(&format!("/api/v1/{what}"));
        let mut answer = body_of(&answer.expect("Prometheus answers"));
        assert_eq!(answer["status"], "success", "{what}: {answer}");
        answer["data"].take()
    }

    /// An answer whole. To HTTP/1.0 it comes in one piece.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A file in `grafana/`.
pub fn grafana(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "grafana", name]
        .iter()
        .collect()
}

/// Whether promtool is content with what it is given, and all that it says.
pub fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(grafana(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: `make test` installs it");
    tool.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Text as a part of a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
