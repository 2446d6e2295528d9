//! A real API server: etcd and kube-apiserver, which `make test-cluster` builds.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use hyper::Method;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::client::JSON;
use super::{Client, Keeper, eventually, free_addresses};

/// Where Culvert is, and as whom it comes, with the name of its ServiceAccount.
pub const SYSTEM: &str = "culvert-system";
/// Tokens, and whose they are.
const TOKENS: &str = r#"admin,admin,admin,"system:masters"
culvert,system:serviceaccount:culvert-system:culvert,culvert,"system:serviceaccounts,system:serviceaccounts:culvert-system"
"#;
/// Who reads which Secret is written down, and nothing else.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata, resources: [{resources: [secrets]}]}, {level: None}]
";

/// Kinds of the Gateway API that Culvert reads.
const KINDS: [&str; 5] = [
    "gatewayclasses",
    "gateways",
    "httproutes",
    "referencegrants",
    "backendtlspolicies",
];

/// What a server has when it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Nothing.
    Bare,
    /// The definitions of the Gateway API, and what an operator applies for Culvert.
    Ready,
}

/// An API server. Dropping it kills it, and whoever was started with its [`Keeper`].
pub struct Server {
    pub keeper: Keeper,
    pub address: SocketAddr,
    client: Client,
    etcd: [SocketAddr; 2],
}

impl Server {
    /// The one of all tests that change nothing of it.
    pub async fn shared() -> Arc<Server> {
        static SERVER: OnceCell<Arc<Server>> = OnceCell::const_new();
        let start = async || Arc::new(Server::start(Setup::Ready).await);
        Arc::clone(SERVER.get_or_init(start).await)
    }

    /// One of a test's own, once it answers.
    pub async fn start(setup: Setup) -> Server {
        let [address, client, peer] = free_addresses();
        let keeper = Keeper::new();
        let authority = certify(&keeper);
        fs::write(keeper.file("tokens.csv"), TOKENS).unwrap();
        fs::write(keeper.file("audit.yaml"), AUDIT).unwrap();
        let server = Server {
            client: Client::new(address, "admin", authority.der().clone()),
            keeper,
            address,
            etcd: [client, peer],
        };
        for token in ["admin", "culvert"] {
            fs::write(server.kubeconfig(token), server.access(token)).unwrap();
        }
        server.run_etcd();
        server.run();
        server.answers().await;
        if setup == Setup::Ready {
            server.define();
            server.grant();
        }
        server
    }

    /// Gives Culvert a namespace, and what it may do.
    pub fn grant(&self) {
        for file in ["00-namespace.yaml", "10-access.yaml"] {
            let file = in_repository(&format!("docs/kubernetes/{file}"));
            self.kubectl(&["apply", "-f", &file]);
        }
    }

    /// Installs the definitions of the Gateway API.
    pub fn define(&self) {
        self.define_only(&KINDS);
    }

    /// Installs the definitions of these kinds of the Gateway API, by their names in lists.
    pub fn define_only(&self, kinds: &[&str]) {
        let folder = programs().join("crds/experimental");
        let file = |kind| folder.join(format!("gateway.networking.k8s.io_{kind}.yaml"));
        let files: Vec<_> = kinds.iter().map(file).collect();
        let mut arguments = vec!["apply", "--server-side"];
        for file in &files {
            arguments.extend(["-f", file.to_str().unwrap()]);
        }
        self.kubectl(&arguments);
        let wait = ["wait", "--for=condition=Established", "crd", "--all"];
        self.kubectl(&[&wait[..], &["--timeout=30s"]].concat());
    }

