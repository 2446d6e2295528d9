//! What `make install` puts where, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::service::{UNIT, install, make, read, succeeds, text, unit, within};

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
            (
                format!("{prefix}/share/doc/culvert/examples/culvert.yaml"),
                0o644,
            ),
            (
                format!("{prefix}/share/doc/culvert/examples/minimal.yaml"),
                0o644,
            ),
            ("/etc/logrotate.d/culvert".into(), 0o644),
            (format!("{prefix}/lib/systemd/system/{UNIT}"), 0o644),
            (format!("{prefix}/lib/sysusers.d/culvert.conf"), 0o644),
            (format!("{prefix}/lib/tmpfiles.d/culvert.conf"), 0o644),
            (format!("{prefix}/share/man/man1/culvert.1"), 0o644),
            (format!("{prefix}/share/man/man1/culvert-kill.1"), 0o644),
            (
                format!("{prefix}/share/bash-completion/completions/culvert"),
                0o644,
            ),
            (format!("{prefix}/share/zsh/site-functions/_culvert"), 0o644),
            (
                format!("{prefix}/share/fish/vendor_completions.d/culvert.fish"),
                0o644,
            ),
        ] {
            let found = fs::metadata(within(root.path(), &file)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode, "{file}");
        }
        // What is to be served is for the operator to say.
        let live = fs::read_dir(within(root.path(), "/etc/culvert")).unwrap();
        let live: Vec<_> = live.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(live, ["culvert.schema.json"]);
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
