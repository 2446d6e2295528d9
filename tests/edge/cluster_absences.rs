//! A server that says for a moment that it does not have a kind, or that what it has is too old.

use crate::harness::edge::get_now;
use crate::harness::{ApiServer, Target, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_not_there_for_a_moment_keeps_its_objects_and_one_that_is_gone_does_not() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    server.install("httproutes", false);
    server.cut_streams();
    edge.says("HTTPRoute: ").await;
    let answer = get_now(server.gateway, "/chat").unwrap();
    assert!(answer.ends_with("chat"), "{answer}");
    server.install("httproutes", true);
    eventually("it is read again", || {
        let answer = get_now(server.gateway, "/chat").unwrap();
        assert!(answer.ends_with("chat"), "{answer}");
        let said = edge.diagnostics();
        said.contains("HTTPRoute: read again").then_some(())
    })
    .await;
    server.install("httproutes", false);
    server.cut_streams();
    edge.says("the server has no HTTPRoute").await;
    eventually("the routes have gone", || {
        let answer = get_now(server.gateway, "/chat")?;
        answer.contains(" 404 ").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_too_old_each_time_are_asked_for_less_and_less_often() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let _edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    // Until then a lease is renewed with each status that is written.
    server.is_quiet().await;
    let renewals = || {
        server
            .requests(|one| one.plural == "leases" && one.method == "PATCH")
            .len()
    };
    let lists = || {
        server
            .requests(|one| one.plural == "services" && one.is_list())
            .len()
    };
    server.expire_streams(true);
    let (asked, renewed) = (lists(), renewals());
    // A lease is renewed every five seconds.
    eventually("ten seconds", || (renewals() >= renewed + 2).then_some(())).await;
    let asked = lists() - asked;
    assert!((2..12).contains(&asked), "{asked} lists");
    server.expire_streams(false);
    let other = Target::named("other").await;
    server.put_service("chat", other.address);
    server.answers("/chat", "other").await;
}
