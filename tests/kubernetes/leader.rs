//! One node of all writes the statuses, and another one does when that has gone.

use crate::harness::{Node, Space, condition, eventually};

const LEADER: &str = "culvert_gateway_leader";

/// Which of these nodes leads, once one does and no other.
async fn leader(nodes: &[Node]) -> usize {
    eventually("a leader", async || {
        let mut leaders = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            if node.metric(LEADER).await == Some(1.0) {
                leaders.push(place);
            }
        }
        assert!(leaders.len() < 2, "{leaders:?}");
        leaders.first().copied()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_nodes_leads_and_another_one_when_it_is_killed() {
    let space = Space::shared().await;
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        nodes.push(space.node_at(name, "127.0.0.1").await);
    }
    let first = leader(&nodes).await;
    let name = format!("culvert.dev-{}", space.name);
    let lease = space.get_in("culvert-system", "Lease", &name).await;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap();
    assert!(
        holder.starts_with(["one", "two", "three"][first]),
        "{holder}"
    );
    space
        .tells(
            "GatewayClass",
            &space.name,
            ["Accepted", "True", "Accepted"],
        )
        .await;
    nodes.remove(first).kill();
    let second = leader(&nodes).await;
    // It writes what there is to be told from now on.
    let other = space.class().replace(
        &format!("name: {}", space.name),
        &format!("name: {}-b", space.name),
    );
    space.apply(&other).await;
    let name = format!("{}-b", space.name);
    space
        .tells("GatewayClass", &name, ["Accepted", "True", "Accepted"])
        .await;
    // One that ends by itself leaves its place at once; the other one need not wait for its lease.
    let ended = nodes.remove(second);
    ended.signal(rustix::process::Signal::TERM);
    let left = leader(&nodes).await;
    assert_eq!(left, 0);
    assert_eq!(
        condition(&space.get("GatewayClass", &name).await, "Accepted")["status"],
        "True"
    );
}
