//! Which rule takes a request: paths, headers, parameters, methods, and their order.

use super::asked::ask;
use super::{BASE, compile, route, route_named};

fn check(rules: &str, table: &[(&str, &str)]) {
    let compiled = compile(&[BASE, &route(rules)]);
    for (request, expected) in table {
        assert_eq!(ask(&compiled, request), *expected, "{request}");
    }
}

#[test]
fn a_route_in_the_namespace_of_its_gateway_serves() {
    check(
        "[{backendRefs: [{name: a, port: 8080}]}]",
        &[("x.example/", "a"), ("y.example/any/path?a=b", "a")],
    );
}

#[test]
fn an_exact_path_is_that_path_and_no_other() {
    let rules = "[
        {matches: [{path: {type: Exact, value: /one}}], backendRefs: [{name: a, port: 8080}]},
        {matches: [{path: {type: Exact, value: /two/}}], backendRefs: [{name: b, port: 8080}]}]";
    check(
        rules,
        &[
            ("h/one", "a"),
            ("h/one?x", "a"),
            ("h/one/", "404"),
            ("h/one/more", "404"),
            ("h/One", "404"),
            ("h/two/", "b"),
            ("h/two", "404"),
            ("h/", "404"),
        ],
    );
}

#[test]
fn a_prefix_counts_by_segments_and_the_slash_at_its_end_does_not_count() {
    let rules = "[
        {matches: [{path: {value: /v2}}], backendRefs: [{name: a, port: 8080}]},
        {matches: [{path: {type: PathPrefix, value: /v3/}}], backendRefs: [{name: b,
            port: 8080}]}]";
    check(
        rules,
        &[
            ("h/v2", "a"),
            ("h/v2/", "a"),
            ("h/v2/x", "a"),
            ("h/v2?x=y", "a"),
            ("h/v2x", "404"),
            ("h/V2", "404"),
            ("h/v3", "b"),
            ("h/v3/", "b"),
            ("h/v3/x/y", "b"),
            ("h/v3x", "404"),
        ],
    );
}

#[test]
fn an_expression_is_of_the_whole_path() {
    let rules = "[
        {matches: [{path: {type: RegularExpression, value: '/user/[0-9]+'}}],
         backendRefs: [{name: a, port: 8080}]},
        {matches: [{path: {type: RegularExpression, value: '/a|/b'}}],
         backendRefs: [{name: b, port: 8080}]}]";
    check(
        rules,
        &[
            ("h/user/17", "a"),
            ("h/user/17/x", "404"),
            ("h/x/user/17", "404"),
            ("h/a", "b"),
            ("h/ab", "404"),
            ("h/x/b", "404"),
        ],
    );
}

#[test]
fn headers_compare_their_values_and_of_one_name_the_first_counts() {
    let rules = "[
        {matches: [{headers: [{name: Version, value: one}]}], backendRefs: [{name: a,
            port: 8080}]},
        {matches: [{headers: [{name: version, value: two}, {name: Version, value: one}]}],
         backendRefs: [{name: b, port: 8080}]},
        {matches: [{headers: [{name: color, value: blue, type: Exact}]},
                   {headers: [{name: color, value: 'gr.*', type: RegularExpression}]},
                   {headers: [{name: version, value: two}, {name: color, value: orange}]}],
         backendRefs: [{name: c, port: 8080}]}]";
    check(
        rules,
        &[
            ("h/ version:one", "a"),
            ("h/ VERSION:one", "a"),
            ("h/ version:One", "404"),
            ("h/ version:two", "b"),
            ("h/ color:blue", "c"),
            ("h/ color:green", "c"),
            ("h/ color:bluegreen", "404"),
            ("h/ version:two color:orange", "c"),
            ("h/ color:orange", "404"),
            ("h/", "404"),
        ],
    );
}

#[test]
fn parameters_compare_the_first_value_of_their_name() {
    let rules = "[
        {matches: [{queryParams: [{name: animal, value: whale}]}],
         backendRefs: [{name: a, port: 8080}]},
        {matches: [{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}],
         backendRefs: [{name: b, port: 8080}]},
        {matches: [{queryParams: [{name: n, value: '[0-9]+', type: RegularExpression}]}],
         backendRefs: [{name: c, port: 8080}]}]";
    check(
        rules,
        &[
            ("h/?animal=whale", "a"),
            ("h/?x=y&animal=whale", "a"),
            ("h/?animal=Whale", "404"),
            ("h/?animal=dolphin", "404"),
            ("h/?animal=dolphin&color=blue", "b"),
            ("h/?color=blue&animal=dolphin", "b"),
            ("h/?n=12", "c"),
            ("h/?n=12x", "404"),
            ("h/", "404"),
        ],
    );
}

