//! What the compiled form is lowered to, where it is more than which rule is met.

use std::sync::Arc;
use std::time::Duration;

use super::super::objects::Name;
use super::super::{Compiler, Lowerer, Statuses, Store};
use super::conditions::{gateway, secret};
use super::served::lower;
use super::{BASE, compile, manifests, noon, route, route_named, settings};
use crate::config::model::{
    Action, AllowedOrigin, ClientCertificateMode, CorsList, Forward, HttpRule, HttpVersion, Source,
};

fn rules(service: &str) -> String {
    format!("[{{backendRefs: [{{name: {service}, port: 8080}}]}}]")
}

#[test]
fn what_did_not_change_is_the_same_object() {
    let mut store = Store::of(manifests(&[BASE, &route(&rules("a"))]).objects);
    let (mut compiler, mut lowerer) = (Compiler::default(), Lowerer::default());
    let mut go = |store: &Store| {
        let compiled = compiler.compile(store, &settings(), &Statuses::default(), noon());
        lowerer.lower(&compiled, &|_| Source::default())
    };
    let (one, two) = (go(&store), go(&store));
    assert!(Arc::ptr_eq(
        &one.forwarding_rules[0],
        &two.forwarding_rules[0]
    ));
    assert!(Arc::ptr_eq(&one.target_groups[0], &two.target_groups[0]));
    let endpoints = "{apiVersion: v1, kind: Endpoints, metadata: {name: a, namespace: infra},
        subsets: [{addresses: [{ip: 10.0.0.9}], ports: [{port: 3000}]}]}";
    store.put(manifests(&[endpoints]).objects.remove(0));
    let three = go(&store);
    assert!(Arc::ptr_eq(
        &two.forwarding_rules[0],
        &three.forwarding_rules[0]
    ));
    assert!(!Arc::ptr_eq(&two.target_groups[0], &three.target_groups[0]));
    store.put(
        manifests(&[&route_named("s", "", &rules("a"))])
            .objects
            .remove(0),
    );
    let four = go(&store);
    assert!(!Arc::ptr_eq(
        &three.forwarding_rules[0],
        &four.forwarding_rules[0]
    ));
    assert!(Arc::ptr_eq(&three.target_groups[0], &four.target_groups[0]));
}

#[test]
fn endpoints_that_change_alone_change_their_group_alone() {
    let mut store = Store::of(manifests(&[BASE, &route(&rules("a"))]).objects);
    let (mut compiler, mut lowerer) = (Compiler::default(), Lowerer::default());
    let compiled = compiler.compile(&store, &settings(), &Statuses::default(), noon());
    lowerer.lower(&compiled, &|_| Source::default());
    let endpoints = "{apiVersion: v1, kind: Endpoints, metadata: {name: a, namespace: infra},
        subsets: [{addresses: [{ip: 10.0.0.8}, {ip: 10.0.0.9}], ports: [{port: 3000}]}]}";
    store.put(manifests(&[endpoints]).objects.remove(0));
    for (name, endpoints) in compiler.endpoints_of(&store, &Name::new("infra", "a")) {
        let group = lowerer.with_endpoints(&name, &endpoints).unwrap();
        let targets = group.targets.iter();
        let told: Vec<_> = targets.map(|target| target.address.to_string()).collect();
        assert_eq!(told, ["10.0.0.8:3000", "10.0.0.9:3000"]);
        assert_eq!(group.name, "infra/a:8080");
    }
    assert!(
        lowerer
            .with_endpoints("infra/none:1", &Vec::new().into())
            .is_none()
    );
}

#[test]
fn a_group_that_was_empty_is_checked_when_it_is_not() {
    let health = "{apiVersion: alb.networking.azure.io/v1, kind: HealthCheckPolicy,
        metadata: {name: p, namespace: infra}, spec: {targetRef: {group: '', kind: Service,
        name: s}, default: {interval: 1s}}}";
    let service = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: infra},
        spec: {ports: [{port: 8080, appProtocol: kubernetes.io/h2c}]}}";
    let found = manifests(&[BASE, health, service, &route(&rules("s"))]);
    let mut store = Store::of(found.objects);
    let (mut compiler, mut lowerer) = (Compiler::default(), Lowerer::default());
    let compiled = compiler.compile(&store, &settings(), &Statuses::default(), noon());
    let lowered = lowerer.lower(&compiled, &|_| Source::default());
    assert_eq!(lowered.target_groups[0].http_version, HttpVersion::Http2);
    // Its clients may have no TLS either.
    assert!(lowered.forwarding_rules[0].h2c);
    let endpoints = "{apiVersion: v1, kind: Endpoints, metadata: {name: s, namespace: infra},
        subsets: [{addresses: [{ip: 10.0.0.9}], ports: [{port: 3000}]}]}";
    store.put(manifests(&[endpoints]).objects.remove(0));
    let (name, endpoints) = compiler
        .endpoints_of(&store, &Name::new("infra", "s"))
        .remove(0);
    let group = lowerer.with_endpoints(&name, &endpoints).unwrap();
    assert!(group.targets[0].health_check_enabled);
}

