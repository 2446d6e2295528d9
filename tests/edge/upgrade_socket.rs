//! The socket over which one process takes over from another, and SIGQUIT, which begins it too.

use std::path::Path;

use crate::harness::edge::{free_addresses, get_now};
use crate::harness::{Config, Edge, Process, Target, eventually};
use crate::upgrade::{LONG, Lineage, configuration};

#[tokio::test]
async fn a_new_process_may_have_another_upgrade_socket() {
    let lineage = Lineage::start(LONG).await;
    let clients = lineage.edge.tunnels(3).await;
    let moved =
        configuration("second", LONG, &lineage.target).server("upgradeSocket: FOLDER/moved.sock");
    lineage.edge.configure(&moved);
    let before = lineage.edge.folder.path().join("upgrade.sock");
    let before = before.to_str().unwrap().to_owned();
    let (code, said) = lineage.upgrade(&["--socket", &before]).await;
    assert_eq!(code, Some(0), "{said}");
    let open = || lineage.edge.tunnels_active(lineage.target.address) == 3.0;
    eventually("the old one reports to the new place", || {
        open().then_some(())
    })
    .await;
    let is_gone = || (!Path::new(&before).exists()).then_some(());
    eventually("the old socket is gone", is_gone).await;
    drop(clients);
}

#[tokio::test]
async fn a_process_started_with_u_waits_for_sigquit_to_the_old_one() {
    let mut lineage = Lineage::start(LONG).await;
    let mut client = lineage.edge.tunnels(1).await.remove(0);
    lineage.prepare("second");
    let file = lineage.edge.file();
    let mut early = Process::start(&["-c", file.to_str().unwrap(), "-u"]);
    for _ in 0..100 {
        assert_eq!(lineage.edge.get("/").await.text(), "first");
    }
    assert!(early.is_running(), "{}", early.diagnostics());
    drop(early);

    let mut successor = lineage.edge.hand_over().await;

    let serves = || {
        get_now(lineage.edge.address, "/")?
            .ends_with("second")
            .then_some(())
    };
    eventually("the new one serves", serves).await;
    assert_eq!(lineage.edge.exited().await.code(), Some(0));
    assert!(successor.is_running());
    client.say_hi().await;
    client.leave(1000).await;
    assert_eq!(lineage.edge.get("/").await.text(), "second");
    assert_eq!(lineage.edge.pid_in_file(), Some(successor.id()));
    successor.signal("TERM");
    assert_eq!(successor.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigquit_without_a_waiting_process_changes_nothing_but_an_error_line() {
    let target = Target::named("first").await;
    let without_socket = Config::forwarding_to(&[target.address]);
    for configuration in [without_socket, configuration("first", LONG, &target)] {
        let mut edge = Edge::start(&configuration).await;
        let mut client = edge.tunnels(1).await.remove(0);
        for errors in 1..=2 {
            edge.signal("QUIT");
            let is_told = || (edge.errors_about("SIGQUIT") == errors).then_some(());
            eventually("an error line", is_told).await;
            assert_eq!(edge.get("/").await.text(), "first");
            client.say_hi().await;
            assert!(edge.is_running());
            assert!(edge.admin_page("/readyz").contains(" 200 "));
            assert_eq!(edge.metric("draining"), 0.0);
        }
    }
}

#[tokio::test]
async fn a_second_ordinary_start_on_the_same_socket_is_refused() {
    let lineage = Lineage::start(LONG).await;
    let folder = lineage.edge.folder.path();
    // Other ports, so that nothing but the socket is in the way.
    let [listen, admin] = free_addresses();
    let other = configuration("other", LONG, &lineage.target)
        .server("pidFile: FOLDER/other.pid")
        .admin(admin)
        .listen(listen)
        .to_string()
        .replace("FOLDER", folder.to_str().unwrap());
    std::fs::write(folder.join("other.yaml"), other).unwrap();

    let other = folder.join("other.yaml");
    let mut second = Process::start(&["-c", other.to_str().unwrap()]);

    assert_eq!(second.ended().await.code(), Some(1));
    let said = second.diagnostics();
    assert!(said.contains("upgrade.sock"), "{said}");
    assert_eq!(get_now(listen, "/"), None);
    lineage.nothing_changed().await;
    lineage.succeeds("second").await;
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_does_not_hinder_a_start() {
    let mut lineage = Lineage::start(LONG).await;
    lineage.edge.signal("KILL");
    lineage.edge.exited().await;
    let file = lineage.edge.file();
    let next = Process::start(&["-c", file.to_str().unwrap()]);
    let is_ready = || get_now(lineage.edge.admin, "/readyz").filter(|page| page.contains(" 200 "));
    eventually("the next one is ready", is_ready).await;
    lineage.edge.pid_file_names(next.id()).await;
    lineage.succeeds("second").await;
}
