//! An upgrade passes on what a cluster has, or does not happen.

use crate::harness::{ApiServer, Edge, Process, Target, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_serves_on_and_gives_the_leases_to_the_new_process() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = Edge::start(&server.config("one", "").upgradable()).await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    server.tells("httproutes", "chat", "Accepted", "True").await;
    server.is_quiet().await;
    let holder = |name: &str| {
        let lease = server.get("leases", "culvert-system", name);
        lease["spec"]["holderIdentity"].clone()
    };
    let (own, leaders) = ("culvert.dev-gateway.one", "culvert.dev-gateway");
    let (before, writes) = (holder(leaders), server.status_writes());
    let _successor = edge.hand_over().await;
    server.answers("/chat", "chat").await;
    eventually("the new process has both leases", || {
        let now = holder(leaders);
        (now != before && now != "" && now == holder(own)).then_some(())
    })
    .await;
    server.is_quiet().await;
    assert_eq!(server.status_writes(), writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_would_know_nothing_is_refused_and_the_old_process_serves_on() {
    let (mut server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = Edge::start(&server.config("one", "").upgradable()).await;
    server.answers("/chat", "chat").await;
    server.die();
    let mut successor = Process::start(&["-c", edge.file().to_str().unwrap(), "-u"]);
    // It asks for the hand-over itself, or ends before.
    let told = eventually("it ends", || {
        edge.signal("QUIT");
        (!successor.is_running()).then_some(())
    });
    told.await;
    successor.ended().await;
    let said = successor.diagnostics();
    assert!(
        said.contains("nothing is known of what there is to serve"),
        "{said}"
    );
    server.answers("/chat", "chat").await;
    assert_eq!(edge.pid_in_file(), Some(edge.id()));
}
