//! IONOS' SDK for Node drives Culvert.

use std::net::TcpStream;

use crate::harness::story::{Story, start};
use crate::harness::{Target, eventually, node};

#[tokio::test]
async fn node_makes_what_ionos_page_has_and_websockets_go_through_until_it_is_removed() {
    let ((api, _token), target) = (start().await, Target::named("target").await);
    let ports = [api.edge.address, target.address];
    let (mut story, ids) = Story::begin(node("ionos_tour.js"), &api, &ports).await;
    assert!(ids["rule"].is_string(), "{ids}");
    let (mut tunnel, _) = api.tunnel().await;
    tunnel.say_hi().await;

    // A change, and a removal that is refused.
    story.go_on().await;
    tunnel.say_hi().await;

    story.go_on().await;
    tunnel.say_hi().await;
    let is_closed = || TcpStream::connect(api.edge.address).is_err().then_some(());
    eventually("nobody listens any more", is_closed).await;
    story.end().await;
}
