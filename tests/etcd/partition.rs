//! Members that cannot reach each other, or that clients cannot reach, in a network of the test's
//! own.

use crate::harness::Cluster;
use crate::members::{Counter, impatient};

#[tokio::test]
async fn writes_go_on_when_the_leader_is_cut_off_from_the_others() {
    let test = "partition::writes_go_on_when_the_leader_is_cut_off_from_the_others";
    let Some(cluster) = Cluster::inside(test).await else {
        return;
    };
    let (mut counter, mut watch) = Counter::begin(impatient(&cluster)).await;
    counter.count(20).await;
    let leader = cluster.leader().await;
    cluster.network().cut_off(leader);
    counter.count(20).await;
    cluster.network().heal(leader);
    counter.count(20).await;
    counter.check(&mut watch).await;
}

#[tokio::test]
async fn clients_go_elsewhere_when_a_member_cannot_be_reached() {
    let test = "partition::clients_go_elsewhere_when_a_member_cannot_be_reached";
    let Some(cluster) = Cluster::inside(test).await else {
        return;
    };
    let (mut counter, mut watch) = Counter::begin(impatient(&cluster)).await;
    for place in 0..3 {
        counter.count(5).await;
        cluster.network().hide(place);
        counter.count(5).await;
        cluster.network().heal(place);
    }
    counter.check(&mut watch).await;
}
