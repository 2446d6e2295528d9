//! What a reload changes of TLS: for new clients alone, and no tunnel notices.

use crate::harness::tls::{HOST, forwarding, s_client};
use crate::harness::{Authority, Config, Edge, Target, eventually};
use crate::tls_relay::shown;

#[tokio::test]
async fn a_reload_shows_a_new_certificate_to_new_clients_and_leaves_tunnels_alone() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("old", &[HOST]);
    authority.issue("new", &[HOST]);
    for end in ["crt", "key"] {
        let file = |name| authority.file(&format!("{name}.{end}"));
        std::fs::copy(file("old"), file("one")).unwrap();
    }
    let configuration = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&configuration).await;
    let names = ["old", "new"];
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    s_client(edge.address, &["-tls1_2", "-sess_out", session]).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    client.say_hi().await;

    // A key that is not the certificate's.
    std::fs::copy(authority.file("new.crt"), authority.file("one.crt")).unwrap();
    edge.signal("HUP");
    let rejected = "config_reloads_total{result=\"rejected\"}";
    let is_rejected = || (edge.metric(rejected) == 1.0).then_some(());
    eventually("it is rejected", is_rejected).await;
    let told = "certificates[0].privateKey: is not the key of the first certificate";
    edge.says(told).await;
    assert_eq!(shown(&edge, &authority, &names, &[]).await, Some("old"));

    std::fs::copy(authority.file("new.key"), authority.file("one.key")).unwrap();
    edge.reload(&configuration).await;
    assert_eq!(shown(&edge, &authority, &names, &[]).await, Some("new"));
    client.say_hi().await;
    let said = s_client(edge.address, &["-tls1_2", "-sess_in", session]).await;
    assert!(said.contains("Reused, TLSv1.2"), "{said}");
    client.leave(1000).await;
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_listener_changes_to_tls_and_back_by_a_reload() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("one", &[HOST]);
    let plain = Config::forwarding_to(&[target.address]);
    let edge = Edge::start(&plain).await;
    let (mut before, _) = edge.tunnel().await;
    edge.reload(&forwarding(&authority, &["one"], "", target.address))
        .await;
    let mut within = authority.tunnel(edge.address, HOST).await;
    edge.reload(&plain).await;
    let (mut after, _) = edge.tunnel().await;
    before.say_hi().await;
    within.say_hi().await;
    after.say_hi().await;
}