    fn run_etcd(&self) {
        let [client, peer] = self.etcd.map(|address| format!("http://{address}"));
        let mut command = program("etcd");
        command.args(["--unsafe-no-fsync", "--log-level=warn", "--name=default"]);
        command.arg(format!("--data-dir={}", self.keeper.file("etcd").display()));
        command.arg(format!("--listen-client-urls={client}"));
        command.arg(format!("--advertise-client-urls={client}"));
        command.arg(format!("--listen-peer-urls={peer}"));
        command.arg(format!("--initial-advertise-peer-urls={peer}"));
        command.arg(format!("--initial-cluster=default={peer}"));
        self.keeper.run("etcd", &mut command);
    }

    /// Starts the server, again perhaps.
    pub fn run(&self) {
        let file = |name: &str| self.keeper.file(name).display().to_string();
        let mut command = program("kube-apiserver");
        command.args([
            format!("--etcd-servers=http://{}", self.etcd[0]),
            format!("--bind-address={}", self.address.ip()),
            format!("--advertise-address={}", self.address.ip()),
            format!("--secure-port={}", self.address.port()),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--cert-dir={}", file("")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--service-account-key-file={}", file("accounts.pub")),
            format!(
                "--service-account-signing-key-file={}",
                file("accounts.key")
            ),
            format!("--audit-policy-file={}", file("audit.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
        ]);
        command.args([
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
        ]);
        self.keeper.run("kube-apiserver", &mut command);
    }

    /// Waits until it answers.
    pub async fn answers(&self) {
        eventually("an API server that answers", async || {
            if !self.keeper.runs("kube-apiserver") {
                self.keeper.show("kube-apiserver");
                panic!("the API server ended");
            }
            let answer = self.client.ask(Method::GET, "/readyz", JSON, "").await;
            answer.is_ok_and(|(status, _)| status == 200).then_some(())
        })
        .await;
    }

    /// Kills it; what it knows is in etcd.
    pub fn kill(&self) {
        self.keeper.kill("kube-apiserver");
    }

    /// Stops it where it stands, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        self.keeper.signal("kube-apiserver", signal);
    }

    /// The kubeconfig of whoever has this token.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        self.keeper.file(&format!("{token}.kubeconfig"))
    }

    fn access(&self, token: &str) -> String {
        let authority = self.keeper.file("ca.crt");
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://{}', certificate-authority: {}}}}}]\n\
             users: [{{name: test, user: {{token: {token}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.address,
            authority.display()
        )
    }

    /// What is said to a request of an administrator: its status and its body.
    pub async fn ask(&self, method: Method, path: &str, kind: &str, body: String) -> (u16, Value) {
        self.client.ask(method, path, kind, body).await.unwrap()
    }

    /// What kubectl says to these arguments of an administrator; it must go well.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let (is_done, said) = self.kubectl_as("admin", arguments);
        assert!(is_done, "kubectl {arguments:?}: {said}");
        said
    }

    /// Whether kubectl does what whoever has this token asks it to, and what it says.
    pub fn kubectl_as(&self, token: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = program("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig(token));
        command.arg("--cache-dir").arg(self.keeper.file("cache"));
        let output = command.args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keeper.show("kube-apiserver");
        }
    }
}

/// A file of the repository.
pub fn in_repository(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Where the programs and the definitions are.
fn programs() -> PathBuf {
    let folder = std::env::var_os("CULVERT_TEST_KUBERNETES");
    folder
        .expect("CULVERT_TEST_KUBERNETES: `make test-cluster` sets it")
        .into()
}

/// One of the programs, which are in one file.
fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join("kubernetes"));
    command.arg(name);
    command
}

/// Makes an authority, and what the server needs of it.
fn certify(keeper: &Keeper) -> rcgen::Certificate {
    let write = |name: &str, text: String| fs::write(keeper.file(name), text).unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    write("ca.crt", authority.pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    write("server.crt", params.signed_by(&key, &issuer).unwrap().pem());
    write("server.key", key.serialize_pem());
    let accounts = KeyPair::generate().unwrap();
    write("accounts.key", accounts.serialize_pem());
    write("accounts.pub", accounts.public_key_pem());
    authority
}
