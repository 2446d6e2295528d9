//! IONOS' Terraform provider drives Culvert, under OpenTofu: the programs that `make test-clients
//! TOFU=… TF_PROVIDER=…` names, with the configurations in `tests/clients/terraform`.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::api::{Api, BASE, GROUPS};
use crate::harness::story::{TOKEN, nothing, start_with};
use crate::harness::{Connection, Target, eventually};

const DATACENTER: &str = "11111111-1111-4111-8111-111111111111";
/// How long a command may take: each starts the provider, which is large.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a plan says where something differs.
const DIFFERS: i32 = 2;

/// OpenTofu in a folder with a configuration, and the Culvert that this is about.
struct Tofu {
    api: Api,
    target: Target,
    _token: NamedTempFile,
    folder: TempDir,
}

fn program(variable: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| panic!("no {variable}: run `make test-clients`"))
}

impl Tofu {
    /// With a configuration, and one of addresses for IP blocks.
    async fn start(configuration: &str) -> Tofu {
        let (api, _token) = start_with(nothing(), "addresses: [127.0.1.0/29]").await;
        let folder = tempfile::tempdir().unwrap();
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/terraform");
        let main = clients.join(configuration).join("main.tf");
        fs::copy(main, folder.path().join("main.tf")).unwrap();
        let provider = program("CULVERT_TEST_TF_PROVIDER");
        let of_provider = Path::new(&provider).parent().unwrap().display();
        // No registry is asked.
        let settings = format!(
            "provider_installation {{\n  dev_overrides {{\n    \
             \"ionos-cloud/ionoscloud\" = \"{of_provider}\"\n  }}\n  direct {{}}\n}}\n"
        );
        fs::write(folder.path().join("tofurc"), settings).unwrap();
        let target = Target::named("target").await;
        Tofu {
            api,
            target,
            _token,
            folder,
        }
    }

    /// How a command ends, and what it says.
    async fn ends(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
        let mut tofu = Command::new(program("CULVERT_TEST_TOFU"));
        let folder = self.folder.path();
        tofu.current_dir(folder).env_clear().kill_on_drop(true);
        // There may be a configuration in one's home.
        tofu.env("HOME", folder)
            .env("TF_CLI_CONFIG_FILE", folder.join("tofurc"));
        let ports = [self.api.edge.address, self.target.address].map(|one| one.port().to_string());
        let endpoint = format!("http://{}", self.api.address);
        let known = [
            ("endpoint", endpoint.as_str()),
            ("token", TOKEN),
            ("listener_port", &ports[0]),
            ("target_port", &ports[1]),
        ];
        for (name, value) in known.iter().chain(variables) {
            tofu.env(format!("TF_VAR_{name}"), value);
        }
        let output = timeout(PATIENCE, tofu.args(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("no end of {arguments:?}"));
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.code().unwrap(), said.concat())
    }

    /// Applies it with these variables, after which another plan finds nothing to do.
    async fn applies(&self, variables: &[(&str, &str)]) {
        let apply = ["apply", "-no-color", "-auto-approve"];
        let (code, said) = self.ends(&apply, variables).await;
        assert_eq!(code, 0, "{said}");
        let (code, said) = self.plans(variables).await;
        assert_eq!(code, 0, "{said}");
    }

    async fn plans(&self, variables: &[(&str, &str)]) -> (i32, String) {
        let plan = ["plan", "-no-color", "-detailed-exitcode"];
        self.ends(&plan, variables).await
    }

    async fn does(&self, arguments: &[&str]) -> String {
        let (code, said) = self.ends(arguments, &[]).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }

    async fn output(&self, name: &str) -> Value {
        serde_json::from_str(&self.does(&["output", "-json", name]).await).unwrap()
    }

    /// What is at a path of the API, and its status.
    fn asks(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let reply = self
            .api
            .ask(method, path, &[("Authorization", &token)], body);
        (reply.status(), reply.body)
    }

    /// Everything goes.
    async fn destroys(&self) {
        self.does(&["destroy", "-no-color", "-auto-approve"]).await;
        let (_, groups) = self.asks("GET", GROUPS, "");
        assert_eq!(groups["items"], json!([]));
    }
}

