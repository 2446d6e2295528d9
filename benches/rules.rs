//! What finding a rule costs: the last of 100, by host and by path, the WebSocket rule for real
//! handshakes, and the last of 10 and of 10,000 as Gateway API routes and the IONOS API make them.
//!
//! Looking at the head ([`Request::new`]) is part of what is measured, parsing it is not. Finding
//! the last of 100 should stay under 3 µs, and the last of 10,000 cost at most twice the last of
//! 10.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use culvert::config::model::{
    Action, Blocks, BlocksFile, Comparison, Condition, Forward, HttpRule, Subject,
};
use culvert::rules::{Request, Rules};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const CHROME: &[(&str, &str)] = &[
    ("host", "tenant-99.chat.example.com"),
    ("connection", "Upgrade"),
    ("pragma", "no-cache"),
    ("cache-control", "no-cache"),
    ("upgrade", "websocket"),
    ("origin", "https://tenant-99.chat.example.com"),
    ("sec-websocket-version", "13"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    (
        "sec-websocket-extensions",
        "permessage-deflate; client_max_window_bits",
    ),
];

const FIREFOX: &[(&str, &str)] = &[
    ("host", "tenant-99.chat.example.com"),
    ("accept", "*/*"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-websocket-version", "13"),
    ("origin", "https://tenant-99.chat.example.com"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("connection", "keep-alive, Upgrade"),
    ("pragma", "no-cache"),
    ("cache-control", "no-cache"),
    ("upgrade", "websocket"),
];

fn last_of_100(criterion: &mut Criterion) {
    let by_host = rules((0..100).map(|number| {
        let host = format!("tenant-{number:02}.chat.example.com");
        vec![Subject::Host(Comparison::Equals(host))]
    }));
    let by_path = rules((0..100).map(|number| {
        let prefix = format!("/tenants/{number:02}/");
        vec![Subject::Path(Comparison::StartsWith(prefix))]
    }));
    let chrome = headers(CHROME);
    measure(criterion, "last of 100 by HOST EQUALS", &by_host, &chrome);
    measure(
        criterion,
        "last of 100 by PATH STARTS_WITH",
        &by_path,
        &chrome,
    );
}

fn handshake(criterion: &mut Criterion) {
    let equals = |key: &str, value: &str| {
        Subject::Header(key.to_owned(), Comparison::Equals(value.to_owned()))
    };
    let websocket = rules([vec![
        equals("Connection", "upgrade"),
        equals("Upgrade", "websocket"),
    ]]);
    measure(
        criterion,
        "handshake of Chrome",
        &websocket,
        &headers(CHROME),
    );
    measure(
        criterion,
        "handshake of Firefox",
        &websocket,
        &headers(FIREFOX),
    );
}

/// Whether a client is in one of 100,000 blocks of a file: it is in none.
fn blocks(criterion: &mut Criterion) {
    let address = |number: u32| Ipv4Addr::from(0x1000_0000_u32 + number * 0x401);
    let blocks: Vec<_> = (0..100_000)
        .map(|number| IpNet::from(IpAddr::V4(address(number))))
        .collect();
    let (path, blocks) = (
        Path::new("blocked.txt").into(),
        Arc::new(Blocks::from(&blocks)),
    );
    let file = BlocksFile { path, blocks };
    let rules = rules([vec![Subject::SourceIpIn(file)], Vec::new()]);
    measure(criterion, "not in 100,000 blocks", &rules, &headers(CHROME));
}

/// Routes of ten rules, each route with a host of its own, each rule with a path.
fn gateway(criterion: &mut Criterion) {
    for routes in [1, 1000] {
        let rules = rules((0..routes * 10).map(|number| {
            let host = host(number / 10, routes);
            let path = match number % 10 {
                9 => "/tenants/99".to_owned(),
                other => format!("/service-{other}/api"),
            };
            vec![
                Subject::Host(Comparison::Equals(host)),
                Subject::Path(Comparison::Under(path)),
            ]
        }));
        let name = format!("last of {} of Gateway routes", routes * 10);
        measure(criterion, &name, &rules, &headers(CHROME));
    }
}

/// A redirect and answers first, then one host after the other, each for its handshakes.
fn ionos(criterion: &mut Criterion) {
    for rules in [10, 10_000] {
        let upgrade = || Subject::Header("Upgrade".into(), Comparison::Equals("websocket".into()));
        let rules = self::rules((0..rules).map(|number| match number {
            0 => vec![Subject::Header(
                "X-Forwarded-Proto".into(),
                Comparison::Equals("http".into()),
            )],
            1 => vec![Subject::Path(Comparison::Equals("/robots.txt".into()))],
            number => {
                let host = host(number, rules);
                vec![Subject::Host(Comparison::Equals(host)), upgrade()]
            }
        }));
        let name = format!("last of {} of IONOS rules", rules.iter().count());
        measure(criterion, &name, &rules, &headers(CHROME));
    }
}

/// The last of these is the one that browsers ask for.
fn host(number: usize, all: usize) -> String {
    match number + 1 == all {
        true => "tenant-99.chat.example.com".to_owned(),
        false => format!("tenant-{number}a.chat.example.com"),
    }
}

fn measure(criterion: &mut Criterion, name: &str, rules: &Rules<()>, headers: &HeaderMap) {
    let target: &[u8] = b"/tenants/99/chat?room=blue";
    let last = rules.iter().count() - 1;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let request = Request::new("GET", black_box(target), black_box(headers), CLIENT);
            let found = rules.find(&request).map(|rule| rule.index);
            assert_eq!(found, Some(last));
        });
    });
}

fn rules(subjects: impl IntoIterator<Item = Vec<Subject>>) -> Rules<()> {
    let rules: Vec<_> = subjects.into_iter().map(rule).collect();
    Rules::build(&rules, |_| Some(())).expect("the group is known")
}

fn rule(subjects: Vec<Subject>) -> HttpRule {
    let conditions = subjects.into_iter().map(|subject| Condition {
        subject,
        negate: false,
    });
    HttpRule {
        name: "rule".to_owned(),
        conditions: conditions.collect(),
        action: Action::Forward(Forward::to("group")),
    }
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    lines.collect()
}

criterion_group!(benches, last_of_100, handshake, gateway, ionos, blocks);
criterion_main!(benches);