#[test]
fn methods_are_equal_or_not() {
    let rules = "[
        {matches: [{method: POST}], backendRefs: [{name: a, port: 8080}]},
        {matches: [{method: GET, path: {value: /x}}], backendRefs: [{name: b, port: 8080}]}]";
    check(
        rules,
        &[
            ("POST h/", "a"),
            ("POST h/x", "a"),
            ("GET h/x", "b"),
            ("HEAD h/x", "404"),
            ("PATCH h/", "404"),
        ],
    );
}

#[test]
fn of_several_paths_the_exact_comes_first_then_expressions_then_the_longest_prefix() {
    let rules = "[
        {matches: [{path: {value: /}}], backendRefs: [{name: a, port: 8080}]},
        {matches: [{path: {value: /match}}], backendRefs: [{name: b, port: 8080}]},
        {matches: [{path: {value: /match/prefix}}], backendRefs: [{name: c, port: 8080}]},
        {matches: [{path: {type: RegularExpression, value: '/match/prefix/o.*'}}],
         backendRefs: [{name: a, port: 8080}]},
        {matches: [{path: {type: Exact, value: /match/prefix/one}}],
         backendRefs: [{name: b, port: 8080}]}]";
    check(
        rules,
        &[
            ("h/other", "a"),
            ("h/match", "b"),
            ("h/match/x", "b"),
            ("h/matches", "a"),
            ("h/match/prefix/x", "c"),
            ("h/match/prefix/one", "b"),
            ("h/match/prefix/over", "a"),
        ],
    );
}

#[test]
fn after_the_path_come_the_method_then_headers_then_parameters() {
    let rules = "[
        {matches: [{queryParams: [{name: q, value: '1'}, {name: r, value: '1'}]}],
         backendRefs: [{name: a, port: 8080}]},
        {matches: [{headers: [{name: h, value: '1'}]}], backendRefs: [{name: b, port: 8080}]},
        {matches: [{method: PUT}], backendRefs: [{name: c, port: 8080}]},
        {matches: [{path: {value: /long}}], backendRefs: [{name: a, port: 8080}]},
        {matches: [{headers: [{name: h, value: '1'}, {name: i, value: '1'}]}],
         backendRefs: [{name: a, port: 8080}]}]";
    check(
        rules,
        &[
            ("PUT h/?q=1&r=1 h:1 i:1", "c"),
            ("GET h/?q=1&r=1 h:1", "b"),
            ("GET h/?q=1&r=1", "a"),
            ("GET h/ h:1 i:1", "a"),
            ("PUT h/long h:1", "a"),
        ],
    );
}

#[test]
fn equal_matches_go_to_the_oldest_route_then_by_name_then_in_order() {
    let one = |name: &str, age: &str, rules: &str| {
        let text = route_named(name, "", rules);
        let age = format!("metadata: {{creationTimestamp: {age}, ");
        text.replace("metadata: {", &age)
    };
    let to = |service: &str| format!("[{{backendRefs: [{{name: {service}, port: 8080}}]}}]");
    let (a, b, c) = (to("a"), to("b"), to("c"));
    let young = one("x-young", "\"2026-02-01T00:00:00Z\"", &a);
    let old = one("z-old", "\"2026-01-01T00:00:00Z\"", &b);
    let ageless = one("a-ageless", "null", &c);
    let compiled = compile(&[BASE, &young, &old, &ageless]);
    assert_eq!(ask(&compiled, "h/"), "b");
    let compiled = compile(&[BASE, &route_named("n2", "", &a), &route_named("n1", "", &b)]);
    assert_eq!(ask(&compiled, "h/"), "b");
    let both = format!("[{},{}]", &a[1..a.len() - 1], &b[1..b.len() - 1]);
    let compiled = compile(&[BASE, &route(&both)]);
    assert_eq!(ask(&compiled, "h/"), "a");
}

#[test]
fn matches_of_several_routes_are_one_list() {
    let one = route_named(
        "one",
        "hostnames: [example.com, example.net],",
        "[{matches: [{path: {value: /}}], backendRefs: [{name: a, port: 8080}]},
          {matches: [{path: {value: /v2}}], backendRefs: [{name: b, port: 8080}]},
          {matches: [{headers: [{name: version, value: two}]}],
           backendRefs: [{name: b, port: 8080}]}]",
    );
    let two = route_named(
        "two",
        "hostnames: [example.com],",
        "[{matches: [{path: {value: /v2}, headers: [{name: version, value: two}]}],
           backendRefs: [{name: c, port: 8080}]}]",
    );
    let compiled = compile(&[BASE, &one, &two]);
    for (request, expected) in [
        ("example.com/", "a"),
        ("example.com/v2", "b"),
        ("example.com/ version:two", "b"),
        ("example.com/v2 version:two", "c"),
        ("example.net/v2 version:two", "b"),
        ("example.org/", "404"),
    ] {
        assert_eq!(ask(&compiled, request), expected, "{request}");
    }
}