#[tokio::test]
#[ignore = "needs OpenTofu and the provider: `make test-clients TOFU=… TF_PROVIDER=…`"]
async fn tunnels_stay_open_while_terraform_changes_what_they_go_through() {
    let tofu = Tofu::start("ids").await;
    tofu.applies(&[]).await;
    let (mut tunnel, _) = tofu.api.tunnel().await;
    let mut made = Vec::new();
    for name in ["group", "balancer", "rule"] {
        made.push(tofu.output(name).await);
    }
    assert_eq!(tofu.output("found").await, json!(made));

    let group = format!("{GROUPS}/{}", made[0].as_str().unwrap());
    let (code, _) = tofu.asks("PATCH", &group, "{\"deregistrationDelay\": 7000}");
    assert_eq!(code, 202);

    for change in [("name", "renamed"), ("weight", "20"), ("upgrades", "[]")] {
        tofu.applies(&[change]).await;
        tunnel.say_hi().await;
    }

    // The provider puts the whole group, without what it does not know.
    let (_, group) = tofu.asks("GET", &group, "");
    assert_eq!(group["properties"]["deregistrationDelay"], 7000);

    assert_eq!(tofu.api.edge.get("/").await.status, 404);
    tofu.destroys().await;
    tunnel.say_hi().await;
    let is_closed = || {
        TcpStream::connect(tofu.api.edge.address)
            .is_err()
            .then_some(())
    };
    eventually("nobody listens any more", is_closed).await;
}

#[tokio::test]
#[ignore = "needs OpenTofu and the provider: `make test-clients TOFU=… TF_PROVIDER=…`"]
async fn terraform_finds_what_others_did_and_is_told_what_cannot_be() {
    let tofu = Tofu::start("ids").await;
    tofu.applies(&[]).await;

    // A rule is deleted behind its back.
    let (balancer, rule) = (tofu.output("balancer").await, tofu.output("rule").await);
    let [balancer, rule] = [&balancer, &rule].map(|id| id.as_str().unwrap());
    let balancers = format!("{BASE}/datacenters/{DATACENTER}/applicationloadbalancers");
    let path = format!("{balancers}/{balancer}/forwardingrules/{rule}");
    assert_eq!(tofu.asks("DELETE", &path, "").0, 202);
    let (code, said) = tofu.plans(&[]).await;
    assert_eq!(code, DIFFERS, "{said}");
    tofu.applies(&[]).await;

    // Another rule is to listen where this one does.
    let apply = ["apply", "-no-color", "-auto-approve"];
    let (code, said) = tofu.ends(&apply, &[("listeners", "2")]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("already used by wss-0"), "{said}");
    tofu.applies(&[]).await;
    tofu.destroys().await;
}

#[tokio::test]
#[ignore = "needs OpenTofu and the provider: `make test-clients TOFU=… TF_PROVIDER=…`"]
async fn terraform_imports_what_is_there() {
    let tofu = Tofu::start("ids").await;
    tofu.applies(&[]).await;
    let mut ids = Vec::new();
    for name in ["group", "balancer", "rule"] {
        ids.push(tofu.output(name).await.as_str().unwrap().to_owned());
    }
    let [group, balancer, rule] = &ids[..] else {
        panic!("{ids:?}")
    };
    for (resource, id) in [
        ("ionoscloud_target_group.chat", group.clone()),
        (
            "ionoscloud_application_loadbalancer.edge",
            format!("{DATACENTER}/{balancer}"),
        ),
        (
            "ionoscloud_application_loadbalancer_forwardingrule.wss[0]",
            format!("{DATACENTER}/{balancer}/{rule}"),
        ),
    ] {
        tofu.does(&["state", "rm", resource]).await;
        tofu.does(&["import", "-no-color", resource, &id]).await;
    }
    let (code, said) = tofu.plans(&[]).await;
    assert_eq!(code, 0, "{said}");
    tofu.destroys().await;
}

#[tokio::test]
#[ignore = "needs OpenTofu and the provider: `make test-clients TOFU=… TF_PROVIDER=…`"]
async fn terraform_manages_what_is_around_a_balancer() {
    let tofu = Tofu::start("managed").await;
    tofu.applies(&[]).await;
    let listener: IpAddr = tofu
        .output("listener")
        .await
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let listener = SocketAddr::from((listener, tofu.api.edge.address.port()));
    let (mut tunnel, _) = Connection::tunnel(listener, "/chat").await;
    tofu.applies(&[("name", "renamed")]).await;
    tunnel.say_hi().await;
    tofu.destroys().await;
    for kind in ["datacenters", "ipblocks"] {
        let (_, left) = tofu.asks("GET", &format!("{BASE}/{kind}"), "");
        assert_eq!(left["items"], json!([]), "{kind}");
    }
}
