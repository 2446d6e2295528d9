//! How many tunnels are open, as one process tells another.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::IntGaugeVec;
use prometheus::core::Collector as _;
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily};
use serde::{Deserialize, Serialize};

/// How many tunnels are open from a forwarding rule to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The forwarding rule's name.
    pub forwarding_rule: String,
    /// The target group's name.
    pub target_group: String,
    /// `ip:port`
    pub target: String,
    /// How many.
    pub tunnels: i64,
}

impl Open {
    /// What the children of this family count, but for those that count none.
    pub(super) fn all(active: &IntGaugeVec) -> Vec<Open> {
        let families = active.collect();
        let children = families.iter().flat_map(|family| family.get_metric());
        children
            .map(Open::of)
            .filter(|open| open.tunnels > 0)
            .collect()
    }

    fn of(child: &Metric) -> Self {
        let label = |name| {
            let found = child.get_label().iter().find(|label| label.name() == name);
            found.map_or_else(String::new, |label| label.value().to_owned())
        };
        Open {
            forwarding_rule: label("forwarding_rule"),
            target_group: label("target_group"),
            target: label("target"),
            tunnels: child.get_gauge().get_value() as i64,
        }
    }

    /// Forwarding rule, target group and target.
    pub fn labels(&self) -> [String; 3] {
        [&self.forwarding_rule, &self.target_group, &self.target].map(String::clone)
    }

    /// The values of [`LABELS`].
    fn values(&self) -> [String; 3] {
        [&self.forwarding_rule, &self.target, &self.target_group].map(String::clone)
    }
}

/// The labels of the family, in the order of its children's labels.
const LABELS: [&str; 3] = ["forwarding_rule", "target", "target_group"];

fn child(values: &[String; 3], tunnels: i64) -> Metric {
    let label = |(name, value): (&str, &String)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.clone());
        label
    };
    let mut child = Metric::from_gauge(gauge(tunnels));
    child.set_label(LABELS.into_iter().zip(values).map(label).collect());
    child
}

fn gauge(value: i64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    gauge
}

/// What other processes have open.
#[derive(Default)]
pub(super) struct Elsewhere(Mutex<Vec<Open>>);

impl Elsewhere {
    /// From now on they have this open.
    pub(super) fn replace(&self, open: Vec<Open>) {
        *self.0.lock() = open;
    }

    /// Adds it to the family of what is open here, which is among all that were gathered.
    pub(super) fn add_to(&self, active: &IntGaugeVec, families: &mut Vec<MetricFamily>) {
        let mut tunnels: BTreeMap<[String; 3], i64> = BTreeMap::new();
        for open in self.0.lock().iter() {
            *tunnels.entry(open.values()).or_default() += open.tunnels;
        }
        if tunnels.is_empty() {
            return;
        }
        let is_it = |family: &MetricFamily| family.name() == "culvert_tunnels_active";
        if !families.iter().any(is_it) {
            // One without children is not gathered.
            families.extend(active.collect());
        }
        let Some(family) = families.iter_mut().find(|family| is_it(family)) else {
            return;
        };
        let children = family.mut_metric();
        for child in children.iter_mut() {
            if let Some(more) = tunnels.remove(&Open::of(child).values()) {
                child.set_gauge(gauge(child.get_gauge().get_value() as i64 + more));
            }
        }
        children.extend(tunnels.iter().map(|(values, more)| child(values, *more)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn tunnels_of_other_processes_are_shown_with_ours_and_go_again() {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let tunnels = metrics.tunnels("edge", "chat", [address].into_iter());
        let open = tunnels.open(0).unwrap();
        let elsewhere = |target: &str, tunnels| Open {
            forwarding_rule: "edge".into(),
            target_group: "chat".into(),
            target: target.into(),
            tunnels,
        };
        let shown = |target: &str| {
            let text = metrics.text().unwrap();
            let name = "culvert_tunnels_active";
            let labels =
                format!(r#"{{forwarding_rule="edge",target="{target}",target_group="chat"}}"#);
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name}{labels} ")));
            line.map(str::to_owned)
        };
        let other = vec![elsewhere("192.0.2.1:80", 5), elsewhere("192.0.2.9:80", 2)];
        metrics.show_generations(1, other);
        assert_eq!(shown("192.0.2.1:80").as_deref(), Some("6"));
        assert_eq!(shown("192.0.2.9:80").as_deref(), Some("2"));
        assert_eq!(metrics.open_tunnels(), [elsewhere("192.0.2.1:80", 1)]);
        let _rule = metrics.forwarding_rule("edge");
        assert_eq!(metrics.open_tunnels_to("chat", address), 1);
        assert_eq!(metrics.open_tunnels_to("other", address), 0);
        drop((tunnels, open));
        assert_eq!(shown("192.0.2.1:80").as_deref(), Some("5"));
        metrics.show_generations(0, Vec::new());
        assert_eq!((shown("192.0.2.1:80"), shown("192.0.2.9:80")), (None, None));
    }
}
