//! Makes the families.

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Makes families, with our prefix, and registers them.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        family: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    pub(super) fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    pub(super) fn one_counter(
        &self,
        name: &str,
        help: &str,
    ) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(opts(name, help))?)
    }

    pub(super) fn one_gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(opts(name, help))?)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("culvert")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::SystemTime;

    use super::super::Metrics;

    const REFERENCE: &str = include_str!("../../../docs/reference.md");
    const DASHBOARD: &str = include_str!("../../../grafana/culvert.json");
    const ALERTS: &str = include_str!("../../../grafana/alerts.yaml");
    const ALERTS_TEST: &str = include_str!("../../../grafana/alerts_test.yaml");

    /// All families with their type and their labels.
    fn families() -> BTreeMap<String, (String, BTreeSet<String>)> {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let rule = metrics.forwarding_rule("edge");
        rule.unmatched.expect(404);
        let target = metrics.target("chat", address);
        let exhausted = metrics.source_ports_exhausted("chat");
        let names = metrics.resolutions("chat", "chat.internal");
        let tunnels = metrics.tunnels("edge", "chat", [address].into_iter());
        let mirror = metrics.mirror("edge", "chat");
        let process = &metrics.process;
        process.show_node("fra-1");
        process.show_certificates(&[("example", SystemTime::now())]);
        process.renewals.show("example", 0);
        process.renewals.renewed("example", "renewed");
        process.show_api_store("FILE", true, 1, 1);
        let conditions = [(["Gateway", "Programmed", "True"], 1)];
        metrics.gateway.show(conditions.into());
        metrics.gateway.show_objects([("Gateway", 1)].into());
        metrics.gateway.show_revision(1);
        metrics.gateway.show_cluster(true, true);
        metrics.gateway.watch_restarted("Gateway");
        metrics.gateway.status_written("Gateway", "written");
        let families = metrics.registry.gather();
        drop((rule, target, exhausted, names, tunnels, mirror));
        let described = families.iter().map(|family| {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels = family.get_metric()[0].get_label().iter();
            let labels = labels.map(|label| label.name().to_owned()).collect();
            (family.name().to_owned(), (kind, labels))
        });
        described.collect()
    }

    #[test]
    fn every_metric_in_the_dashboard_and_the_alerts_exists() {
        let families = families();
        let exists = |name: &str| {
            let parts = ["_bucket", "_sum", "_count"].iter();
            let whole = parts.filter_map(|part| name.strip_suffix(part));
            let is_histogram = |name: &str| {
                let family = families.get(name);
                family.is_some_and(|(kind, _)| kind == "histogram")
            };
            whole.into_iter().any(is_histogram)
                || (families.contains_key(name) && !is_histogram(name))
        };
        for text in [DASHBOARD, ALERTS, ALERTS_TEST] {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names = words.filter(|word| {
                word.starts_with("culvert_")
                    || word.starts_with("process_") && *word != "process_exit"
            });
            assert!(names.clone().count() >= 10);
            for name in names {
                assert!(exists(name), "there is no {name}");
            }
        }
    }

    #[test]
    fn the_reference_lists_every_metric_with_its_type_and_its_labels() {
        let section = REFERENCE.split("\n## Metrics\n").nth(1).unwrap();
        let table = section.split("\n#").next().unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let listed = rows.filter_map(|line| {
            let bare = line.replace('`', "");
            let mut cells = bare.split('|').skip(1).map(str::trim);
            let (name, kind, labels) = (cells.next()?, cells.next()?, cells.next()?);
            let labels = labels.split_whitespace().map(str::to_owned).collect();
            Some((name.to_owned(), (kind.to_owned(), labels)))
        });
        assert_eq!(listed.collect::<BTreeMap<_, _>>(), families());
    }
}
