//! Culvert: an application load balancer for long-lived connections, on Pingora.
//!
//! A *forwarding rule* is a listening address with ordered *HTTP rules*; an HTTP rule has
//! *conditions* and an action: answer itself, or forward to a *target group*, which picks a
//! *target*. One request and all that follows from it is an *exchange*; an exchange whose
//! connection was upgraded is a *tunnel*.
//!
//! The rooms, in the order in which a reader meets them:
//!
//! ```text
//! the process      cli               what it can be told on the command line
//!                  commands          the commands that ask a running process
//!                  demo              the whole road without a file of the operator's
//!                  process           its start, Pingora around it, and its life to the end
//!                  config            a file, and the checked Config that comes of it
//!                  serving           what serves now: built from a Config, changed by the next one
//!                  ionos             the IONOS API: objects of clients, beside the file's
//!                  gateway           Gateway API: objects of Kubernetes, and what comes of them
//!                  dns               what the names of targets resolve to
//!                  etcd              a client of etcd, by the JSON that it speaks
//!                  upgrade           another process takes over, or is taken over from
//!                  drain             the end of all that is open, at its pace
//!                  overload          less and less is done when memory is short
//!                  os                signals, the service manager, open files, chance
//!                  base64_text       bytes in what one process tells another
//!
//! the road         listener          accept, PROXY protocol, HTTP/1.1 or HTTP/2, limits
//!                  acme              certificates that an authority issues, and its challenges
//!                  tls               certificates and the handshake with clients
//!                  tls_records       TLS after the handshake, for tunnels
//!                  forwarding_rule   what holds for all that arrives at an address
//!                  stream            what bytes come from and go to, and the notes on a connection
//!                  tap               what Pingora takes for its connections, on both sides
//!                  proxy             Pingora's phases, each a doorway into one room
//!                  refusal           why a client is refused, and what it reads then
//!                  request_line      what the log repeats of a request
//!                  rules             conditions, and which HTTP rule a request meets
//!                  target_group      health, and which target is next
//!                  target_connection dialling, and connections that wait for the next request
//!                  target_address    where a target is
//!                  tunnel            from the 101 to the close
//!
//! what is told     telemetry         the record of an exchange, its line, metrics, diagnostics
//!                  admin             the operator's address: probes, metrics, API, page
//!                  control           what that address and the IONOS API's have in common
//! ```
//!
//! Who may know whom, from those who know most to those who know nobody:
//!
//! ```text
//! process ▸ admin, ionos ▸ control, upgrade ▸ serving ▸ proxy ▸ listener, drain ▸ refusal,
//! request_line ▸ forwarding_rule, tap ▸ tunnel, target_connection, rules ▸ target_group ▸ stream,
//! config::model, etcd, telemetry, tls_records ▸ base64_text
//! ```
//!
//! `gateway` knows `config`; what has its objects served knows `serving` and `listener`.
//!
//! No rooms and no files know each other in a circle; `tests/layout.rs` sees to it.
//!
//! What holds everywhere:
//!
//! - The request path looks nothing up by name, touches no file but for tokens of ACME, and holds
//!   no lock while it waits for anything. The locks that it takes are those of one connection, or
//!   one of many for its part of what all share, and are held for a few instructions.
//! - A status is chosen in `refusal` or by an HTTP rule. Only what never becomes a request is
//!   answered elsewhere: a head that cannot be read (`tap::request_head`), and plain HTTP where TLS
//!   is spoken (`listener::plain_http`).
//! - Every exchange leaves one record, when it is over and whatever ends it: the exchange owns its
//!   record, and dropping the exchange writes it.
//! - Nothing that comes from the network, from a file or from an operator panics the process.
//! - What an operator needs opens its files by way of `os::reserve`, which has some when clients
//!   have taken all others.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod acme;
pub mod admin;
pub(crate) mod base64_text;
pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod demo;
pub mod dns;
pub mod drain;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod forwarding_rule;
pub mod gateway;
pub mod ionos;
pub mod listener;
pub mod os;
pub mod overload;
pub mod process;
pub mod proxy;
pub mod refusal;
pub mod request_line;
pub mod rules;
pub mod serving;
pub mod stream;
pub mod tap;
pub mod target_address;
pub mod target_connection;
pub mod target_group;
pub mod telemetry;
pub mod tls;
pub(crate) mod tls_records;
pub mod tunnel;
pub mod upgrade;
