//! Which rules a request may meet, by its host and its path, where there are so many that trying
//! one after the other takes long.
//!
//! Each rule stands in one place, by a condition that must hold: its host, or how that ends, and
//! its path, or how that begins. What has no such condition stands with the rest. A request looks
//! into the few places where its own rules can be, and tries what is there in the order of all.
//! So it meets the rule that it would meet without an index.

mod candidates;
mod tree;

use self::candidates::Candidates;
use self::tree::{Pair, Texts, Tree};
use super::condition::Fixed;
use super::request::Request;
use super::rule::Rule;

/// Below this, trying all is as fast.
const MANY: usize = 12;
/// Rules of one host that are fewer are tried one after the other.
const MANY_OF_A_HOST: usize = 3;
/// Rules whose host is longer are with those of all hosts: DNS has no such names.
const LONGEST_HOST: usize = 255;

/// The places of rules, by host and path.
#[derive(Debug)]
pub(super) struct Index {
    /// By the host, from its end to its beginning, in lower case.
    hosts: Tree<Paths>,
    /// Those of all hosts.
    any: Paths,
}

/// The places of some rules by their paths.
#[derive(Debug)]
struct Paths {
    paths: Tree<Box<[usize]>>,
    rest: Box<[usize]>,
}

/// What is known in advance of a host or a path.
type Key = Fixed<Box<[u8]>>;

impl Index {
    /// An index of these rules, if they are worth one.
    pub(super) fn build<G>(rules: &[Rule<G>]) -> Option<Self> {
        if rules.len() < MANY {
            return None;
        }
        let mut hosts: Texts<Vec<(Key, usize)>> = Texts::new();
        let mut any = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let path = (path(rule), place);
            match host(rule) {
                Fixed::Whole(host) => entry(&mut hosts, host).whole.get_or_insert_default(),
                Fixed::Part(end) => entry(&mut hosts, end).start.get_or_insert_default(),
                Fixed::Nothing => &mut any,
            }
            .push(path);
        }
        let built = |(host, rules): (_, Pair<Vec<_>>)| {
            let pair = Pair {
                whole: rules.whole.map(Paths::build),
                start: rules.start.map(Paths::build),
            };
            (host, pair)
        };
        Some(Index {
            hosts: Tree::build(hosts.into_iter().map(built).collect()),
            any: Paths::build(any),
        })
    }

    /// The first place at which a rule fits.
    pub(super) fn find(
        &self,
        request: &Request<'_>,
        fits: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut candidates = Candidates::new(fits);
        let mut buffer = [0; LONGEST_HOST + 1];
        let host = backwards(request.host(), &mut buffer);
        self.hosts
            .each(host, |paths| paths.each(request, &mut candidates));
        self.any.each(request, &mut candidates);
        candidates.first()
    }
}

impl Paths {
    fn build(rules: Vec<(Key, usize)>) -> Self {
        let mut paths: Texts<Vec<usize>> = Texts::new();
        let mut rest = Vec::new();
        let are_many = rules.len() >= MANY_OF_A_HOST;
        for (path, place) in rules {
            match path {
                Fixed::Whole(path) if are_many => {
                    entry(&mut paths, path).whole.get_or_insert_default()
                }
                Fixed::Part(start) if are_many => {
                    entry(&mut paths, start).start.get_or_insert_default()
                }
                Fixed::Whole(_) | Fixed::Part(_) | Fixed::Nothing => &mut rest,
            }
            .push(place);
        }
        let built = |(path, places): (_, Pair<Vec<usize>>)| {
            let pair = Pair {
                whole: places.whole.map(Vec::into_boxed_slice),
                start: places.start.map(Vec::into_boxed_slice),
            };
            (path, pair)
        };
        Paths {
            paths: Tree::build(paths.into_iter().map(built).collect()),
            rest: rest.into(),
        }
    }

    fn each<'i>(
        &'i self,
        request: &Request<'_>,
        candidates: &mut Candidates<'i, impl Fn(usize) -> bool>,
    ) {
        self.paths
            .each(request.path(), |places| candidates.add(places));
        candidates.add(&self.rest);
    }
}

fn entry<T>(of: &mut Texts<T>, text: Box<[u8]>) -> &mut Pair<T> {
    of.entry(text).or_default()
}

/// What a rule asks of the host, from its end to its beginning.
fn host<G>(rule: &Rule<G>) -> Key {
    let asked = rule.conditions().iter().map(|condition| condition.host());
    let asked = asked.filter(|asked| asked.len() <= LONGEST_HOST);
    let turned = |text: &[u8]| text.iter().rev().map(u8::to_ascii_lowercase).collect();
    most(asked).map(turned)
}

/// What a rule asks of the path.
fn path<G>(rule: &Rule<G>) -> Key {
    let asked = rule.conditions().iter().map(|condition| condition.path());
    most(asked).map(Box::from)
}

