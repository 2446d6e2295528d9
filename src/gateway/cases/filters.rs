//! What is changed, and where clients are sent.

use super::super::compiled::{Action, Compiled, Forward};
use super::asked::ask;
use super::{BASE, compile, route};

fn rule(filters: &str, rest: &str) -> String {
    format!("{{filters: [{filters}], {rest}}}")
}

const TO_A: &str = "backendRefs: [{name: a, port: 8080}]";

fn check(rules: &str, table: &[(&str, &str)]) {
    let compiled = compile(&[BASE, &route(rules)]);
    for (request, expected) in table {
        assert_eq!(ask(&compiled, request), *expected, "{rules}: {request}");
    }
}

#[test]
fn headers_of_requests_and_answers_are_changed_by_the_rule_and_by_the_backend() {
    let request = "{type: RequestHeaderModifier, requestHeaderModifier: {
        set: [{name: X-Set, value: one}], add: [{name: X-Add, value: two}], remove: [X-Remove]}}";
    let answer = "{type: ResponseHeaderModifier, responseHeaderModifier: {
        set: [{name: x-set, value: one}, {name: X-Set, value: second}]}}";
    let own = "backendRefs: [{name: a, port: 8080, filters: [{type: RequestHeaderModifier,
        requestHeaderModifier: {set: [{name: x-own, value: mine}]}}]}]";
    check(
        &format!("[{}]", rule(&format!("{request}, {answer}"), own)),
        &[(
            "h/",
            "a set(x-own:mine) set(x-set:one) add(x-add:two) remove(x-remove) \
             answer-set(x-set:one)",
        )],
    );
}

#[test]
fn host_and_path_are_rewritten() {
    let rewrite = |what: &str| format!("{{type: URLRewrite, urlRewrite: {{{what}}}}}");
    for (what, expected) in [
        ("hostname: one.example.org", "a host(one.example.org)"),
        (
            "path: {type: ReplaceFullPath, replaceFullPath: /one}",
            "a path(/one)",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /}",
            "a prefix(/)",
        ),
    ] {
        let rule = rule(
            &rewrite(what),
            &format!("matches: [{{path: {{value: /p}}}}], {TO_A}"),
        );
        check(&format!("[{rule}]"), &[("h/p/q", expected)]);
    }
}

/// A rule for the prefix `/p` that redirects.
fn redirect(what: &str) -> String {
    let filter = format!("{{type: RequestRedirect, requestRedirect: {{{what}}}}}");
    format!("[{}]", rule(&filter, "matches: [{path: {value: /p}}]"))
}

#[test]
fn a_redirect_keeps_what_it_does_not_say() {
    for (what, expected) in [
        ("hostname: example.org", "302 http://example.org/p/q"),
        ("statusCode: 301", "301 http://h/p/q"),
        ("scheme: https", "302 https://h/p/q"),
        (
            "scheme: https, port: 8443, statusCode: 308",
            "308 https://h:8443/p/q",
        ),
        ("scheme: https, port: 443", "302 https://h/p/q"),
        ("scheme: http, port: 80", "302 http://h/p/q"),
        ("scheme: http, port: 8080", "302 http://h:8080/p/q"),
        ("port: 8083", "302 http://h:8083/p/q"),
        (
            "path: {type: ReplaceFullPath, replaceFullPath: /x}",
            "302 http://h/x",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}",
            "302 http://h/x/q",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /x/}",
            "302 http://h/x/q",
        ),
        (
            "path: {type: ReplacePrefixMatch, replacePrefixMatch: /}",
            "302 http://h/q",
        ),
        ("statusCode: 303", "303 http://h/p/q"),
        ("statusCode: 307", "307 http://h/p/q"),
    ] {
        check(&redirect(what), &[("h/p/q", expected)]);
    }
    check(
        &redirect("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}"),
        &[("h/p", "302 http://h/"), ("h/p/", "302 http://h/")],
    );
}

