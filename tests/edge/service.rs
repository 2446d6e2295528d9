//! Culvert as a service, under a real systemd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::edge::{free_addresses, get_now};
use crate::harness::{Config, Manager, eventually};

pub const UNIT: &str = "culvert.service";

#[tokio::test]
async fn a_service_starts_when_it_is_ready_reloads_only_what_is_valid_and_stops() {
    let Some(service) = Service::start("").await else {
        return;
    };
    eventually("a line for systemctl status", || {
        let status = service.property("StatusText");
        status.ends_with(" serves").then_some(())
    })
    .await;
    assert_eq!(service.property("ActiveState"), "active");
    assert!(service.page("/readyz").contains(" 200 "));
    let main = service.property("MainPID");

    service.manager.does(&["reload", UNIT]);
    fs::write(&service.configuration, "forwardingRules: []\n").unwrap();
    let refused = service.manager.systemctl(&["reload", UNIT]);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(service.property("ActiveState"), "active");
    assert_eq!(service.property("MainPID"), main);
    assert!(service.page("/readyz").contains(" 200 "));

    service.manager.does(&["stop", UNIT]);
    assert_eq!(service.property("Result"), "success");
    assert!(get_now(service.admin, "/livez").is_none());
}

#[tokio::test]
async fn an_upgraded_process_is_the_services_main_one_and_the_end_reaches_both() {
    let Some(service) = Service::start("").await else {
        return;
    };
    let old = service.property("MainPID");
    let mut slow = TcpStream::connect(service.address).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    service.has_one_connection().await;

    service.upgrade();

    let new = eventually("the manager has another main process", || {
        let main = service.property("MainPID");
        (main != old && service.property("ActiveState") == "active").then_some(main)
    })
    .await;
    let pid = format!("\"pid\":{new}");
    let serves = || service.page("/api/v1/status").contains(&pid).then_some(());
    eventually("it serves", serves).await;
    let parent = fs::read_to_string(format!("/proc/{new}/stat")).unwrap();
    let parent = parent
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap();
    assert_ne!(parent, old, "a child of the manager");
    eventually("a line for systemctl status of the new process", || {
        let status = service.property("StatusText");
        status.ends_with(" serves").then_some(())
    })
    .await;
    slow.write_all(b"Host: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");

    let mut slow = TcpStream::connect(service.address).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    service.has_one_connection().await;
    service.upgrade();
    service.manager.does(&["stop", UNIT]);
    assert_eq!(service.property("Result"), "success");
    for pid in [&old, &new, &service.property("MainPID")] {
        let is_gone = || (pid == "0" || !Path::new("/proc").join(pid).exists()).then_some(());
        eventually(&format!("{pid} is gone"), is_gone).await;
    }
}

#[tokio::test]
async fn a_drain_may_take_longer_than_the_unit_allows() {
    let Some(service) = Service::start("TimeoutStopSec=1s").await else {
        return;
    };
    let mut slow = TcpStream::connect(service.address).unwrap();
    slow.write_all(b"GET / ").unwrap();
    service.has_one_connection().await;
    let began = Instant::now();
    service.manager.does(&["stop", UNIT]);
    assert_eq!(service.property("Result"), "success");
    assert!(began.elapsed() > Duration::from_millis(1500));
}

#[tokio::test]
async fn a_service_that_no_longer_turns_is_started_again() {
    let Some(service) = Service::start("WatchdogSec=2s").await else {
        return;
    };
    let main = service.property("MainPID");
    succeeds("kill", &["-STOP", &main]);
    eventually("another process serves", || {
        let replaced = ![&*main, "0"].contains(&&*service.property("MainPID"));
        (replaced && service.property("ActiveState") == "active").then_some(())
    })
    .await;
    assert!(service.page("/readyz").contains(" 200 "));
}

#[tokio::test]
async fn a_client_that_comes_after_a_crash_waits_for_the_next_process() {
    let Some(service) = Service::start("").await else {
        return;
    };
    for _ in 0..2 {
        service.keeps_one_socket().await;
        service.main_process_dies().await;
        // Nobody is there.
        let page = get_now(service.address, "/").expect("it is not refused");
        assert!(page.ends_with("hello"), "{page}");
        // The socket of a process that has taken over is kept, too.
        service.upgrade();
    }
    service.keeps_one_socket().await;
    service.manager.does(&["stop", UNIT]);
    assert!(get_now(service.address, "/").is_none());
}

#[tokio::test]
async fn nobody_waits_for_a_service_that_cannot_start() {
    let Some(service) = Service::start("").await else {
        return;
    };
    service.keeps_one_socket().await;
    let valid = fs::read_to_string(&service.configuration).unwrap();
    fs::write(&service.configuration, "forwardingRules: 1\n").unwrap();
    service.main_process_dies().await;
    let is_refused = || TcpStream::connect(service.address).err();
    eventually("clients are refused", is_refused).await;
    fs::write(&service.configuration, valid).unwrap();
    eventually("it serves", || get_now(service.address, "/")).await;
}

