//! A target that joins, or is healthy again, gets its share of requests little by little.

use crate::harness::{Config, Edge, Target, eventually};
use crate::health::{OFTEN, is_healthy, status};

#[tokio::test]
async fn a_target_that_joins_starts_slowly_and_those_of_the_start_do_not() {
    let (known, joins) = (
        Target::answering("known").await,
        Target::answering("joins").await,
    );
    let edge = Edge::start(&Config::to_group("slowStart: 1h", &[known.address])).await;
    assert_eq!(status(&edge, known.address).get("slowStarting"), None);

    edge.reload(&Config::to_group(
        "slowStart: 1h",
        &[known.address, joins.address],
    ))
    .await;

    assert_eq!(status(&edge, joins.address)["slowStarting"], 0.1);
    assert_eq!(status(&edge, known.address).get("slowStarting"), None);
    let answers = edge.answers(1000).await;
    let share = answers.iter().filter(|answer| *answer == "joins").count();
    assert!((30..=170).contains(&share), "{share} of 1000");
}

#[tokio::test]
async fn a_target_that_is_healthy_again_starts_slowly() {
    let target = Target::answering("hello").await;
    let address = target.address;
    let settings = format!("slowStart: 2s, healthCheck: {{{OFTEN}}}");
    let edge = Edge::start(&Config::to_group(&settings, &[address])).await;
    drop(target);
    is_healthy(&edge, address, false).await;
    let _back = Target::answering_at(address, "back").await;
    let factor = || status(&edge, address)["slowStarting"].as_f64();
    let begun = eventually("it starts", factor).await;
    let more = || factor().filter(|factor| *factor > begun);
    let _ = eventually("its share grows, or is whole", || {
        Some(more().is_some() || factor().is_none()).filter(|grown| *grown)
    })
    .await;
    eventually("its share is whole", || factor().is_none().then_some(())).await;
}
