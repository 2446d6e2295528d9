//! Assembles the process: what a configuration says becomes target groups, forwarding rules, bound sockets and Pingora
//! services.
//!
//! Everything that can fail for the operator fails in [`Server::build`], before anything runs: [`Server::run`] is left
//! with starting it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as Pingora, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};

use crate::admin::{Admin, View};
use crate::config::file::{self, File};
use crate::config::problem::Problem;
use crate::drain::Drain;
use crate::listener::{self, ForwardingRule, Listener, Listeners, TargetGroups};
use crate::proxy::Proxy;
use crate::signals::Signals;
use crate::target_group::TargetGroup;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;

/// A process that is ready to run: its sockets are bound.
pub struct Server {
    conf: ServerConf,
    groups: Vec<Arc<TargetGroup>>,
    listeners: Vec<Listener>,
    admin: Admin,
    drain: Arc<Drain>,
    log: AccessLog,
}

impl Server {
    /// Builds all that the configuration asks for. Errors: every socket and file that cannot be had.
    pub fn build(file: &File) -> Result<Self, Vec<Problem>> {
        let metrics = Metrics::new().map_err(|error| vec![problem("", error)])?;
        let metrics = Arc::new(metrics);
        let dropped = metrics.access_log_dropped.clone();
        let log = AccessLog::open(file.access_log.path.as_deref(), dropped)
            .map_err(|error| problem("accessLog.path", error));
        let admin = bind("admin.listen", file.admin.listen);
        let groups = groups(file, &metrics);
        let listeners = listeners(file, &groups, &metrics);
        let (log, admin, listeners) = all(log, admin, listeners)?;
        metrics.configured();
        let drain = Arc::new(Drain::new(metrics.draining.clone()));
        let view = View {
            metrics,
            drain: Arc::clone(&drain),
        };
        Ok(Server {
            conf: conf(&file.server),
            groups: groups.into_values().collect(),
            listeners,
            admin: Admin {
                socket: Some(admin),
                view,
            },
            drain,
            log,
        })
    }

    /// Serves until a signal ends it.
    pub fn run(self) {
        let threads = self.conf.threads;
        let mut pingora = Pingora::new_with_opt_and_conf(None, self.conf);
        pingora.bootstrap();
        let mut proxy = HttpProxy::new(Proxy, Arc::clone(&pingora.configuration));
        proxy.handle_init_modules();
        pingora.add_service(background_service(
            "health checks",
            HealthChecks(self.groups),
        ));
        pingora.add_service(self.admin);
        pingora.add_service(Listeners {
            app: Arc::new(proxy),
            listeners: self.listeners,
            drain: Arc::clone(&self.drain),
            log: self.log.clone(),
            threads,
        });
        let signals = Signals {
            drain: self.drain,
            log: self.log,
        };
        pingora.run(RunArgs {
            shutdown_signal: Box::new(signals),
        });
    }
}

/// Pingora's own settings. Its bound on tries must not be lower than the target groups'.
fn conf(server: &file::Server) -> ServerConf {
    ServerConf {
        threads: server.threads,
        max_retries: usize::from(u16::MAX) + 1,
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    }
}

fn groups(file: &File, metrics: &Metrics) -> TargetGroups {
    let build = |group: &file::TargetGroup| {
        (
            group.name.clone(),
            Arc::new(TargetGroup::build(group, metrics)),
        )
    };
    file.target_groups.iter().map(build).collect()
}

fn listeners(
    file: &File,
    groups: &TargetGroups,
    metrics: &Metrics,
) -> Result<Vec<Listener>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut listeners = Vec::new();
    for (place, rule) in file.forwarding_rules.iter().enumerate() {
        let path = format!("forwardingRules[{place}]");
        let built = ForwardingRule::build(rule, groups, metrics);
        let built = built.map_err(|word| problem(&path, format!("cannot be used: {word:?}")));
        let built = built.and_then(|rule| Ok((bind(&path, rule.listen)?, Arc::new(rule))));
        match built {
            Ok((socket, rule)) => listeners.push(Listener { socket, rule }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(listeners)
    } else {
        Err(problems)
    }
}

fn bind(path: &str, address: SocketAddr) -> Result<std::net::TcpListener, Problem> {
    let hint = |error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE",
        _ => "",
    };
    listener::bind(address).map_err(|error| {
        problem(
            path,
            format!("cannot listen on {address}: {error}{}", hint(&error)),
        )
    })
}

/// All three, or all that is wrong with any.
fn all<A, B, C>(
    first: Result<A, Problem>,
    second: Result<B, Problem>,
    third: Result<C, Vec<Problem>>,
) -> Result<(A, B, C), Vec<Problem>> {
    match (first, second, third) {
        (Ok(first), Ok(second), Ok(third)) => Ok((first, second, third)),
        (first, second, third) => Err([first.err(), second.err()]
            .into_iter()
            .flatten()
            .chain(third.err().into_iter().flatten())
            .collect()),
    }
}

fn problem(path: &str, message: impl ToString) -> Problem {
    Problem {
        path: path.to_owned(),
        message: message.to_string(),
    }
}

/// The health checks of all target groups, on a thread of their own.
struct HealthChecks(Vec<Arc<TargetGroup>>);

#[async_trait]
impl BackgroundService for HealthChecks {
    async fn start(&self, shutdown: ShutdownWatch) {
        join_all(
            self.0
                .iter()
                .map(|group| group.check_health(shutdown.clone())),
        )
        .await;
    }
}
