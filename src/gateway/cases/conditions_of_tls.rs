//! What is told of certificates and authorities that listeners and Gateways refer to.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::super::objects::Kind;
use super::conditions::{GOOD, HTTP, LISTENER, gateway, secret};
use super::{compile, conditions};

/// A ConfigMap with the certificate of an authority.
pub(super) fn authority(namespace: &str, name: &str) -> String {
    let CertifiedKey { cert, .. } = generate_simple_self_signed(Vec::new()).unwrap();
    let pem = cert.pem().replace('\n', "\\n");
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, \
          data: {{ca.crt: \"{pem}\"}}}}"
    )
}

fn tls(reference: &str) -> String {
    gateway(&format!(
        "listeners: [{{name: tls, port: 443, protocol: HTTPS,
            tls: {{certificateRefs: [{reference}]}}}}]"
    ))
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_with_its_reason() {
    let good = secret("infra", "cert", &["a.example"]);
    let far = secret("apps", "far", &["a.example"]);
    let opaque = good
        .replace("kubernetes.io/tls", "Opaque")
        .replace("name: cert", "name: opaque");
    let hello = "SGVsbG8gd29ybGQK";
    let malformed = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: broken, namespace: infra}}, \
          type: kubernetes.io/tls, data: {{tls.crt: {hello}, tls.key: {hello}}}}}"
    );
    let all = [&*good, &*far, &*opaque, &*malformed];
    for (reference, expected) in [
        ("{name: cert}", None),
        ("{name: none}", Some("InvalidCertificateRef")),
        ("{name: cert, kind: Wrong}", Some("InvalidCertificateRef")),
        (
            "{name: cert, group: wrong.example}",
            Some("InvalidCertificateRef"),
        ),
        ("{name: opaque}", Some("InvalidCertificateRef")),
        ("{name: broken}", Some("InvalidCertificateRef")),
        ("{name: far, namespace: apps}", Some("RefNotPermitted")),
    ] {
        let text = tls(reference);
        let compiled = compile(&[&[&*text], &all[..]].concat());
        let told = conditions(&compiled, Kind::Gateway, "infra/g");
        let listener = match expected {
            None => format!("tls [HTTPRoute] 0: {LISTENER}"),
            Some(reason) => format!(
                "tls [HTTPRoute] 0: Accepted=True/Accepted Programmed=False/Invalid \
                 ResolvedRefs=False/{reason} Conflicted=False/NoConflicts"
            ),
        };
        assert_eq!(told[1], listener, "{reference}");
        assert_eq!(
            compiled.sockets.len(),
            usize::from(expected.is_none()),
            "{reference}"
        );
    }
}

#[test]
fn a_secret_of_another_namespace_needs_a_grant_of_that_one() {
    let far = secret("apps", "far", &["a.example"]);
    let of_gateways = "{group: gateway.networking.k8s.io, kind: Gateway, namespace: infra}";
    for (from, to, is_allowed) in [
        (of_gateways, "{group: '', kind: Secret}", true),
        (of_gateways, "{group: '', kind: Secret, name: far}", true),
        (of_gateways, "{group: '', kind: Secret, name: other}", false),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}",
            "{group: '', kind: Secret}",
            false,
        ),
    ] {
        let grant = format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, \
              metadata: {{name: x, namespace: apps}}, spec: {{from: [{from}], to: [{to}]}}}}"
        );
        let compiled = compile(&[&tls("{name: far, namespace: apps}"), &far, &grant]);
        assert_eq!(compiled.sockets.len(), usize::from(is_allowed), "{grant}");
    }
}

#[test]
fn hosts_and_certificates_that_overlap_are_told() {
    let cert = secret("infra", "cert", &["a.example", "*.b.example"]);
    let listener = |name: &str, host: &str| {
        format!(
            "{{name: {name}, port: 443, protocol: HTTPS{host},
                tls: {{certificateRefs: [{{name: cert}}]}}}}"
        )
    };
    let pairs = [
        ("", ", hostname: a.example", Some("OverlappingHostnames")),
        (
            ", hostname: a.example",
            ", hostname: x.b.example",
            Some("OverlappingCertificates"),
        ),
        (", hostname: a.example", ", hostname: c.example", None),
    ];
    for (one, other, expected) in pairs {
        let all = format!(
            "listeners: [{}, {}]",
            listener("x", one),
            listener("y", other)
        );
        let compiled = compile(&[&gateway(&all), &cert]);
        let told = &conditions(&compiled, Kind::Gateway, "infra/g")[1];
        let found = told.split("OverlappingTLSConfig=True/").nth(1);
        assert_eq!(found, expected, "{one} {other}");
    }
}