#[test]
fn a_certificate_is_shown_for_the_host_of_its_listener() {
    let (one, two) = (
        secret("infra", "one", &["a.example", "b.example"]),
        secret("infra", "two", &["b.example"]),
    );
    let listener = |name: &str, host: &str, secret: &str| {
        format!(
            "{{name: {name}, {host} port: 443, protocol: HTTPS,
              tls: {{certificateRefs: [{{name: {secret}}}]}}}}"
        )
    };
    let listeners = [
        listener("any", "", "one"),
        listener("b", "hostname: b.example,", "two"),
        listener("wild", "hostname: '*.c.example',", "one"),
    ];
    let text = gateway(&format!("listeners: [{}]", listeners.join(", ")));
    let lowered = lower(&compile(&[&text, &one, &two]));
    let shown = |name: &String| {
        let mut all = lowered.certificates.iter();
        let found = all.find(|one| one.name == *name).unwrap();
        format!("{name}: {}", found.names.join(" "))
    };
    let tls = lowered.forwarding_rules[0].tls.as_ref().unwrap();
    let told: Vec<_> = tls.certificates.iter().map(shown).collect();
    assert_eq!(
        told,
        [
            "infra/one for infra/g/any: a.example",
            "infra/one for infra/g/wild: *.c.example",
            "infra/two: b.example",
        ]
    );
}

#[test]
fn clients_are_asked_for_certificates_as_the_gateway_says() {
    let cert = secret("infra", "cert", &["a.example"]);
    let authority = super::conditions_of_tls::authority("infra", "ca");
    for (mode, expected) in [
        ("AllowValidOnly", ClientCertificateMode::Require),
        ("AllowInsecureFallback", ClientCertificateMode::Optional),
    ] {
        let text = gateway(&format!(
            "tls: {{frontend: {{default: {{validation: {{mode: {mode}, caCertificateRefs:
             [{{kind: ConfigMap, group: '', name: ca}}]}}}}}}}}, listeners: [{{name: one,
             port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}]"
        ));
        let lowered = lower(&compile(&[&text, &cert, &authority]));
        let tls = lowered.forwarding_rules[0].tls.as_ref().unwrap();
        assert_eq!(tls.client_certificates.as_ref().unwrap().mode, expected);
    }
}

#[test]
fn targets_are_verified_as_their_policy_says() {
    let authority = super::conditions_of_tls::authority("infra", "ca");
    let own = secret("infra", "own", &[]);
    let policy = "{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy,
        metadata: {name: p, namespace: infra}, spec: {targetRefs: [{group: '', kind: Service,
        name: a}], validation: {hostname: a.example, caCertificateRefs: [{group: '',
        kind: ConfigMap, name: ca}]}}}";
    let shows = "gatewayClassName: ours\n  tls: {backend: {clientCertificateRef: {name: own}}}";
    let base = BASE.replacen("gatewayClassName: ours", shows, 1);
    let lowered = lower(&compile(&[
        &base,
        &route(&rules("a")),
        &authority,
        &own,
        policy,
    ]));
    let group = &lowered.target_groups[0];
    assert_eq!(group.name, "infra/a:8080 of infra/edge");
    let tls = group.tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_ref().unwrap().as_ref(), "a.example");
    assert_eq!(tls.authorities.as_ref().unwrap().len(), 1);
    assert!(tls.verify_certificate);
    assert_eq!(tls.client_certificate.as_ref().unwrap().name, "infra/own");
    assert_eq!(lowered.certificates[0].name, "infra/own");
}

#[test]
fn a_prefix_is_replaced_by_segments_and_without_two_slashes() {
    use crate::rules::NewPath;
    for (before, after, path, expected) in [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/", "/foo/bar", "/bar"),
        ("/foo", "/", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "''", "/foo", "/"),
        ("/foo", "bar", "/foo/x", "/bar/x"),
        ("/", "/xyz", "/foo", "/xyz/foo"),
    ] {
        let rule = format!(
            "[{{matches: [{{path: {{value: {before}}}}}], filters: [{{type: URLRewrite,
              urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {after}}}}}}}],
              backendRefs: [{{name: a, port: 8080}}]}}]"
        );
        let lowered = lower(&compile(&[BASE, &route(&rule)]));
        let Action::Forward(forward) = &lowered.forwarding_rules[0].http_rules[0].action else {
            panic!("{rule}");
        };
        let new = NewPath::from(forward.changes.rewrite.path.as_ref().unwrap());
        let new = new.of(path.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(new).unwrap(),
            expected,
            "{before} {after} {path}"
        );
    }
}

