//! Culvert: an application load balancer for long-lived connections, on Pingora.
//!
//! The road of a request, and the room for each stop:
//!
//! ```text
//! accept ── whose? ── TLS ── parse ── match rule ── pick target ── forward ── 101 ── tunnel ── close ── log
//! listener/                           rules/        target_group/  proxy/           tunnel/            telemetry/
//! ```
//!
//! A *forwarding rule* is a listening address with ordered *HTTP rules*; an HTTP rule has *conditions* and an action:
//! answer itself, or forward to a *target group*, which picks a *target*. One request and all that follows from it is an
//! *exchange*; an exchange whose connection was upgraded is a *tunnel*. `proxy` holds Pingora's phases, in order, each a
//! doorway into one room. Near the limit of memory `overload` has less and less of all this done, so that tunnels live.
//!
//! What holds everywhere:
//!
//! - The request path looks nothing up by name, takes no lock that others wait for, and touches no file.
//! - A status is chosen in `proxy::refusal` or by an HTTP rule, nowhere else, but for plain HTTP where TLS is spoken
//!   (`listener::plain_http`).
//! - Every exchange leaves one record, when it is over and whatever ends it: the exchange owns its record, and
//!   dropping the exchange writes it.
//! - Nothing that comes from the network, from a file or from an operator panics the process.
//! - What an operator needs opens its files by way of `reserve`, which has some when clients have taken all others.

pub mod admin;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod dns;
pub mod drain;
pub mod forwarding_rule;
pub mod listener;
pub mod os;
pub mod overload;
pub mod process;
pub mod proxy;
pub mod rules;
pub mod serving;
pub mod stream;
pub mod tap;
pub mod target_address;
pub mod target_connection;
pub mod target_group;
pub mod telemetry;
pub mod tls;
pub mod tunnel;
pub mod upgrade;
