//! Whom a target's certificate must be for, where that is not the name that it is asked for.

use crate::harness::manifests::{route, service};
use crate::harness::tls::{TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Authority, Edge, Manifests};

/// Names that a certificate for this host and this URI is for, and others.
const ROWS: [(&str, bool); 6] = [
    (HOST, true),
    ("other.example", false),
    ("spiffe://cluster/ns/chat", true),
    ("spiffe://cluster/ns/other", false),
    ("other.example, spiffe://cluster/ns/chat", true),
    ("other.example, spiffe://cluster/ns/other", false),
];

fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("chat", &[HOST, "spiffe://cluster/ns/chat"]);
    authority
}

#[tokio::test]
async fn a_target_is_taken_for_one_of_the_names_that_its_group_has_and_for_no_other() {
    let authority = authority();
    let target = authority.serving("chat").await;
    for (names, is_taken) in ROWS {
        let keys = format!("{}, subjectAltNames: [{names}]", trusting(&authority));
        let edge = Edge::start(&over_tls(&keys, &[target.address])).await;
        let expected = if is_taken { 200 } else { 503 };
        assert_eq!(edge.get("/").await.status, expected, "{names}");
        if !is_taken {
            let line = edge.log_line().await;
            assert_eq!(line["error"], "target certificate: wrong name");
        }
    }
}

#[tokio::test]
async fn an_authority_that_nobody_trusts_vouches_for_no_name() {
    let (authority, stranger) = (authority(), Authority::new());
    stranger.issue("chat", &[HOST]);
    let target = stranger.serving("chat").await;
    let keys = format!("{}, subjectAltNames: [{HOST}]", trusting(&authority));
    let edge = Edge::start(&over_tls(&keys, &[target.address])).await;
    assert_eq!(edge.get("/").await.status, 503);
    let line = edge.log_line().await;
    assert_eq!(line["error"], "target certificate: unknown issuer");
}

/// A BackendTLSPolicy for the Service `chat`, with these names, and who vouches.
pub fn policy(authority: &Authority, names: &str) -> String {
    let names = names.split(", ").map(|name| match name.contains("://") {
        true => format!("{{type: URI, uri: \"{name}\"}}"),
        false => format!("{{type: Hostname, hostname: {name}}}"),
    });
    let names: Vec<String> = names.collect();
    let pem = std::fs::read_to_string(authority.file("ca.crt")).unwrap();
    let pem = pem.replace('\n', "\\n");
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: apps}}\n\
         data: {{ca.crt: \"{pem}\"}}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
         metadata: {{name: policy, namespace: apps}}\n\
         spec: {{targetRefs: [{{group: \"\", kind: Service, name: chat}}], validation: \
         {{hostname: asked.example, caCertificateRefs: [{{group: \"\", kind: ConfigMap, \
         name: ca}}], subjectAltNames: [{}]}}}}\n",
        names.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_for_tls_says_whom_the_certificate_must_be_for() {
    let authority = authority();
    let target = authority.serving("chat").await;
    for (names, is_taken) in ROWS {
        let service = service("chat", &[target.address]);
        let service = service.replace("{port: 8080}", "{port: 8080, appProtocol: HTTPS}");
        let all = route("chat", "/", "chat") + &service + &policy(&authority, names);
        let edge = Manifests::with(&all).await;
        let told = edge.status("BackendTLSPolicy", "apps/policy");
        assert_eq!(told["ancestors"][0]["conditions"][0]["status"], "True");
        let answer = crate::harness::edge::get_now(edge.gateway, "/").unwrap();
        let expected = if is_taken {
            "HTTP/1.1 200"
        } else {
            "HTTP/1.1 503"
        };
        assert!(answer.starts_with(expected), "{names}: {answer}");
    }
}