#[test]
fn authorities_for_clients_are_told_where_none_is_valid() {
    let cert = secret("infra", "cert", &["a.example"]);
    let (ca, far) = (authority("infra", "ca"), authority("apps", "far"));
    let frontend = |reference: &str| {
        gateway(&format!(
            "tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{kind: ConfigMap,
                group: '', \
             name: ca}}]}}}}, perPort: [{{port: 8443,
                 tls: {{validation: {{caCertificateRefs: [{reference}]}}}}}}]}}}}, \
             listeners: [{{name: one, port: 443, protocol: HTTPS,
                 tls: {{certificateRefs: [{{name: cert}}]}}}}, \
             {{name: two, port: 8443, protocol: HTTPS,
                 tls: {{certificateRefs: [{{name: cert}}]}}}}]"
        ))
    };
    let good = "{kind: ConfigMap, group: '', name: ca}";
    for (reference, reason, accepted) in [
        (good, None, true),
        (
            "{kind: ConfigMap, group: '', name: none}",
            Some("InvalidCACertificateRef"),
            false,
        ),
        (
            "{kind: Service, group: '', name: ca}",
            Some("InvalidCACertificateKind"),
            false,
        ),
        (
            "{kind: ConfigMap, group: '', name: far, namespace: apps}",
            Some("RefNotPermitted"),
            false,
        ),
        (
            &format!("{{kind: ConfigMap, group: '', name: none}}, {good}"),
            Some("InvalidCACertificateRef"),
            true,
        ),
    ] {
        let compiled = compile(&[&frontend(reference), &cert, &ca, &far]);
        let told = conditions(&compiled, Kind::Gateway, "infra/g");
        assert!(told[1].contains(LISTENER), "{told:?}");
        let accepts = told[2].contains("Accepted=True/Accepted");
        assert_eq!(accepts, accepted, "{reference} {told:?}");
        assert_eq!(
            told[2].contains("Accepted=False/NoValidCACertificate"),
            !accepted
        );
        let resolved = match reason {
            None => "ResolvedRefs=True/ResolvedRefs".to_owned(),
            Some(reason) => format!("ResolvedRefs=False/{reason}"),
        };
        assert!(told[2].contains(&resolved), "{reference} {told:?}");
        let asked: Vec<bool> = compiled
            .sockets
            .iter()
            .map(|socket| socket.tls.as_ref().unwrap().clients.is_some())
            .collect();
        assert_eq!(asked, vec![true; 1 + usize::from(accepted)]);
    }
}

#[test]
fn a_gateway_that_lets_clients_in_without_a_certificate_says_so() {
    let cert = secret("infra", "cert", &["a.example"]);
    let text = gateway(
        "tls: {frontend: {default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: \
         [{kind: ConfigMap, group: '', name: ca}]}}}}, listeners: [{name: one, port: 443, \
         protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}]",
    );
    let compiled = compile(&[&text, &cert, &authority("infra", "ca")]);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    let expected = format!("{GOOD} InsecureFrontendValidationMode=True/ConfigurationChanged");
    assert_eq!(told[0], expected);
}

#[test]
fn the_certificate_that_is_shown_to_endpoints_is_resolved_or_told() {
    let (own, far) = (secret("infra", "own", &[]), secret("apps", "far", &[]));
    for (reference, expected) in [
        ("{name: own}", "ResolvedRefs=True/ResolvedRefs"),
        (
            "{name: none}",
            "ResolvedRefs=False/InvalidClientCertificateRef",
        ),
        (
            "{name: own, kind: Wrong}",
            "ResolvedRefs=False/InvalidClientCertificateRef",
        ),
        (
            "{name: own, group: x.example}",
            "ResolvedRefs=False/InvalidClientCertificateRef",
        ),
        (
            "{name: far, namespace: apps}",
            "ResolvedRefs=False/RefNotPermitted",
        ),
    ] {
        let text = gateway(&format!(
            "tls: {{backend: {{clientCertificateRef: {reference}}}}}, listeners: [{HTTP}]"
        ));
        let compiled = compile(&[&text, &own, &far]);
        let told = conditions(&compiled, Kind::Gateway, "infra/g");
        assert_eq!(told[0], format!("{GOOD} {expected}"), "{reference}");
    }
}
