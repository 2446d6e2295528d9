//! A cluster as the source of the Gateway API's objects, against a real API server, which the tests
//! start: what is written there, and what nodes serve of it, through outages and beside others.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a binary of tests: nothing reaches it, and an unwrap that fails is a test that fails"
)]

mod harness;

mod access;
mod anycast;
mod cache;
mod classes;
mod dead_nodes;
mod full_lists;
mod gateways;
mod hang;
mod leader;
mod missing_kinds;
mod operator;
mod other_controllers;
mod restart;
mod routes;
mod secrets;
mod server;
mod steadiness;
mod tls_policies;
mod traffic;
