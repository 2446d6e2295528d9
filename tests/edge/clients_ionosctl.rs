//! ionosctl drives Culvert: the program that `make test-clients IONOSCTL=…` names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::process::Command;

use crate::harness::api::Api;
use crate::harness::story::{TOKEN, nothing, start_with};
use crate::harness::{Target, soon};

const DATACENTER: &str = "11111111-1111-4111-8111-111111111111";
/// After a look that finds something undone ionosctl waits for this long.
const BEFORE_ANOTHER_LOOK: Duration = Duration::from_secs(5);

/// ionosctl, and the Culvert that it is told of.
struct Ionosctl {
    api: Api,
    _token: NamedTempFile,
    /// There may be a configuration in one's home.
    home: TempDir,
}

impl Ionosctl {
    async fn start() -> Ionosctl {
        let (api, _token) = start_with(nothing(), "addresses: [203.0.113.0/28]").await;
        let home = tempfile::tempdir().unwrap();
        Ionosctl { api, _token, home }
    }

    /// What becomes of a command, whose words are parted by spaces: whether it went well, and what
    /// was said.
    async fn tries(&self, command: &str) -> (bool, String) {
        let program = std::env::var_os("CULVERT_TEST_IONOSCTL").expect("run `make test-clients`");
        let mut ionosctl = Command::new(program);
        ionosctl.env_clear().env("HOME", self.home.path());
        ionosctl.env("IONOS_API_URL", format!("http://{}", self.api.address));
        ionosctl.env("IONOS_TOKEN", TOKEN);
        ionosctl.args(command.split_whitespace());
        let output = soon(command, ionosctl.output()).await.unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (output.status.success(), format!("{out}{err}"))
    }

    /// What a command shows, in the API's own words.
    async fn shows(&self, command: &str) -> Value {
        let since = Instant::now();
        let (is_done, said) = self.tries(&format!("{command} --output api-json")).await;
        assert!(is_done, "{command}: {said}");
        assert!(since.elapsed() < BEFORE_ANOTHER_LOOK, "{command}: {said}");
        let start = said
            .find(['{', '['])
            .unwrap_or_else(|| panic!("{command}: {said}"));
        let mut values = serde_json::Deserializer::from_str(&said[start..]).into_iter();
        values.next().expect("a value").expect("JSON")
    }

    /// Does what shows nothing.
    async fn does(&self, command: &str) {
        let since = Instant::now();
        let (is_done, said) = self.tries(&format!("{command} --force")).await;
        assert!(is_done, "{command}: {said}");
        assert!(since.elapsed() < BEFORE_ANOTHER_LOOK, "{command}: {said}");
    }
}

fn id(shown: &Value) -> String {
    shown["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{shown}"))
        .to_owned()
}

/// What it makes: a group, a balancer and a rule, without targets and HTTP rules; each in the words
/// that name it.
async fn make(ionosctl: &Ionosctl) -> [String; 3] {
    let group = "compute targetgroup create --name chat --algorithm ROUND_ROBIN --protocol HTTP";
    let group = id(&ionosctl.shows(&format!("{group} --wait")).await);
    let balancer = "compute alb create --name edge --ips 127.0.0.1 --datacenter-id";
    let balancer = id(&ionosctl
        .shows(&format!("{balancer} {DATACENTER} --wait"))
        .await);
    let balancer = format!("--datacenter-id {DATACENTER} --applicationloadbalancer-id {balancer}");
    let port = ionosctl.api.edge.address.port();
    let rule = format!("--listener-ip 127.0.0.1 --listener-port {port} --name wss");
    let rule = format!("compute alb rule create {balancer} {rule} --wait");
    let rule = id(&ionosctl.shows(&rule).await);
    [
        group,
        balancer.clone(),
        format!("{balancer} --rule-id {rule}"),
    ]
}

#[tokio::test]
#[ignore = "needs ionosctl: `make test-clients IONOSCTL=…`"]
async fn ionosctl_makes_and_removes_what_a_websocket_goes_through() {
    let (ionosctl, target) = (Ionosctl::start().await, Target::named("target").await);
    let [group, balancer, rule] = make(&ionosctl).await;
    let target = format!("--ip 127.0.0.1 --port {}", target.address.port());
    let group_words = format!("--targetgroup-id {group}");
    let added = format!("compute targetgroup target add {group_words} {target} --wait");
    ionosctl.shows(&added).await;
    let forward =
        "--name upgrades --type FORWARD --condition-key Upgrade --condition-value websocket";
    let add = format!("compute alb rule httprule add {rule} {forward} {group_words} --wait");
    ionosctl.shows(&add).await;
    let (mut tunnel, _) = ionosctl.api.tunnel().await;
    tunnel.say_hi().await;

    let update = format!("compute targetgroup update {group_words} --retries 5 --name renamed");
    let updated = &ionosctl.shows(&format!("{update} --wait")).await["properties"];
    assert_eq!(
        (&updated["name"], &updated["healthCheck"]["retries"]),
        (&"renamed".into(), &5.into())
    );
    let removed = format!("compute alb rule httprule remove {rule} --name upgrades");
    ionosctl.does(&format!("{removed} --wait")).await;
    assert_eq!(ionosctl.api.edge.get("/").await.status, 404);
    let removed = format!("compute targetgroup target remove {group_words} {target}");
    ionosctl.does(&format!("{removed} --wait")).await;
    tunnel.say_hi().await;

    ionosctl
        .does(&format!("compute alb rule delete {rule} --wait"))
        .await;
    ionosctl
        .does(&format!("compute alb delete {balancer} --wait"))
        .await;
    ionosctl
        .does("compute targetgroup delete --all --wait")
        .await;
    assert_eq!(
        ionosctl.shows("compute targetgroup list").await["items"],
        json!([])
    );
}

