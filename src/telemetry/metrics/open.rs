//! How many tunnels are open, as one process tells another.

use prometheus::proto::{Gauge, LabelPair, Metric};
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
    pub(super) fn of(child: &Metric) -> Self {
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

    fn labels(&self) -> [(&'static str, &str); 3] {
        [
            ("forwarding_rule", &self.forwarding_rule),
            ("target", &self.target),
            ("target_group", &self.target_group),
        ]
    }

    pub(super) fn labels_are(&self, child: &Metric) -> bool {
        let labels = self.labels();
        let all = child.get_label().iter();
        all.map(|label| (label.name(), label.value())).eq(labels)
    }

    pub(super) fn to_metric(&self) -> Metric {
        let label = |(name, value): (&str, &str)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value.to_owned());
            label
        };
        let mut child = Metric::from_gauge(gauge(self.tunnels));
        child.set_label(self.labels().map(label).to_vec());
        child
    }
}

pub(super) fn gauge(value: i64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    gauge
}
