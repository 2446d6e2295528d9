//! Certificates in Secrets: they serve as they are now, and no other Secret is read.

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use crate::harness::node::certificate;
use crate::harness::space::secret;
use crate::harness::{Space, eventually, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_a_secret_serves_and_another_one_as_soon_as_it_is_there() {
    let space = Space::shared().await;
    let issue = || generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let put = async |CertifiedKey { cert, signing_key }: CertifiedKey<rcgen::KeyPair>| {
        let [chain, key] = [cert.pem(), signing_key.serialize_pem()];
        space.apply(&secret("shown", &chain, &key)).await;
        cert.der().to_vec()
    };
    let first = put(issue()).await;
    let CertifiedKey { cert, signing_key } = issue();
    space
        .apply(&secret("unseen", &cert.pem(), &signing_key.serialize_pem()))
        .await;
    let address = free_address();
    let tls = "protocol: HTTPS, hostname: a.example, tls: {certificateRefs: [{name: shown}]}";
    space
        .apply(
            &space
                .gateway("edge", address.port())
                .replace("protocol: HTTP", tls),
        )
        .await;
    let _node = space.node().await;
    let shows = async |wanted: &[u8]| {
        let is_it = async || (certificate(address, "a.example").await? == wanted).then_some(());
        eventually("the certificate", is_it).await;
    };
    shows(&first).await;
    let second = put(issue()).await;
    shows(&second).await;
    let read = reads(&space);
    assert!(
        read.iter().any(|path| path.ends_with("/secrets/shown")),
        "{read:?}"
    );
    assert!(
        !read.iter().any(|path| path.ends_with("/secrets/unseen")),
        "{read:?}"
    );
}

/// The Secrets that Culvert has asked for with what they hold: each by its name, or lists of whole
/// ones.
fn reads(space: &Space) -> Vec<String> {
    let log = fs::read_to_string(space.server.keeper.file("audit.log")).unwrap();
    let events = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let culvert = "system:serviceaccount:culvert-system:culvert";
    let asked = events.filter(|event| event["user"]["username"] == culvert);
    let paths = asked.map(|event| event["requestURI"].as_str().unwrap().to_owned());
    paths.collect()
}
