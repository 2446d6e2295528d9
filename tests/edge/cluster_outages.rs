//! What changed while a server was away, or while its streams were broken, is used soon after, and
//! it is not asked all the time.

use serde_json::json;

use crate::harness::api_server::{object, route};
use crate::harness::edge::get_now;
use crate::harness::{ApiServer, Edge, Target, eventually};

/// A server and a node, for which `/a` leads to the first target, and targets to change to.
struct Stage {
    server: ApiServer,
    edge: Edge,
    targets: [Target; 2],
}

impl Stage {
    async fn set() -> Stage {
        let server = ApiServer::start().await;
        let targets = [Target::named("one").await, Target::named("other").await];
        server.serve("a", targets[0].address);
        let edge = server.node("one").await;
        server.answers("/a", "one").await;
        Stage {
            server,
            edge,
            targets,
        }
    }

    /// Changes the endpoint and adds a route.
    fn change(&self) {
        self.server.put_service("a", self.targets[1].address);
        self.server.put("httproutes", route("new", "/new", "a"));
    }

    async fn is_changed(&self) {
        self.server.answers("/a", "other").await;
        self.server.answers("/new", "other").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_in_the_middle_of_a_line_goes_on() {
    let stage = Stage::set().await;
    for plural in ["endpointslices", "httproutes"] {
        stage.server.refuse("GET", plural, 500);
    }
    stage.server.cut_streams();
    stage.edge.says("EndpointSlice: ").await;
    stage.change();
    stage.server.allow_all();
    stage.is_changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_with_an_error_of_410_is_followed_by_a_list() {
    let stage = Stage::set().await;
    let lists = || stage.server.requests(|one| one.is_list()).len();
    let before = lists();
    stage.change();
    stage.server.forget();
    stage.is_changed().await;
    eventually("all is listed", || (lists() > before).then_some(())).await;
    // What has gone meanwhile is not in the list.
    stage.server.delete("httproutes", "new");
    stage.server.forget();
    eventually("the route has gone", || {
        let answer = get_now(stage.server.gateway, "/new")?;
        answer.contains(" 404 ").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_whose_second_page_fails_is_read_anew() {
    let stage = Stage::set().await;
    stage.server.put("httproutes", route("b", "/b", "a"));
    stage.server.put("services", object("b", &json!({})));
    stage.server.page(1, 3);
    stage.change();
    stage.server.forget();
    stage.is_changed().await;
    stage.server.answers("/b", "other").await;
    let are_asked = || (stage.server.expired_pages() == 0).then_some(());
    eventually("each page that fails was asked for", are_asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_leaves_what_serves_and_its_changes_are_used_once_it_is_back() {
    let mut stage = Stage::set().await;
    stage.server.die();
    stage.edge.says("Lease: ").await;
    stage.server.answers("/a", "one").await;
    stage.change();
    stage.server.come_back().await;
    stage.is_changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_and_its_changes_are_used_once_it_goes_on() {
    let stage = Stage::set().await;
    stage.server.hang(true);
    stage.change();
    stage.edge.says("Lease: ").await;
    stage.server.answers("/a", "one").await;
    stage.server.hang(false);
    stage.is_changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_everything_is_asked_a_few_times_a_second() {
    let stage = Stage::set().await;
    for status in [500, 429, 403] {
        stage.server.allow_all();
        stage.server.refuse("GET", "*", status);
        stage.server.refuse("PATCH", "*", status);
        let before = stage.server.requests(|_| true).len();
        let leases = || {
            let writes = stage
                .server
                .requests(|one| one.plural == "leases" && one.method == "PATCH");
            writes.len()
        };
        let renewals = leases();
        stage.server.cut_streams();
        // A lease is renewed every five seconds.
        eventually("some seconds", || (leases() > renewals).then_some(())).await;
        let asked = stage.server.requests(|_| true).len() - before;
        assert!(asked < 150, "{asked} requests");
    }
    stage.change();
    stage.server.allow_all();
    stage.is_changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_slow_or_old_delays_its_kind_and_nothing_else() {
    let stage = Stage::set().await;
    stage.server.list_stale(true);
    stage.server.hold_lists("services", true);
    stage.change();
    stage.server.forget();
    stage.server.list_stale(false);
    stage.is_changed().await;
    stage.server.hold_lists("services", false);
    stage.is_changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_lost_without_a_word_are_made_anew() {
    let stage = Stage::set().await;
    stage.server.lose_connections();
    stage.change();
    stage.is_changed().await;
}

/// Questions are answered all the time, those for leases, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_fall_silent_while_questions_are_answered_begin_anew() {
    let stage = Stage::set().await;
    let renewals = || {
        let all = stage.server.requests(|one| one.plural == "leases");
        all.iter().filter(|one| one.method == "PATCH").count()
    };
    eventually("a second renewal", || (renewals() > 1).then_some(())).await;
    stage.server.silence_streams();
    stage.change();
    stage.is_changed().await;
    assert!(
        stage
            .edge
            .diagnostics()
            .contains("nothing comes on the streams")
    );
    assert!(!stage.edge.diagnostics().contains("Lease: "));
}
