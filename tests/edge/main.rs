//! What Culvert promises, kept by the real binary: each test starts it on free ports, with a configuration of its own, and
//! scripts the client and the target. One file per promise; `harness` is the stage.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a binary of tests: nothing reaches it, and an unwrap that fails is a test that fails"
)]

mod harness;

mod absolute_form;
mod accepts;
mod access_log;
mod admin;
mod admin_commands;
mod admin_page;
mod admin_places;
mod admin_safety;
mod answers;
mod backlog;
mod balance;
mod blame;
mod blame_http2;
mod bodiless;
mod cancelled_streams;
mod changes;
mod client_certificates;
mod close_answers;
mod command_line;
mod diagnostics;
mod docs_commands;
mod docs_files;
mod docs_links;
mod docs_pages;
mod docs_reference;
mod drain;
mod failures;
mod files_in_reserve;
mod fleet;
mod framing;
mod grafana;
mod guide;
mod half_closed_pipelines;
mod half_closed_requests;
mod half_closed_uploads;
mod hand_over;
mod handshake;
mod health;
mod hearsay;
mod host_forms;
mod http;
mod http1_required;
mod http2;
mod http2_ends;
mod http2_fields;
mod http2_files;
mod http2_limits;
mod http2_places;
mod interim;
mod limits;
mod long_heads;
mod messages;
mod metrics;
mod names;
mod odd_names;
mod old_processes;
mod old_versions;
mod one_byte_frames;
mod open_files;
mod operations;
mod origins;
mod other_upgrades;
mod overload;
mod overload_cgroup;
mod overload_pool;
mod own_certificate;
mod pipelined;
mod placeholders;
mod ports;
mod proxy_protocol;
mod public_node;
mod rates;
mod rebalance;
mod redaction;
mod refusals;
mod refused_connect;
mod relay;
mod reload;
mod renewal;
mod retries;
mod rules;

mod runbook;
mod schemes;
mod service;
mod sessions;
mod sizes;
mod smuggling;
mod socket_io;
mod source_addresses;
mod static_without_body;
mod stickiness;
mod target_anchors;
mod target_groups;
mod target_http2;
mod target_streams;
mod target_tls;
mod targets;
mod timeouts;
mod tls;
mod top;
mod trailers;
mod tunnels;
mod turns;
mod unix_targets;
mod upgrade;
mod upgrade_ejections;
