//! What Culvert promises, kept by the real binary: each test starts it on free ports, with a configuration of its own, and
//! scripts the client and the target. One file per promise; `harness` is the stage.

#![allow(unreachable_pub, reason = "the harness is one crate with its tests")]

mod harness;

mod access_log;
mod hand_over;
mod relay;