#[tokio::test]
#[ignore = "needs ionosctl: `make test-clients IONOSCTL=…`"]
async fn ionosctl_lists_what_there_is_and_removes_all_of_it() {
    let ionosctl = Ionosctl::start().await;
    let [group, balancer, rule] = make(&ionosctl).await;
    let all = ionosctl
        .shows("compute alb list --all --filters listenerlan=2")
        .await;
    assert!(all.to_string().contains("\"edge\""), "{all}");
    let rules = ionosctl
        .shows(&format!("compute alb rule list {balancer}"))
        .await;
    assert_eq!(rules["items"][0]["properties"]["name"], "wss");
    for lists in [
        format!("compute targetgroup target list --targetgroup-id {group}"),
        format!("compute alb rule httprule list {rule}"),
    ] {
        let (is_done, said) = ionosctl.tries(&lists).await;
        assert!(is_done, "{lists}: {said}");
    }

    // With a key the type of a cookie's condition is COOKIES.
    let cookie = "--name old --type STATIC --status-code 503 --condition-type COOKIES \
        --condition-key session --condition-value old";
    let add = format!("compute alb rule httprule add {rule} {cookie} --wait");
    ionosctl.shows(&add).await;
    let target = "--ip 10.0.0.7 --port 8080 --wait";
    let add = format!("compute targetgroup target add --targetgroup-id {group} {target}");
    ionosctl.shows(&add).await;
    ionosctl
        .does(&format!(
            "compute alb rule httprule remove {rule} --all --wait"
        ))
        .await;
    let remove = format!("compute targetgroup target remove --targetgroup-id {group} --all --wait");
    ionosctl.does(&remove).await;

    let newest = ionosctl.shows("compute request list").await["items"][0].clone();
    assert_eq!(
        newest["metadata"]["requestStatus"]["metadata"]["status"],
        "DONE"
    );
    ionosctl
        .does(&format!(
            "compute request wait --request-id {}",
            id(&newest)
        ))
        .await;
    let unknown = format!("compute targetgroup delete --targetgroup-id {DATACENTER} --force");
    let (is_done, said) = ionosctl.tries(&unknown).await;
    assert!(!is_done && said.contains("does not exist"), "{said}");
}

#[tokio::test]
#[ignore = "needs ionosctl: `make test-clients IONOSCTL=…`"]
async fn ionosctl_makes_and_removes_what_is_around_a_balancer() {
    let ionosctl = Ionosctl::start().await;
    let datacenter = "compute datacenter create --name dc --location de/txl --wait";
    let datacenter = format!("--datacenter-id {}", id(&ionosctl.shows(datacenter).await));
    for lan in ["--name public --public", ""] {
        let lan = format!("compute lan create {datacenter} {lan} --wait");
        ionosctl.shows(&lan).await;
    }
    let block = "compute ipblock create --location de/txl --size 1 --name public --wait";
    let block = ionosctl.shows(block).await;
    let ip = block["properties"]["ips"][0].as_str().unwrap();
    let lans = "--listener-lan 1 --target-lan 2 --private-ips 10.20.30.40/24";
    let balancer = format!("compute alb create {datacenter} --ips {ip} {lans} --wait");
    let balancer = id(&ionosctl.shows(&balancer).await);
    let balancer = format!("{datacenter} --applicationloadbalancer-id {balancer}");
    let flow_log = "--name flows --action ALL --direction INGRESS --s3bucket bucket --wait";
    ionosctl
        .shows(&format!("compute alb flowlog create {balancer} {flow_log}"))
        .await;

    let lan = format!("compute lan delete {datacenter} --lan-id 1 --force");
    let (is_done, said) = ionosctl.tries(&lan).await;
    assert!(
        !is_done && said.contains("is delete-protected by"),
        "{said}"
    );
    ionosctl
        .does(&format!("compute alb delete {balancer} --wait"))
        .await;
    ionosctl
        .does(&format!("compute lan delete {datacenter} --all --wait"))
        .await;
    ionosctl
        .does(&format!("compute datacenter delete {datacenter} --wait"))
        .await;
    ionosctl.does("compute ipblock delete --all --wait").await;

    for (command, expected) in [("location list", "de/txl"), ("contract get", "culvert")] {
        let (_, said) = ionosctl.tries(&format!("compute {command}")).await;
        assert!(said.contains(expected), "{said}");
    }
}
