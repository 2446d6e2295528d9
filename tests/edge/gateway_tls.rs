//! Certificates of a Gateway come from Secrets, and are shown as soon as these change.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::manifests::{route, service};
use crate::harness::tls::HOST;
use crate::harness::{Authority, Manifests, Target, eventually};

/// A Secret `apps/shown` with the certificate that was issued under a name.
fn secret(authority: &Authority, name: &str) -> String {
    let [chain, key] = authority
        .files(name)
        .map(|path| STANDARD.encode(fs::read(path).unwrap()));
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n\
         metadata: {{name: shown, namespace: apps}}\ndata: {{tls.crt: {chain}, tls.key: {key}}}\n"
    )
}

fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: edge, namespace: apps}}\n\
         spec: {{gatewayClassName: any, listeners: [{{name: https, port: {port}, protocol: HTTPS, \
         tls: {{certificateRefs: [{{name: shown}}]}}}}]}}\n"
    )
}

/// The certificate that is shown there.
fn shown(edge: &Manifests) -> Option<String> {
    let address = edge.gateway.to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", HOST];
    let mut command = std::process::Command::new("openssl");
    let said = command
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let begin = said.find("-----BEGIN CERTIFICATE-----")?;
    let end = said.find("-----END CERTIFICATE-----")? + "-----END CERTIFICATE-----".len();
    Some(said[begin..end].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_changes_is_shown_and_tunnels_stay() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    authority.issue("other", &[HOST]);
    let target = Target::named("chat").await;
    let rest = route("chat", "/", "chat") + &service("chat", &[target.address]);
    let edge = Manifests::with(&(rest.clone() + &secret(&authority, "one"))).await;
    edge.write("gateway.yaml", &gateway(edge.gateway.port()));
    let pem = |name: &str| {
        let text = fs::read_to_string(authority.file(&format!("{name}.crt"))).unwrap();
        text.trim().replace("\r\n", "\n")
    };
    let (one, other) = (pem("one"), pem("other"));
    eventually("the one", || (shown(&edge)? == one).then_some(())).await;
    let mut client = authority.tunnel(edge.gateway, HOST).await;
    edge.write(
        "routes.yaml",
        &(rest.clone() + &secret(&authority, "other")),
    );
    eventually("the other", || (shown(&edge)? == other).then_some(())).await;
    client.say_hi().await;
    // One that is broken is told, and its listener is not served with anything else.
    edge.write(
        "routes.yaml",
        &(rest + &secret(&authority, "other").replace("tls.key", "key")),
    );
    edge.says("InvalidCertificateRef").await;
    client.say_hi().await;
}
