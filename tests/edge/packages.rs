//! The Debian packages in a fresh system of each Debian that they are for: installed, started by a
//! real service manager, upgraded under open tunnels, purged. The image in a container with nothing
//! else. `make test-packages` makes them of the program that the other tests use.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::edge::{body_of, free_addresses, get_now};
use crate::harness::{Config, Connection, Manager, Process, Target, eventually};
use crate::service::{UNIT, succeeds, text, within};

/// What comes before the system's: the manager is a user's, but what is enabled is the system's.
const SYSTEMCTL: &str = r#"#!/bin/sh
for word; do shift; [ "$word" = --system ] || set -- "$@" "$word"; done
case " $* " in
*" is-enabled "* | *" preset "* | *" enable "* | *" disable "*)
    unset SYSTEMD_UNIT_PATH
    exec /usr/bin/systemctl --root=/ "$@" ;;
esac
exec /usr/bin/systemctl --user "$@"
"#;
/// What a user's manager cannot do, or does elsewhere.
const DROP_IN: &str = "[Service]\nUser=\nGroup=\nPrivateTmp=no\nStandardError=append:/test/log\n";
const FILE: &str = "/etc/culvert/culvert.yaml";
const DRAIN: &str = "drain: {deadline: 1s}";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a system of Debian 12: `make test-packages`"]
async fn a_package_is_installed_upgraded_and_purged_in_debian_12() {
    is_installed_upgraded_and_purged("bookworm").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a system of Debian 13: `make test-packages`"]
async fn a_package_is_installed_upgraded_and_purged_in_debian_13() {
    is_installed_upgraded_and_purged("trixie").await;
}

async fn is_installed_upgraded_and_purged(suite: &str) {
    let Some(system) = System::start(suite).await else {
        return;
    };
    let said = system.install("0.1.0");
    assert!(said.contains(&format!("write {FILE}")), "{said}");
    assert_eq!(system.said("systemctl", &["is-enabled", UNIT]), "enabled");
    // It was started, and had nothing to serve.
    assert_eq!(system.property("ConditionResult"), "no");
    assert_eq!(system.property("ActiveState"), "inactive");
    assert!(!system.has(FILE));
    for example in ["culvert", "minimal"] {
        let file = format!("/usr/share/doc/culvert/examples/{example}.yaml");
        assert!(system.has(&file), "{file}");
    }

    let target = Target::named("target").await;
    let [address, admin] = free_addresses();
    let serve = |server: &str| {
        let config = Config::forwarding_to(&[target.address]).listen(address);
        let config = config.admin(admin).server(server).to_string();
        fs::write(within(system.root(), FILE), config).unwrap();
    };
    serve(&format!(
        "upgradeSocket: /test/run/culvert/upgrade.sock, {DRAIN}"
    ));
    system.said("systemctl", &["start", UNIT]);
    let first = system.property("MainPID");
    let (mut tunnel, _) = Connection::tunnel(address, "/").await;
    tunnel.say_hi().await;

    let said = system.install("0.2.0");
    assert!(said.contains(" serves"), "{said}");
    let second = system.main_process_other_than(&first).await;
    tunnel.say_hi().await;
    assert!(get_now(admin, "/readyz").unwrap().contains(" 200 "));

    // A process that cannot hand over is left alone.
    serve(DRAIN);
    let said = system.install("0.1.0");
    assert!(said.contains("the process that runs goes on"), "{said}");
    assert_eq!(system.property("MainPID"), second);
    system.said("systemctl", &["reload", UNIT]);
    tunnel.say_hi().await;

    system.apt(&["purge", "culvert"]);
    assert!(TcpStream::connect(address).is_err());
    for gone in [
        "/var/log/culvert",
        "/var/lib/culvert",
        "/etc/logrotate.d/culvert",
    ] {
        assert!(!system.has(gone), "{gone}");
    }
    let places = [
        "/usr",
        "/etc/systemd",
        "/var/lib/systemd",
        "-name",
        "*culvert*",
    ];
    assert_eq!(system.said("find", &places), "");
    // What is the operator's, and whose files may be anywhere.
    assert!(system.has(FILE));
    system.said("id", &["culvert"]);
}

#[test]
#[ignore = "needs lintian: `make test-packages`"]
fn lintian_finds_no_error_and_the_symbols_are_in_a_package_of_their_own() {
    let [program, symbols] = ["culvert", "culvert-dbgsym"].map(|name| package(name, "0.1.0"));
    let output = Command::new("lintian")
        .args([&program, &symbols])
        .output()
        .unwrap();
    assert!(!text(&output.stdout).contains("E: "), "{output:?}");
    let contents = succeeds("dpkg-deb", &["--contents", symbols.to_str().unwrap()]);
    assert!(text(&contents.stdout).contains("/usr/lib/debug/.build-id/"));
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().to_str().unwrap();
    succeeds(
        "dpkg-deb",
        &["--extract", program.to_str().unwrap(), folder],
    );
    let binary = root.path().join("usr/bin/culvert");
    let sections = succeeds("readelf", &["-S", binary.to_str().unwrap()]);
    assert!(!text(&sections.stdout).contains(".debug_info"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an image: `make test-packages`"]
async fn an_image_runs_as_a_user_with_nothing_but_what_is_in_it() {
    let file = made("culvert_0.1.0_image.tar");
    for format in ["oci-archive", "docker-archive"] {
        let place = format!("{format}:{}", file.display());
        let told: Value =
            serde_json::from_slice(&succeeds("skopeo", &["inspect", &place]).stdout).unwrap();
        assert_eq!(told["Labels"]["org.opencontainers.image.version"], "0.1.0");
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may enter a container");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let [image, root] = ["image", "root"].map(|name| folder.path().join(name));
    unpack(&file, &image);
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |of: &Value| {
        let digest = of["digest"].as_str().unwrap().replace(':', "/");
        image.join("blobs").join(digest)
    };
    let manifest = read(&blob(&read(&image.join("index.json"))["manifests"][0]));
    let config = &read(&blob(&manifest["config"]))["config"];
    unpack(&blob(&manifest["layers"][0]), &root);
    let shell = Command::new("find")
        .arg(&root)
        .args(["-name", "*sh"])
        .output();
    assert_eq!(text(&shell.unwrap().stdout), "");

    let [address, admin] = free_addresses();
    let served = Config::answering("hello").listen(address).admin(admin);
    fs::write(within(&root, FILE), served.to_string()).unwrap();
    let mut process = Process::of(container(&root, config));
    let page = eventually("it serves", || {
        assert!(process.is_running(), "{}", process.diagnostics());
        get_now(address, "/")
    })
    .await;
    assert!(page.ends_with("hello"), "{page}");
    // Among the few of its own world.
    let status = body_of(&get_now(admin, "/api/v1/status").unwrap());
    assert!(status["pid"].as_u64().unwrap() < 20, "{status}");
}

#[test]
#[ignore = "needs a system of Debian 12: `make test-packages`"]
fn what_the_tests_need_is_told_before_it_is_installed_and_does_not_run() {
    let Some(root) = fresh("bookworm") else {
        return;
    };
    let own = root.path().join("test");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/need");
    fs::copy(script, own.join("need")).unwrap();
    let apt = "#!/bin/sh\nsh /usr/sbin/policy-rc.d nginx start; echo \"$* after $?\"\n";
    program(&own.join("bin/apt-get"), apt);
    let needed = |arguments: &[&str]| {
        let output = Command::new("chroot")
            .arg(root.path())
            .args(["env", "PATH=/test/bin:/usr/bin:/bin", "/test/need"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        [output.stderr, output.stdout].map(|said| text(&said).to_owned())
    };
    assert_eq!(needed(&["cat:coreutils"]), ["", ""]);
    let [told, apt] = needed(&["cat:coreutils", "nginx:nginx", "nowhere:some-client"]);
    assert!(
        told.starts_with("To be installed, from Debian: nginx some-client."),
        "{told}"
    );
    assert!(
        apt.contains("--no-install-recommends nginx some-client after 101"),
        "{apt}"
    );
    let mask = root.path().join("etc/systemd/system/nginx.service");
    assert_eq!(fs::read_link(mask).unwrap(), Path::new("/dev/null"));
    assert!(!root.path().join("usr/sbin/policy-rc.d").exists());
}

/// What runs an image that is unpacked: with processes of its own, and without another file.
fn container(root: &Path, config: &Value) -> Command {
    const ENTER: &str = r#"set -e
        mount --bind "$0" "$0"
        mkdir -p "$0/proc" "$0/dev"
        mount -t proc proc "$0/proc"
        mount --bind /dev "$0/dev"
        chroot --userspec "$1" "$0" "$2" "$3" "$4"
        exit 0"#;
    let words = [
        &config["User"],
        &config["Entrypoint"][0],
        &config["Cmd"][0],
        &config["Cmd"][1],
    ];
    let mut container = Command::new("unshare");
    container
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER,
        ])
        .arg(root)
        .args(words.map(|word| word.as_str().unwrap()));
    container
}

/// A fresh system, with the packages at hand, and its service manager.
struct System(Manager);

impl System {
    async fn start(suite: &str) -> Option<System> {
        let root = fresh(suite)?;
        let own = root.path().join("test");
        program(&own.join("bin/systemctl"), SYSTEMCTL);
        fs::create_dir(own.join(format!("{UNIT}.d"))).unwrap();
        fs::write(own.join(format!("{UNIT}.d/test.conf")), DROP_IN).unwrap();
        let unit = Path::new("/usr/lib/systemd/system").join(UNIT);
        symlink(unit, own.join(UNIT)).unwrap();
        for version in ["0.1.0", "0.2.0"] {
            let there = own.join(format!("{version}.deb"));
            fs::copy(package("culvert", version), there).unwrap();
        }
        Some(System(Manager::start_within(root).await?))
    }

    fn root(&self) -> &Path {
        self.0.folder()
    }

    fn has(&self, path: &str) -> bool {
        within(self.root(), path).symlink_metadata().is_ok()
    }

    fn property(&self, name: &str) -> String {
        self.0.property(UNIT, name)
    }

    async fn main_process_other_than(&self, before: &str) -> String {
        eventually("the service has another main process", || {
            let (main, state) = (self.property("MainPID"), self.property("ActiveState"));
            (main != before && state == "active").then_some(main)
        })
        .await
    }

    /// What a program that must succeed says.
    fn said(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.0.command(program).args(arguments).output().unwrap();
        self.successful(output).trim().to_owned()
    }

    fn install(&self, version: &str) -> String {
        self.apt(&["install", &format!("/test/{version}.deb")])
    }

    fn apt(&self, arguments: &[&str]) -> String {
        let mut apt = self.0.command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-y", "--no-install-recommends", "--allow-downgrades"])
            .args(["-o", "APT::Sandbox::User=root"])
            // The one that it has been given.
            .args(["-o", "DPkg::Path="])
            .args(arguments);
        self.successful(apt.output().unwrap())
    }

    fn successful(&self, output: Output) -> String {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }
}

/// A fresh system, with a folder of the test's own in it. `None`, and a line that says why, where
/// there is none.
fn fresh(suite: &str) -> Option<TempDir> {
    let file = made(&format!("{suite}.tar"));
    if !file.exists() {
        eprintln!("skipped: there is no {}", file.display());
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    // Not only root looks for files in it.
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    unpack(&file, root.path());
    fs::create_dir_all(root.path().join("test/bin")).unwrap();
    Some(root)
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn package(name: &str, version: &str) -> PathBuf {
    let arch = succeeds("dpkg", &["--print-architecture"]);
    let arch = text(&arch.stdout).trim();
    made(&format!("{name}_{version}_{arch}.deb"))
}

/// What `make test-packages` has made.
fn made(name: &str) -> PathBuf {
    let folder = std::env::var_os("CULVERT_TEST_DEBIAN").expect("run `make test-packages`");
    Path::new(&folder).join(name)
}

fn unpack(file: &Path, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let [file, folder] = [file, folder].map(|path| path.to_str().unwrap());
    succeeds("tar", &["-xf", file, "-C", folder]);
}
