//! What is seen of a running Culvert: what its admin address tells, its log, its words, and what the
//! system knows of it.

use std::net::SocketAddr;

use serde_json::Value;

use super::edge::{get_now, request_now};
use super::process::Unread;
use super::{Edge, eventually_or};

impl Edge {
    /// How many error lines there are on standard error that have this word.
    pub fn errors_about(&self, word: &str) -> usize {
        let said = self.diagnostics();
        let lines = said.lines();
        let errors = lines.filter(|line| line.contains("ERROR") && line.contains(word));
        errors.count()
    }

    /// What `/api/v1/status` says of a drain.
    pub fn drain_status(&self) -> Value {
        let page = self.admin_page("/api/v1/status");
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        let mut status: Value = serde_json::from_str(body).expect("the status is JSON");
        status["drain"].take()
    }

    /// An admin page, with its head.
    pub fn admin_page(&self, path: &str) -> String {
        get_now(self.admin, path).expect("the admin address answers")
    }

    /// The answer to a request without a body at the admin address, with its head.
    pub fn admin_request(&self, method: &str, path: &str) -> String {
        request_now(self.admin, method, path).expect("the admin address answers")
    }

    /// The value of a metric, given as it is written, labels in alphabetical order:
    /// `requests_total{code="200",forwarding_rule="edge",http_rule="all"}`. 0 where it is not
    /// there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin_page("/metrics");
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("culvert_{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric, given as for [`Edge::metric`], has this value.
    pub async fn metric_becomes(&self, name: &str, expected: f64) {
        let mut last = 0.0;
        eventually_or(&format!("{name} becomes {expected}"), || {
            last = self.metric(name);
            (last == expected)
                .then_some(())
                .ok_or_else(|| format!("it is {last}"))
        })
        .await;
    }

    /// How many were refused for this reason, on the address of the rule `edge`.
    pub fn refusals(&self, reason: &str) -> f64 {
        self.metric(&refusals(reason))
    }

    /// Waits until this many were, and no more.
    pub async fn refused(&self, reason: &str, count: usize) {
        self.metric_becomes(&refusals(reason), count as f64).await;
    }

    /// How many tunnels to a target of the group `group` are open, as the metrics say.
    pub fn tunnels_active(&self, target: SocketAddr) -> f64 {
        self.metric(&format!(
            "tunnels_active{{forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"}}"
        ))
    }

    /// How often this target of the group `group` was ejected, as the metrics say.
    pub fn ejections(&self, target: SocketAddr) -> f64 {
        self.metric(&format!(
            "target_ejections_total{{target=\"{target}\",target_group=\"group\"}}"
        ))
    }

    /// All lines of the access log so far, parsed.
    pub fn log(&self) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).expect("a line is JSON");
        self.process.lines().iter().map(parse).collect()
    }

    /// How many lines of the access log there are so far.
    pub fn count_lines(&self) -> usize {
        self.process.count_lines()
    }

    /// Stops reading its standard output, until what is returned is dropped.
    pub fn stop_reading(&self) -> Unread<'_> {
        self.process.stop_reading()
    }

    /// Waits for this many lines of the access log; more are an error.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        let what = format!("{count} lines in the access log");
        eventually_or(&what, || match self.process.count_lines() {
            enough if enough >= count => Ok(()),
            fewer => Err(format!("there are {fewer}")),
        })
        .await;
        let lines = self.log();
        let listed = || {
            lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        assert_eq!(lines.len(), count, "lines in the access log:\n{}", listed());
        lines
    }

    /// Waits for the only line of the access log.
    pub async fn log_line(&self) -> Value {
        self.log_lines(1).await.remove(0)
    }

    /// The memory that the process has in use, in bytes.
    pub fn resident_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<usize>().unwrap() * 1024
    }

    /// What it said on standard error so far.
    pub fn diagnostics(&self) -> String {
        self.process.diagnostics()
    }

    /// Waits until it has said this on standard error; returns all that it said so far.
    pub async fn says(&self, words: &str) -> String {
        self.process.says(words).await
    }

    /// The processor time that the process has had, in seconds.
    pub fn processor_time(&self) -> f64 {
        self.process.processor_time()
    }

    /// How many files the process has open, connections among them.
    pub fn open_files(&self) -> usize {
        self.process.open_files()
    }
}

fn refusals(reason: &str) -> String {
    format!("refusals_total{{forwarding_rule=\"edge\",reason=\"{reason}\"}}")
}
