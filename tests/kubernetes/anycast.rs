//! Machines that all have one address serve one Gateway there, behind a router.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::harness::machine::{ANYCAST, Machine};
use crate::harness::node::get;
use crate::harness::space::{route, service};
use crate::harness::{
    Node, Server, Setup, Space, condition, eventually, free_address, inside, target,
};

/// Waits until a Gateway is programmed at the address alone.
async fn is_programmed(space: &Space) {
    let edge = space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
    let addresses = edge["status"]["addresses"].as_array().unwrap();
    let addresses: Vec<_> = addresses.iter().map(|one| &one["value"]).collect();
    assert_eq!(addresses, [ANYCAST]);
}

/// Waits until it is not, for the want of a node of this name.
async fn waits_for(space: &Space, name: &str) {
    let waits = |edge: &Value| {
        let programmed = condition(edge, "Programmed");
        let message = programmed["message"].as_str().unwrap();
        programmed["status"] == "False" && message.contains(name)
    };
    space.waits_for("Gateway", "edge", waits).await;
}

async fn answers(node: &Node, address: SocketAddr, path: &str) {
    node.is_next();
    eventually(&format!("an answer at {path}"), async || {
        let answer = get(address, "a", path).await?;
        answer.ends_with("target").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_at_one_address_of_several_machines_is_programmed_when_all_serve_it() {
    if !inside(
        "anycast::a_gateway_at_one_address_of_several_machines_is_programmed_when_all_serve_it",
    ) {
        return;
    }
    let server = Arc::new(Server::start(Setup::Ready).await);
    let space = Space::on(&server).await;
    let there = SocketAddr::new(ANYCAST.parse().unwrap(), free_address().port());
    let targets = service("s", &[target::named("target", "10.99.0.1").await]);
    let objects = [
        space.gateway("edge", there.port()),
        route("r", "edge", "s"),
        targets,
    ];
    space.apply(&objects.concat()).await;
    let mut nodes = Vec::new();
    for (number, name) in (1..).zip(["one", "two", "three"]) {
        let machine = Machine::start(&server, number).await;
        nodes.push(Node::on(machine, &space, name));
        // The first one leads.
        is_programmed(&space).await;
    }
    for node in &nodes {
        answers(node, there, "/").await;
    }
    // One that does not see what has changed is waited for, and served is what it knows.
    nodes[1].signal(rustix::process::Signal::STOP);
    let more = space.gateway("edge", there.port()).replace(
        "listeners: [",
        "listeners: [{name: more, port: 1025, protocol: HTTP}, ",
    );
    space.apply(&more).await;
    waits_for(&space, "two").await;
    nodes[1].signal(rustix::process::Signal::CONT);
    is_programmed(&space).await;
    // One that has gone is not.
    nodes[2].kill();
    is_programmed(&space).await;
    for node in &nodes[..2] {
        answers(node, there, "/").await;
    }
}
