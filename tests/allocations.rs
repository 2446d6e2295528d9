//! Finding a rule allocates nothing, whatever the rules look at and however they compare; nor does
//! taking the route that it leads to, nor the decision.
//!
//! A regular expression allocates its scratch space at its first search, and may again when it
//! meets text that leads it somewhere new, or when threads contend for that space. Here each
//! expression has seen the request before.

#![allow(unsafe_code)] // A global allocator cannot be had without it; this one only counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use culvert::config;
use culvert::config::model::{Action, Comparison, Condition, Forward, HttpRule, Subject};
use culvert::config::secret_key::SecretKey;
use culvert::forwarding_rule::{ForwardingRule, Way};
use culvert::proxy::Hypothetical;
use culvert::rules::{self, Request, Rules};
use culvert::target_group::Fleet;
use culvert::telemetry::Client;
use culvert::telemetry::metrics::Metrics;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use regex::bytes::RegexBuilder;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` as it came; the counter needs no allocation and no
// destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

/// The allocations of this thread while `work` runs.
fn allocations_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

type Build = fn(Comparison) -> Subject;

/// Each subject that compares values, and the value of it that the last rule looks for.
const SUBJECTS: &[(Build, &str)] = &[
    (|c| Subject::Header("X-Room".into(), c), "room-99"),
    (|c| Subject::Header("Connection".into(), c), "upgrade-99"),
    (|c| Subject::Query("room".into(), c), "room-99"),
    (|c| Subject::Cookie("room".into(), c), "room-99"),
    (Subject::Path, "/room-99"),
    (Subject::Host, "room-99"),
    (Subject::Method, "METHOD-99"),
];

fn headers() -> HeaderMap {
    let lines = [
        ("host", "Room-99:8080"),
        ("x-room", "other"),
        ("x-room", "room-99"),
        ("connection", "keep-alive, Upgrade-99"),
        ("cookie", "id=1; room=room-99"),
    ];
    let lines = lines.map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    lines.into_iter().collect()
}

const COMPARISONS: &[fn(String) -> Comparison] = &[
    |_| Comparison::Exists,
    Comparison::Contains,
    Comparison::Equals,
    |value| Comparison::Matches(expression(&value)),
    Comparison::StartsWith,
    Comparison::EndsWith,
    Comparison::Under,
];

fn expression(value: &str) -> regex::bytes::Regex {
    let mut builder = RegexBuilder::new(&format!("^[^-]*{value}$"));
    builder
        .case_insensitive(true)
        .build()
        .expect("the value has no special characters")
}

/// A hundred rules with one condition each, of which only the last holds, by its value or because
/// the others are negated.
fn rules(negate_others: bool, subject: impl Fn(usize) -> Subject) -> Rules<()> {
    let rule = |number| HttpRule {
        name: format!("rule {number}"),
        conditions: vec![Condition {
            subject: subject(number),
            negate: negate_others && number < 99,
        }],
        action: Action::Forward(Forward::to("group")),
    };
    let rules: Vec<_> = (0..100).map(rule).collect();
    Rules::build(&rules, |_| Some(())).expect("the group is known")
}

fn assert_finding_allocates_nothing(rules: &Rules<()>, what: &str) {
    let headers = headers();
    let client = IpAddr::V4(Ipv4Addr::new(10, 0, 99, 1));
    let find = || {
        let target = b"/room-99?id=1&room=room-99";
        let request = Request::new("METHOD-99", target, &headers, client);
        rules.find(&request).map(|rule| rule.index)
    };
    find();
    let (allocations, found) = allocations_of(find);
    assert_eq!(found, Some(99), "{what}");
    assert_eq!(allocations, 0, "{what}");
}

#[test]
fn finding_the_last_of_100_rules_allocates_nothing() {
    for (subject, value) in SUBJECTS {
        for comparison in COMPARISONS {
            let wanted = |number| value.replace("99", &format!("{number:02}"));
            let subject = |number| subject(comparison(wanted(number)));
            let exists = matches!(comparison(wanted(99)), Comparison::Exists);
            let what = format!("{:?}", subject(99));
            assert_finding_allocates_nothing(&rules(exists, subject), &what);
        }
    }
}

#[test]
fn finding_by_source_ip_allocates_nothing() {
    let block = |number| format!("10.0.{number}.0/24").parse().unwrap();
    let rules = rules(false, |number| Subject::SourceIp(block(number)));
    assert_finding_allocates_nothing(&rules, "SOURCE_IP");
}

#[test]
fn what_allocates_is_counted() {
    let (allocations, _) = allocations_of(|| vec![1]);
    assert_eq!(allocations, 1);
}

const FORWARDING: &str = "forwardingRules:
  - name: edge
    protocol: HTTP
    listenerIp: 127.0.0.1
    listenerPort: 80
    httpRules:
      - name: gone
        type: STATIC
        statusCode: 410
        responseMessage: gone
        conditions: [{type: PATH, condition: EQUALS, value: /gone}]
      - name: all
        type: FORWARD
        targetGroup: group
        allowedOrigins: ['https://app.example']
        allowedSubprotocols: [chat]
targetGroups:
  - {name: group, algorithm: SOURCE_IP, protocol: HTTP, targets: [{ip: 192.0.2.7, port: 9001}]}
";

/// A request for this path with these headers.
fn request(path: &str, headers: &[(&'static str, &'static str)]) -> Hypothetical {
    let lines = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    Hypothetical {
        method: Method::GET,
        target: path.to_owned(),
        version: Version::HTTP_11,
        headers: lines.collect(),
        peer: Client {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
        },
    }
}

#[test]
fn deciding_on_a_request_allocates_nothing() {
    const HANDSHAKE: &[(&str, &str)] = &[
        ("host", "app.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "https://app.example"),
    ];
    let config = culvert::config::parse("test", FORWARDING).expect("it is valid");
    let rules = culvert::commands::offline::rules(&config.config).expect("it can be used");
    for (path, headers) in [
        ("/", HANDSHAKE),
        ("/", &HANDSHAKE[..1]),
        ("/gone", HANDSHAKE),
    ] {
        let arrived = request(path, headers).arrive(&rules[0]);
        let (allocations, decision) = allocations_of(|| arrived.decision());
        assert!(decision.outcome.is_ok());
        assert_eq!(allocations, 0, "{path} {headers:?}");
    }
}

/// A rule that leads to a group, and half to another, as a process builds it.
fn forwarding_rule() -> ForwardingRule {
    let text = "forwardingRules:
- name: edge
  protocol: HTTP
  listenerIp: 127.0.0.1
  listenerPort: 80
  httpRules:
  - {name: one, type: FORWARD, targetGroup: a}
  - {name: two, type: FORWARD, targetGroups: [{name: a, weight: 1}, {name: b, weight: 1}]}
targetGroups:
- {name: a, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.1, port: 80}]}
- {name: b, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.2, port: 80}]}";
    let config = config::parse("edge.yaml", text)
        .expect("it is sound")
        .config;
    let metrics = Arc::new(Metrics::new().expect("the names are good"));
    let key = SecretKey::random().expect("there is randomness");
    let fleet = Fleet::new(Arc::clone(&metrics), key);
    let built = fleet.prepare_and_build(&config.target_groups, &[]);
    let built = built.expect("they can be built").into_iter();
    let groups = built.map(|group| (group.name.to_string(), group)).collect();
    let rule = &config.forwarding_rules[0];
    ForwardingRule::build(rule, &groups, None, None, &metrics).expect("the groups are there")
}

#[test]
fn taking_a_route_to_a_group_that_may_be_replaced_allocates_nothing() {
    let rule = forwarding_rule();
    for place in [0, 1] {
        let action = &rule.rules.at(place).expect("there are two").action;
        let rules::Action::Forward(routes) = action else {
            panic!("it forwards");
        };
        let take = || {
            let only = routes.only().map(Way::Route);
            only.or_else(|| routes.by_chance(0.7, |route| route.group.serves(None)))
        };
        // A thread has to make itself known once.
        take();
        let (allocations, way) = allocations_of(take);
        let Some(Way::Route(route)) = way else {
            panic!("it goes to a group");
        };
        let expected = ["a", "b"][place];
        assert_eq!(&*route.group.name, expected);
        assert_eq!(allocations, 0, "{expected}");
    }
}
