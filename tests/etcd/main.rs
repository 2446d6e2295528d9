//! The client of etcd against real members, which each test starts for itself: one, or three that
//! are killed, stopped, cut off from each other, compacted and restored.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a binary of tests: nothing reaches it, and an unwrap that fails is a test that fails"
)]

mod harness;

mod auth;
mod compaction;
mod leases;
mod members;
mod outcomes;
mod partition;
mod reads;
mod restore;
mod space;
mod streams;
mod tls;
mod transactions;
mod watches;