#[test]
fn the_port_of_a_redirect_is_that_of_the_listener_where_nothing_else_is_said() {
    let base = BASE.replace("port: 80,", "port: 8080,");
    for (what, expected) in [
        ("hostname: example.org", "302 http://example.org:8080/p"),
        ("scheme: http", "302 http://h/p"),
        ("scheme: https", "302 https://h/p"),
    ] {
        let compiled = compile(&[&base, &route(&redirect(what))]);
        assert_eq!(ask(&compiled, "h:8080/p"), expected, "{what}");
    }
}

#[test]
fn a_backend_may_redirect_and_rewrite_for_itself() {
    let own = |filter: &str| {
        format!(
            "[{{backendRefs: [{{name: a, port: 8080,
            filters: [{filter}]}}]}}]"
        )
    };
    let redirect = "{type: RequestRedirect, requestRedirect: {hostname: example.org}}";
    check(&own(redirect), &[("h/x", "302 http://example.org/x")]);
    let rewrite = "{type: URLRewrite, urlRewrite: {hostname: example.org}}";
    check(&own(rewrite), &[("h/x", "a host(example.org)")]);
}

#[test]
fn a_filter_that_nobody_knows_is_500_and_not_skipped() {
    let filter = "{type: ExtensionRef, extensionRef: {group: x.example, kind: Magic, name: m}}";
    check(&format!("[{}]", rule(filter, TO_A)), &[("h/", "500")]);
    let own = format!("[{{backendRefs: [{{name: a, port: 8080, filters: [{filter}]}}]}}]");
    check(&own, &[("h/", "500")]);
}

fn forward(compiled: &Compiled) -> &Forward {
    match &compiled.sockets[0].listeners[0].entries[0].rule.action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

#[test]
fn mirrors_have_their_groups_and_shares() {
    let mirror = |name: &str, share: &str| {
        format!(
            "{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name},
                port: 8080}}{share}}}}}"
        )
    };
    let all = [
        mirror("b", ""),
        mirror("c", ", percent: 20"),
        mirror("c", ", fraction: {numerator: 1, denominator: 3}"),
        mirror("none", ""),
    ];
    let compiled = compile(&[BASE, &route(&format!("[{}]", rule(&all.join(", "), TO_A)))]);
    let mirrors = forward(&compiled).mirrors.iter();
    let told: Vec<_> = mirrors
        .map(|one| format!("{} {:?}", one.group, one.share))
        .collect();
    let expected = [
        "infra/b:8080 (100, 100)",
        "infra/c:8080 (20, 100)",
        "infra/c:8080 (1, 3)",
    ];
    assert_eq!(told, expected);
}

#[test]
fn timeouts_retries_and_cors_are_as_they_are_said_and_zero_is_none() {
    let rest = format!(
        "timeouts: {{request: 1m30s, backendRequest: 500ms}},
         retry: {{codes: [500, 503], attempts: 2, backoff: 100ms}}, {TO_A}"
    );
    let cors = "{type: CORS, cors: {allowOrigins: ['https://*.a.example'], allowMethods: [GET]}}";
    let compiled = compile(&[BASE, &route(&format!("[{}]", rule(cors, &rest)))]);
    let said = forward(&compiled);
    assert_eq!(said.request_timeout.unwrap().as_secs(), 90);
    assert_eq!(said.backend_timeout.unwrap().as_millis(), 500);
    let retry = said.retry.as_ref().unwrap();
    assert_eq!(
        (&retry.codes[..], retry.attempts),
        (&[500, 503][..], Some(2))
    );
    let cors = said.cors.as_ref().unwrap();
    assert_eq!((cors.max_age, cors.credentials), (5, false));
    let none = format!("[{{timeouts: {{request: 0s, backendRequest: 2s}}, {TO_A}}}]");
    let compiled = compile(&[BASE, &route(&none)]);
    let said = forward(&compiled);
    assert_eq!(
        (said.request_timeout, said.backend_timeout.is_some()),
        (None, true)
    );
}
