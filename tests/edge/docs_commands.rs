//! Every command that the pages show works, against a running process. Those that would change
//! this machine say that they are not run, and are at least read by a shell.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::docs::{Block, blocks_of};
use crate::harness::edge::free_addresses;
use crate::harness::{Authority, Config, Edge};

/// What the commands in the pages talk to, and where its certificate is, and its token.
struct Commands {
    edge: Edge,
    authority: Authority,
    api: SocketAddr,
}

async fn start() -> Commands {
    let authority = Authority::new();
    authority.issue("any", &["example.com"]);
    let rules = "{name: old, type: STATIC, responseMessage: gone,
            conditions: [{type: PATH, condition: STARTS_WITH, value: /old}]},
        {name: chat, type: FORWARD, targetGroup: chat-servers}";
    let token = authority.file("api.token");
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let [api] = free_addresses();
    let config = Config::new()
        .api(api, &format!("tokenFile: {}", token.display()))
        .server("upgradeSocket: FOLDER/upgrade.sock, drain: {deadline: 1s}")
        .rule("name: public")
        .tls(&authority, &["any"])
        .http_rules(rules)
        .add_group("chat-servers")
        .target(
            "10.0.0.7:9001".parse().unwrap(),
            "healthCheckEnabled: false",
        );
    Commands {
        edge: Edge::start(&config).await,
        authority,
        api,
    }
}

/// Makes are dry; whoever asks to be root is left as they are.
const BEFORE: &str = "make() { command make --dry-run -C \"$REPOSITORY\" \"$@\" >/dev/null; }
sudo() { \"$@\"; }
cd \"$ROOT\"\n";

/// Runs a script with our paths and addresses in place of those in the pages.
fn shell(commands: &Commands, script: &str) -> Output {
    let Commands {
        edge,
        authority,
        api,
    } = commands;
    let [listener] = free_addresses();
    let root = edge.folder.path();
    let programs = root.join("bin");
    if !programs.exists() {
        std::fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_culvert"), programs.join("culvert")).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let script = script
        .replace("/etc/culvert/culvert.yaml", edge.file().to_str().unwrap())
        .replace(
            "/etc/culvert/api.token",
            authority.file("api.token").to_str().unwrap(),
        )
        .replace("127.0.0.1:9901", &api.to_string())
        .replace(
            "\"listenerPort\": 8000",
            &format!("\"listenerPort\": {}", listener.port()),
        )
        .replace("127.0.0.1:9900", &edge.admin.to_string())
        .replace(" grafana/", " \"$REPOSITORY\"/grafana/")
        .replace(" /etc/", " \"$ROOT\"/etc/")
        .replace(" /var/", " \"$ROOT\"/var/");
    Command::new("sh")
        .args(["-e", "-c", &format!("{BEFORE}{script}")])
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("ROOT", root)
        .env("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap()
}

#[tokio::test]
async fn every_command_in_the_pages_works() {
    for block in blocks_of("sh") {
        let commands = start().await;
        for folder in ["etc/grafana", "var/backups"] {
            std::fs::create_dir_all(commands.edge.folder.path().join(folder)).unwrap();
        }
        let output = shell(&commands, &block.text);
        assert!(output.status.success(), "{}: {output:?}", block.place);
    }
}

#[tokio::test]
async fn a_command_that_does_not_work_would_be_noticed() {
    let commands = start().await;
    for wrong in [
        "culvert -c /etc/culvert/culvert.yaml state",
        "make no-such-target",
        "curl -sf http://127.0.0.1:9900/no-such-page",
    ] {
        assert!(!shell(&commands, wrong).status.success(), "{wrong}");
    }
}

#[tokio::test]
async fn what_the_pages_show_of_a_session_is_what_it_says() {
    let blocks = blocks_of("console");
    assert!(!blocks.is_empty());
    for block in blocks {
        let commands = start().await;
        let mut said = String::new();
        for line in block.text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                let output = shell(&commands, command);
                said += &format!("{line}\n");
                said += std::str::from_utf8(&output.stdout).unwrap();
                said += std::str::from_utf8(&output.stderr).unwrap();
            }
        }
        assert_eq!(said, block.text, "{}", block.place);
    }
}

#[test]
fn what_is_not_run_can_at_least_be_read_by_a_shell() {
    for block in blocks_of("sh not-run") {
        assert!(is_shell(&block), "{}", block.place);
    }
    let unreadable = Block {
        place: String::new(),
        info: String::new(),
        text: "for x in; done".to_owned(),
    };
    assert!(!is_shell(&unreadable));
}

fn is_shell(block: &Block) -> bool {
    let mut shell = Command::new("sh");
    let read = shell
        .args(["-n", "-c", &block.text])
        .current_dir(Path::new("/"));
    read.output().unwrap().status.success()
}