#[tokio::test]
async fn the_log_is_rotated_while_the_service_runs() {
    let Some(service) = Service::start("").await else {
        return;
    };
    let log = service.log.join("access.log");
    get_now(service.address, "/before").unwrap();
    holds(&log, "/before").await;

    service.rotate();

    eventually("a new file", || log.exists().then_some(())).await;
    get_now(service.address, "/after").unwrap();
    holds(&log, "/after").await;
    holds(&service.log.join("access.log.1"), "/before").await;
}

/// Culvert, installed, and started by a manager as the unit says; but its user, and a folder for
/// temporary files, in which the whole installation is.
struct Service {
    manager: Manager,
    configuration: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Service {
    /// Starts it, with this line put into the unit.
    async fn start(line: &str) -> Option<Service> {
        let (folder, unit) = unit("/usr/local");
        let place = folder.path().to_owned();
        fs::write(place.join(UNIT), unit).unwrap();
        let drop_in = place.join(format!("{UNIT}.d"));
        fs::create_dir(&drop_in).unwrap();
        let changes = format!(
            "[Service]\nUser=\nGroup=\nPrivateTmp=no\nStandardError=append:{}\n{line}\n",
            place.join("culvert.log").display()
        );
        fs::write(drop_in.join("test.conf"), changes).unwrap();
        let log = place.join("config/log/culvert");
        let [address, admin] = free_addresses();
        let path = within(&place, "/etc/culvert/culvert.yaml");
        let settings = format!(
            "accessLog: {{path: {}}}, server: {{upgradeSocket: {}}}",
            log.join("access.log").display(),
            place.join("run/culvert/upgrade.sock").display()
        );
        fs::write(&path, configuration(address, admin, &settings)).unwrap();
        let service = Service {
            manager: Manager::start(folder).await?,
            configuration: path,
            log,
            address,
            admin,
        };
        service.manager.does(&["start", UNIT]);
        Some(service)
    }

    fn property(&self, name: &str) -> String {
        self.manager.property(UNIT, name)
    }

    fn page(&self, path: &str) -> String {
        get_now(self.admin, path).expect("the admin address answers")
    }

    async fn has_one_connection(&self) {
        eventually("the connection", || {
            let metrics = self.page("/metrics");
            let open = "culvert_connections_active{forwarding_rule=\"edge\"} 1\n";
            metrics.contains(open).then_some(())
        })
        .await;
    }

    async fn keeps_one_socket(&self) {
        eventually("the manager keeps the socket", || {
            let is_active = self.property("ActiveState") == "active";
            let kept = self.property("NFileDescriptorStore");
            (is_active && kept == "1").then_some(())
        })
        .await;
    }

    /// Kills the main process, and waits until it is gone.
    async fn main_process_dies(&self) {
        let main = self.property("MainPID");
        succeeds("kill", &["-KILL", &main]);
        let is_gone = || (self.property("MainPID") != main).then_some(());
        eventually("it is dead", is_gone).await;
    }

    fn upgrade(&self) {
        let program = within(self.manager.folder(), "/usr/local/bin/culvert");
        let mut upgrade = self.manager.command(program.to_str().unwrap());
        let upgrade = upgrade.arg("-c").arg(&self.configuration).arg("upgrade");
        let output = upgrade.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Runs logrotate as it is installed, on the log that this manager's service writes.
    fn rotate(&self) {
        let folder = self.manager.folder();
        let rules = read(folder, "/etc/logrotate.d/culvert")
            .replace("/var/log/culvert", self.log.to_str().unwrap())
            .replace("su culvert culvert", "su root root")
            .replace("systemctl ", "systemctl --user ");
        let (path, state) = (folder.join("logrotate"), folder.join("state"));
        fs::write(&path, rules).unwrap();
        let mut logrotate = self.manager.command("logrotate");
        let output = logrotate
            .args(["--force", "--state"])
            .args([state, path])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

pub fn configuration(address: SocketAddr, admin: SocketAddr, top: &str) -> String {
    Config::answering("hello")
        .listen(address)
        .admin(admin)
        .top(top)
        .rule("clientTimeout: 3000")
        .to_string()
}

/// An installation, and its unit with the paths at which its files really are.
pub fn unit(prefix: &str) -> (TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), prefix);
    let here = root.path().display();
    let unit = read(root.path(), &format!("{prefix}/lib/systemd/system/{UNIT}"))
        .replace(
            &format!("{prefix}/bin/culvert"),
            &format!("{here}{prefix}/bin/culvert"),
        )
        .replace("/etc/culvert/", &format!("{here}/etc/culvert/"));
    (root, unit)
}

pub fn install(root: &Path, prefix: &str) {
    make("install", root, prefix);
}

pub fn make(target: &str, root: &Path, prefix: &str) {
    let output = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("MAKEFLAGS")
        .arg(target)
        .arg(format!("DESTDIR={}", root.display()))
        .arg(format!("PREFIX={prefix}"))
        .arg(concat!("BINARY=", env!("CARGO_BIN_EXE_culvert")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

pub fn succeeds(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    output
}

/// Waits until a file holds this.
async fn holds(file: &Path, expected: &str) {
    eventually(&format!("{expected} in {}", file.display()), || {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.contains(expected).then_some(())
    })
    .await;
}

/// Where an absolute path is below a folder.
pub fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

pub fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(within(root, path)).unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
