//! Culvert as a service: what it tells the manager, what `make install` puts where, and the unit
//! under a real systemd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use culvert::os::systemd;
use tempfile::TempDir;

use crate::harness::edge::{free_addresses, get_now};
use crate::harness::{Config, Manager, PATIENCE, Process, eventually};

const UNIT: &str = "culvert.service";

#[tokio::test]
async fn the_manager_hears_of_readiness_once_readyz_says_so_and_of_the_end_when_it_begins() {
    for signal in ["TERM", "INT"] {
        let (mut process, admin, news) = notifying(&[]);

        assert_eq!(news.next(), "READY=1\n");
        let page = get_now(admin, "/readyz").unwrap();
        assert!(page.contains(" 200 "), "{page}");
        news.until(concat!(
            "STATUS=culvert ",
            env!("CARGO_PKG_VERSION"),
            " serves\n"
        ));

        process.signal(signal);
        news.until("STOPPING=1\nEXTEND_TIMEOUT_USEC=");
        assert!(process.ended().await.success());
    }
}

#[tokio::test]
async fn a_watchdog_hears_that_the_threads_turn_though_the_variables_name_another_process() {
    let watchdog = [("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let (mut process, _, news) = notifying(&watchdog);
    for _ in 0..3 {
        news.until("WATCHDOG=1\n");
    }
    process.signal("TERM");
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn a_manager_that_is_gone_stops_nothing() {
    let (mut process, admin, news) = notifying(&[]);
    news.until("READY=1\n");
    drop(news);
    process.signal("TERM");
    assert!(process.ended().await.success());
    let said = process.diagnostics();
    assert!(
        said.contains("the service manager cannot be told"),
        "{said}"
    );
    assert!(get_now(admin, "/livez").is_none());
}

#[test]
fn a_process_that_has_named_its_successor_is_silent() {
    let news = News::new();
    let alone = ["--exact", "service::an_old_process_speaks", "--ignored"];
    let old = Command::new(std::env::current_exe().unwrap())
        .args(alone)
        .env("NOTIFY_SOCKET", &news.path)
        .output()
        .unwrap();
    assert!(old.status.success(), "{old:?}");
    let reload = news.next();
    let time = reload.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(time.trim_end().parse::<u64>().unwrap() > 0, "{reload}");
    assert_eq!(news.next(), "STATUS=two lines\n");
    assert_eq!(news.next(), "MAINPID=4711\nREADY=1\n");
    assert_eq!(news.now(), None);
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn an_old_process_speaks() {
    systemd::reloading();
    systemd::status("two\nlines");
    systemd::main_process(4711);
    systemd::ready();
    systemd::stopping(Duration::ZERO);
    systemd::status("draining");
}

#[test]
fn an_installation_has_everything_where_the_unit_looks_for_it() {
    let root = tempfile::tempdir().unwrap();
    for (prefix, bin) in [("/usr/local", "/usr/local/bin"), ("/usr", "/usr/bin")] {
        install(root.path(), prefix);
        let unit = read(root.path(), &format!("{prefix}/lib/systemd/system/{UNIT}"));
        let start = format!("\nExecStart={bin}/culvert -c /etc/culvert/culvert.yaml\n");
        assert!(unit.contains(&start), "{unit}");
        for (file, mode) in [
            (format!("{bin}/culvert"), 0o755),
            ("/etc/culvert/culvert.yaml".into(), 0o644),
            ("/etc/logrotate.d/culvert".into(), 0o644),
            (format!("{prefix}/lib/systemd/system/{UNIT}"), 0o644),
            (format!("{prefix}/lib/sysusers.d/culvert.conf"), 0o644),
            (format!("{prefix}/lib/tmpfiles.d/culvert.conf"), 0o644),
        ] {
            let found = fs::metadata(within(root.path(), &file)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode, "{file}");
        }
    }
}

#[test]
fn installing_again_and_uninstalling_leave_the_operators_configuration() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), "/usr/local");
    let own = within(root.path(), "/etc/culvert/culvert.yaml");
    fs::write(&own, "# mine\n").unwrap();
    install(root.path(), "/usr/local");
    make("uninstall", root.path(), "/usr/local");

    assert_eq!(fs::read_to_string(&own).unwrap(), "# mine\n");
    let output = Command::new("find")
        .arg(root.path())
        .args(["-type", "f"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout).trim_end(), own.to_str().unwrap());
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_little_exposed() {
    let (folder, unit) = unit("/usr/local");
    let path = folder.path().join(UNIT);
    fs::write(&path, unit).unwrap();
    let path = path.to_str().unwrap();
    let verified = succeeds("systemd-analyze", &["verify", "--man=no", path]);
    let said = text(&verified.stderr);
    assert!(!said.contains("culvert"), "{said}");
    // In tenths: from 5.0 on systemd speaks of medium exposure.
    succeeds(
        "systemd-analyze",
        &["security", "--offline=true", "--threshold=20", path],
    );
}

#[test]
fn the_user_and_the_folder_of_the_log_are_made() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root may give files away");
    }
    let root = tempfile::tempdir().unwrap();
    install(root.path(), "/usr");
    let option = format!("--root={}", root.path().display());
    succeeds("systemd-sysusers", &[&option, "culvert.conf"]);
    let tmpfiles = ["--create", &option, "culvert.conf"];
    succeeds("systemd-tmpfiles", &tmpfiles);

    let users = read(root.path(), "/etc/passwd");
    let user = users.lines().find(|line| line.starts_with("culvert:"));
    let user = user.unwrap();
    assert!(user.ends_with(":/nonexistent:/usr/sbin/nologin"), "{user}");
    let log = fs::metadata(within(root.path(), "/var/log/culvert")).unwrap();
    assert_eq!(log.permissions().mode() & 0o7777, 0o750);
    let id = std::os::unix::fs::MetadataExt::uid(&log).to_string();
    assert_eq!(user.split(':').nth(2), Some(&*id));
}

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

