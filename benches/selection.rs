//! What choosing one of 1,000 targets costs, by each algorithm: where all are fit, and where every
//! tenth is full.
//!
//! What is chosen is held, and given back. It should take less than 10 µs by `LEAST_CONNECTION`,
//! and 2 µs by the others.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use culvert::config;
use culvert::config::secret_key::SecretKey;
use culvert::target_group::{Fleet, PickContext, TargetGroup};
use culvert::telemetry::metrics::Metrics;

const TARGETS: usize = 1000;
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn algorithms(criterion: &mut Criterion) {
    for algorithm in [
        "ROUND_ROBIN",
        "LEAST_CONNECTION",
        "RANDOM",
        "SOURCE_IP",
        "HASH, hashKey: {type: QUERY, key: user}",
    ] {
        let group = group(algorithm);
        let name = algorithm.split(',').next().unwrap_or_default();
        measure(criterion, name, &group);
        let full: Vec<_> = group.targets().step_by(10).map(|it| it.hold()).collect();
        measure(criterion, &format!("{name}, every tenth full"), &group);
        drop(full);
    }
}

fn measure(criterion: &mut Criterion, name: &str, group: &TargetGroup) {
    let mut user = 0_u32;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            user = user.wrapping_add(1);
            let value = user.to_le_bytes();
            let ip = IpAddr::from(user.to_be_bytes());
            let client = if name.starts_with("SOURCE") {
                ip
            } else {
                CLIENT
            };
            let context = PickContext {
                hash: group.hash(black_box(client), |_| Some(&value)),
                ..PickContext::default()
            };
            group.pick(&context).expect("most are not full")
        });
    });
}

fn group(algorithm: &str) -> Arc<TargetGroup> {
    let target = |number: usize| {
        let (high, low) = (number / 256, number % 256);
        let weight = 1 + number % 3;
        format!("{{ip: 10.0.{high}.{low}, port: 80, weight: {weight}, maxConnections: 1}}")
    };
    let targets: Vec<String> = (0..TARGETS).map(target).collect();
    let targets = targets.join(", ");
    let text = format!(
        "forwardingRules: [{{name: r, protocol: HTTP, listenerIp: 127.0.0.1, listenerPort: 80}}]
targetGroups: [{{name: g, protocol: HTTP, algorithm: {algorithm}, targets: [{targets}]}}]"
    );
    let loaded = config::parse("bench", &text).expect("it is a configuration");
    let metrics = Arc::new(Metrics::new().expect("the names are good"));
    let key = SecretKey::random().expect("there is randomness");
    let fleet = Fleet::new(metrics, key);
    let built = fleet.prepare_and_build(&loaded.config.target_groups, &[]);
    built.expect("it can be built").remove(0)
}

criterion_group!(benches, algorithms);
criterion_main!(benches);
