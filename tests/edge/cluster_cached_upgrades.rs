//! An upgrade while the API server is away: what was kept serves on in the new process.

use std::fs;

use crate::harness::{ApiServer, Connection, Edge, Target, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_while_the_server_is_away_goes_on_with_what_was_kept() {
    let (mut server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let config = server.config("one", "cache: FOLDER/cache").upgradable();
    let edge = Edge::start(&config).await;
    server.answers("/chat", "chat").await;
    let cache = edge.folder.path().join("cache");
    eventually("the cache is written", || {
        let text = fs::read_to_string(&cache).ok()?;
        text.contains("endpointslices")
            .then_some(())
            .or(text.contains("EndpointSlice").then_some(()))
    })
    .await;
    let (mut tunnel, _) = Connection::tunnel(server.gateway, "/chat").await;
    server.die();
    edge.says("Lease: ").await;

    let successor = edge.hand_over().await;

    server.answers("/chat", "chat").await;
    tunnel.say_hi().await;
    successor.says("what was kept serves").await;
    // Once it is back its changes serve.
    let other = Target::named("other").await;
    server.put_service("chat", other.address);
    server.come_back().await;
    server.answers("/chat", "other").await;
    tunnel.say_hi().await;
}