/// The one of these that leaves the least: all of them must hold.
fn most<'c>(asked: impl Iterator<Item = Fixed<&'c [u8]>>) -> Fixed<&'c [u8]> {
    let most = asked.max_by_key(|asked| (matches!(asked, Fixed::Whole(_)), asked.len()));
    most.unwrap_or(Fixed::Nothing)
}

/// A host from its end to its beginning, in lower case. Of one that is longer than any of a rule so
/// much is left that it is still longer.
fn backwards<'b>(host: &[u8], buffer: &'b mut [u8; LONGEST_HOST + 1]) -> &'b [u8] {
    let length = host.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(host.iter().rev()) {
        *to = from.to_ascii_lowercase();
    }
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::{HeaderMap, HeaderValue};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::Rules;
    use super::*;
    use crate::config::model::{Action, Comparison, Condition, Forward, HttpRule, Subject};

    const HOSTS: &[&str] = &[
        "a.example",
        "A.Example.",
        "b.a.example",
        ".a.example",
        ".example",
        "example",
        "e",
        "",
        "c.b.a.example",
        "x.a.examplE",
    ];
    const PATHS: &[&str] = &[
        "/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "", "*", "/a//b",
    ];

    fn comparison(texts: &'static [&'static str]) -> impl Strategy<Value = Comparison> {
        let makes: [fn(String) -> Comparison; 7] = [
            |_| Comparison::Exists,
            Comparison::Contains,
            Comparison::Equals,
            Comparison::StartsWith,
            Comparison::EndsWith,
            Comparison::Under,
            |text| {
                let expression = format!("(?i)^{}", regex::escape(&text));
                Comparison::Matches(regex::bytes::Regex::new(&expression).unwrap())
            },
        ];
        (select(makes.to_vec()), select(texts)).prop_map(|(make, text)| make(text.to_owned()))
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let subject = prop_oneof![
            4 => comparison(HOSTS).prop_map(Subject::Host),
            4 => comparison(PATHS).prop_map(Subject::Path),
            1 => comparison(&["GET", "PUT"]).prop_map(Subject::Method),
            1 => comparison(&["a", "b"]).prop_map(|c| Subject::Header("X-Room".into(), c)),
        ];
        (subject, proptest::bool::weighted(0.2))
            .prop_map(|(subject, negate)| Condition { subject, negate })
    }

    fn rule() -> impl Strategy<Value = HttpRule> {
        let answer = || Action::Static {
            status_code: 200,
            response_message: String::new(),
            content_type: "text/plain".into(),
        };
        let action = move |forwards| match forwards {
            true => Action::Forward(Forward::to("group")),
            false => answer(),
        };
        (vec(condition(), 0..4), any::<bool>()).prop_map(move |(conditions, forwards)| HttpRule {
            name: "rule".into(),
            conditions,
            action: action(forwards),
        })
    }

    proptest! {
        #[test]
        fn a_request_meets_the_rule_that_it_would_meet_without_an_index(
            rules in vec(rule(), MANY..60),
            is_sorted in any::<bool>(),
            requests in vec((select(HOSTS), select(PATHS), any::<bool>()), 30),
        ) {
            let built = match is_sorted {
                true => Rules::build_sorted(&rules, |_| Some(())).unwrap(),
                false => Rules::build(&rules, |_| Some(())).unwrap(),
            };
            prop_assert!(built.index.is_some());
            for (host, path, has_port) in requests {
                let mut headers = HeaderMap::new();
                let host = if has_port { format!("{host}:8080") } else { host.to_owned() };
                headers.insert("host", HeaderValue::from_str(&host).unwrap());
                headers.insert("x-room", HeaderValue::from_static("a"));
                let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let request = Request::new("GET", path.as_bytes(), &headers, client);
                let found = built.find(&request).map(|rule| rule.index);
                let first = built.iter().find(|rule| rule.matches(&request));
                prop_assert_eq!(found, first.map(|rule| rule.index), "{} {}", host, path);
            }
        }
    }

    #[test]
    fn a_host_longer_than_any_name_meets_what_its_end_leads_to() {
        let host = |comparison| HttpRule {
            name: "rule".into(),
            conditions: vec![Condition {
                subject: Subject::Host(comparison),
                negate: false,
            }],
            action: Action::Forward(Forward::to("group")),
        };
        let long = "a".repeat(LONGEST_HOST + 50);
        let mut rules: Vec<_> = (0..MANY)
            .map(|number| host(Comparison::Equals(format!("{number}.example"))))
            .collect();
        rules.push(host(Comparison::EndsWith(".example".into())));
        rules.push(host(Comparison::Equals(long.clone())));
        let built = Rules::build(&rules, |_| Some(())).unwrap();
        for (asked, place) in [(format!("{long}.Example"), MANY), (long, MANY + 1)] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_str(&asked).unwrap());
            let request = Request::new("GET", b"/", &headers, Ipv4Addr::LOCALHOST.into());
            assert_eq!(built.find(&request).map(|rule| rule.index), Some(place));
        }
    }
}
