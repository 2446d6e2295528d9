//! TLS with etcd: whom it must be, and who asks.

use std::fs;
use std::sync::Arc;

use culvert::etcd::{Cause, Client, Outcome, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use tempfile::TempDir;

use crate::harness::{Cluster, commit, put, soon, values_to};

/// An authority, the files of a member with a certificate of its own, and what a client shows.
struct Authority {
    folder: TempDir,
    roots: Arc<RootCertStore>,
    client: Arc<CertifiedKey>,
}

impl Authority {
    fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.crt"), own.pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).unwrap();
        let issuer = Issuer::new(params, key);
        let (member, key) = issue(&issuer);
        fs::write(folder.path().join("member.crt"), member.pem()).unwrap();
        fs::write(folder.path().join("member.key"), key.serialize_pem()).unwrap();
        let (client, key) = issue(&issuer);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![client.der().clone()];
        let client = CertifiedKey::from_der(chain, key, &default_provider()).unwrap();
        Authority {
            folder,
            roots: Arc::new(roots),
            client: Arc::new(client),
        }
    }

    /// What a member is started with that wants a certificate of whoever asks.
    fn options(&self) -> Vec<String> {
        let file = |name| self.folder.path().join(name).display().to_string();
        vec![
            format!("--cert-file={}", file("member.crt")),
            format!("--key-file={}", file("member.key")),
            format!("--trusted-ca-file={}", file("ca.crt")),
            "--client-cert-auth".to_owned(),
        ]
    }

    fn settings(&self, cluster: &Cluster) -> Settings {
        Settings {
            roots: Arc::clone(&self.roots),
            certificate: Some(Arc::clone(&self.client)),
            ..cluster.settings()
        }
    }
}

/// One for both sides: the gateway of a member is a client of the member. Without a common name,
/// which it does not take where it wants a user.
fn issue(issuer: &Issuer<'_, KeyPair>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    (params.signed_by(&key, issuer).unwrap(), key)
}

async fn encrypted(authority: &Authority) -> Option<Cluster> {
    let options = authority.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let cluster = Cluster::encrypted(&options)?;
    let client = Client::new(authority.settings(&cluster)).unwrap();
    let answers = async || client.range(b"/", None).await.ok();
    crate::harness::eventually("a member that answers", answers).await;
    Some(cluster)
}

#[tokio::test]
async fn whoever_shows_a_certificate_reads_writes_and_watches() {
    let authority = Authority::new();
    let Some(cluster) = encrypted(&authority).await else {
        return;
    };
    let client = Client::new(authority.settings(&cluster)).unwrap();
    let after = commit(&client, &put("/a", "1")).await.position;
    let mut watch = client.watch(b"/a", after);
    commit(&client, &put("/a", "2")).await;
    assert_eq!(values_to(&mut watch, "2").await, ["2"]);
}

#[tokio::test]
async fn whoever_shows_none_and_whoever_trusts_another_authority_writes_nothing() {
    let authority = Authority::new();
    let Some(cluster) = encrypted(&authority).await else {
        return;
    };
    let mut none = authority.settings(&cluster);
    none.certificate = None;
    let mut other = authority.settings(&cluster);
    other.roots = Authority::new().roots;
    for (settings, why) in [(none, "alert"), (other, "certificate")] {
        let client = Client::new(settings).unwrap();
        let error = soon("an error", client.txn(&put("/a", "1")))
            .await
            .unwrap_err();
        assert_eq!(error.outcome, Outcome::NotDone, "{error}");
        assert!(
            matches!(&error.cause, Cause::Unreachable(text) if text.contains(why)),
            "{error}"
        );
    }
}
