//! What is no longer shown: the children with which nobody counts any more.

use std::iter;

use super::counters::STATUSES;
use super::{CloseReason, FAILED, Metrics, PASSED, RESOLVED, RefusalReason, Totals};

impl Metrics {
    /// Drops the children of rules, groups and targets that left the configuration, once their last exchange is over.
    pub fn forget(&self) {
        let mut gone = self.gone();
        self.rules
            .sweep(|labels| self.forget_rule(labels, &mut gone));
        self.http_rules
            .sweep(|labels| self.forget_http_rule(labels));
        self.closes.sweep(|[rule, group]| {
            for reason in CloseReason::ALL {
                let labels = [rule, group, reason.as_str()];
                let child = self.tunnels_closed.with_label_values(&labels);
                gone.closed[reason as usize] += child.get();
                // One that is not there needs no removing, here and below.
                self.tunnels_closed.remove_label_values(&labels).ok();
            }
        });
        self.tunnels.sweep(|labels| {
            self.tunnels_active.remove_label_values(&labels).ok();
            self.tunnels_opened.remove_label_values(&labels).ok();
        });
        self.targets.sweep(|labels| self.forget_target(labels));
        self.exhausted.sweep(|labels| {
            self.source_ports_exhausted
                .remove_label_values(&labels)
                .ok();
        });
        self.resolutions.sweep(|[group, host]| {
            for result in [RESOLVED, FAILED] {
                let labels = [group, host, result];
                self.target_resolutions.remove_label_values(&labels).ok();
            }
        });
    }

    fn forget_rule(&self, labels: [&str; 1], gone: &mut Totals) {
        self.request_seconds.remove_label_values(&labels).ok();
        self.handshake_seconds.remove_label_values(&labels).ok();
        self.tunnel_seconds.remove_label_values(&labels).ok();
        self.connections_active.remove_label_values(&labels).ok();
        let [rule] = labels;
        gone.bytes_in += self.bytes.with_label_values(&[rule, "in"]).get();
        gone.bytes_out += self.bytes.with_label_values(&[rule, "out"]).get();
        for direction in ["in", "out"] {
            self.bytes.remove_label_values(&[rule, direction]).ok();
        }
        for reason in RefusalReason::ALL {
            let labels = [rule, reason.as_str()];
            self.refusals.remove_label_values(&labels).ok();
        }
    }

    fn forget_http_rule(&self, [rule, http_rule]: [&str; 2]) {
        for status in iter::once(0).chain(STATUSES) {
            let labels = [rule, http_rule, &status.to_string()];
            self.requests.remove_label_values(&labels).ok();
        }
    }

    fn forget_target(&self, labels: [&str; 2]) {
        self.target_healthy.remove_label_values(&labels).ok();
        self.target_connect_errors.remove_label_values(&labels).ok();
        self.target_ejected.remove_label_values(&labels).ok();
        self.target_ejections.remove_label_values(&labels).ok();
        let [group, target] = labels;
        for result in [PASSED, FAILED] {
            let labels = [group, target, result];
            self.health_checks.remove_label_values(&labels).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_child_is_dropped_when_nobody_counts_with_it_any_more() {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let rule = metrics.forwarding_rule("edge");
        let http_rule = metrics.http_rule("edge", "hello");
        http_rule.expect(200);
        rule.unmatched.expect(404);
        let target = metrics.target("chat", address);
        let tunnels = metrics.tunnels("edge", "chat", [address].into_iter());
        let (connection, tunnel) = (rule.connection(), tunnels.open(0).unwrap());
        let named = |name: &str| {
            let text = metrics.text().unwrap();
            let lines = text.lines().filter(|line| line.contains(name));
            lines.count()
        };
        assert_eq!(named("http_rule=\"hello\""), 1);
        drop(http_rule);
        assert_eq!(named("http_rule=\"hello\""), 0);
        assert_eq!(named("target=\"192.0.2.1:80\""), 8);
        drop((target, tunnels));
        assert_eq!(named("target=\"192.0.2.1:80\""), 2);
        assert_eq!(named("reason=\"killed\""), 0);
        drop(tunnel);
        assert_eq!(named("chat"), 0);
        drop(rule);
        assert!(named("edge") > 0, "a connection is still open");
        drop(connection);
        assert_eq!(named("edge"), 0);
    }

    #[test]
    fn what_is_still_counted_with_is_not_made_twice() {
        let metrics = Metrics::new().unwrap();
        let first = metrics.forwarding_rule("edge");
        let open = first.connection();
        metrics.forget();
        let second = metrics.forwarding_rule("edge");
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, open));
        metrics.forget();
        let third = metrics.forwarding_rule("edge");
        assert!(Arc::ptr_eq(&second, &third));
    }
}