/// The socket of a service manager.
struct News {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: TempDir,
}

impl News {
    fn new() -> News {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        News {
            socket,
            path,
            _folder: folder,
        }
    }

    /// The next news; waits for it.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("there is news");
        text(&buffer[..length]).to_owned()
    }

    /// Waits for news that begins with this.
    fn until(&self, expected: &str) {
        while !self.next().starts_with(expected) {}
    }

    /// News that is here already.
    fn now(&self) -> Option<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(text(&buffer[..length]).to_owned())
    }
}

/// A process that was told of a manager, its admin address, and what the manager hears.
fn notifying(environment: &[(&str, &str)]) -> (Process, SocketAddr, News) {
    let news = News::new();
    let folder = news.path.parent().unwrap();
    let (path, [address, admin]) = (folder.join("culvert.yaml"), free_addresses());
    fs::write(&path, configuration(address, admin, "")).unwrap();
    let notify = [("NOTIFY_SOCKET", news.path.to_str().unwrap())];
    let environment = [&notify, environment].concat();
    let process = Process::start_in(&environment, &["-c", path.to_str().unwrap()]);
    (process, admin, news)
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

fn configuration(address: SocketAddr, admin: SocketAddr, top: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    Config::answering("hello")
        .top(&format!("admin: {{listen: '{admin}'}}"))
        .top(top)
        .rule(&format!(
            "listenerIp: {ip}, listenerPort: {port}, clientTimeout: 3000"
        ))
        .to_string()
}

/// An installation, and its unit with the paths at which its files really are.
fn unit(prefix: &str) -> (TempDir, String) {
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

fn install(root: &Path, prefix: &str) {
    make("install", root, prefix);
}

fn make(target: &str, root: &Path, prefix: &str) {
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

fn succeeds(program: &str, arguments: &[&str]) -> Output {
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
fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(within(root, path)).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
