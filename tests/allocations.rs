//! Finding a rule allocates nothing, whatever the rules look at and however they compare.
//!
//! A regular expression allocates its scratch space at its first search, and may again when it meets text that leads
//! it somewhere new, or when threads contend for that space. Here each expression has seen the request before.

#![allow(unsafe_code)] // A global allocator cannot be had without it; this one only counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use culvert::config::model::{Action, Comparison, Condition, Forward, HttpRule, Subject};
use culvert::rules::{Request, Rules};
use http::{HeaderMap, HeaderName, HeaderValue};
use regex::bytes::RegexBuilder;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` as it came; the counter needs no allocation and no destructor.
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
];

fn expression(value: &str) -> regex::bytes::Regex {
    let mut builder = RegexBuilder::new(&format!("^[^-]*{value}$"));
    builder
        .case_insensitive(true)
        .build()
        .expect("the value has no special characters")
}

/// A hundred rules with one condition each, of which only the last holds, by its value or because the others are negated.
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