/// What a rule does that forwards.
pub(super) fn forwarded(rule: &HttpRule) -> Forward {
    match &rule.action {
        Action::Forward(forward) => forward.clone(),
        other => panic!("{}: {other:?}", rule.name),
    }
}

/// What a rule comes to that says this beside its backend.
fn rule(rest: &str) -> Forward {
    let text = route(&format!(
        "[{{{rest}, backendRefs: [{{name: a, port: 8080}}]}}]"
    ));
    let lowered = lower(&compile(&[BASE, &text]));
    forwarded(&lowered.forwarding_rules[0].http_rules[0])
}

#[test]
fn pages_of_other_sites_are_those_of_the_filter() {
    let cors = |what: &str| {
        let filter = format!("filters: [{{type: CORS, cors: {{{what}}}}}]");
        *rule(&filter).cors.unwrap()
    };
    let said = cors(
        "allowOrigins: ['https://a.example:8443', 'https://*.b.example'], allowCredentials: true,
         allowMethods: [PUT, DELETE, PUT], allowHeaders: ['*'], exposeHeaders: [x-a], maxAge: 60",
    );
    let of = |host: &str, port, is_above| AllowedOrigin::Of {
        scheme: "https".to_owned(),
        host: host.to_owned(),
        port,
        is_above,
    };
    let origins = [
        of("a.example", Some(8443), false),
        of("b.example", None, true),
    ];
    assert_eq!(said.allow_origins.as_deref(), Some(&origins[..]));
    assert!(said.allow_credentials);
    let these = |words: &[&str]| CorsList::These(words.iter().map(ToString::to_string).collect());
    assert_eq!(said.allow_methods, these(&["PUT", "DELETE"]));
    assert_eq!(said.allow_headers, CorsList::All);
    assert_eq!(said.expose_headers, these(&["x-a"]));
    assert_eq!(said.max_age, Duration::from_secs(60));
    let least = cors("allowOrigins: ['https://a.example', '*']");
    assert_eq!(
        (least.allow_origins, least.max_age),
        (None, Duration::from_secs(5))
    );
    assert_eq!(least.allow_methods, these(&[]));
    let long = cors("allowOrigins: ['*'], maxAge: 999999");
    assert_eq!(long.max_age, Duration::from_secs(86_400));
}

#[test]
fn timeouts_and_retries_are_those_of_the_rule() {
    let said = rule(
        "timeouts: {request: 10s, backendRequest: 500ms},
         retry: {codes: [500, 503], attempts: 3, backoff: 100ms}",
    );
    assert_eq!(said.request_timeout, Some(Duration::from_secs(10)));
    assert_eq!(said.attempt_timeout, Some(Duration::from_millis(500)));
    let retry = said.retry.unwrap();
    assert_eq!(
        (&retry.status_codes[..], retry.attempts),
        (&[500, 503][..], 3)
    );
    assert_eq!(retry.backoff, Duration::from_millis(100));
    assert_eq!(rule("retry: {codes: [500]}").retry.unwrap().attempts, 1);
    assert_eq!(rule("retry: {codes: [500], attempts: 0}").retry, None);
    assert_eq!(rule("retry: {attempts: 2}").retry, None);
    assert_eq!(rule("timeouts: {request: 0s}").request_timeout, None);
    let handshake = |rest: &str| rule(rest).tunnel.handshake_timeout.as_secs();
    assert_eq!(
        handshake("timeouts: {request: 45s}"),
        45,
        "a handshake has as long"
    );
    assert_eq!(
        handshake("timeouts: {request: 2s}"),
        10,
        "and is bounded as a request"
    );
}

#[test]
fn copies_go_to_the_groups_of_the_mirrors_and_no_share_is_none() {
    let mirror = |name: &str, share: &str| {
        format!(
            "{{type: RequestMirror, requestMirror:
              {{backendRef: {{name: {name}, port: 8080}}{share}}}}}"
        )
    };
    let all = [
        mirror("b", ""),
        mirror("c", ", fraction: {numerator: 1, denominator: 3}"),
        mirror("c", ", percent: 0"),
    ];
    let found = rule(&format!("filters: [{}]", all.join(", "))).mirrors;
    let told = found.iter().map(|one| {
        let (group, of) = (&one.target_group, one.denominator);
        format!("{group} {} of {of}", one.numerator)
    });
    let expected = ["infra/b:8080 100 of 100", "infra/c:8080 1 of 3"];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
