//! The process: what serves, Pingora's services around it, and the steward that heeds signals.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as Pingora, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};

use crate::config::file;
use crate::listener::Serve;
use crate::proxy::Proxy;
use crate::running::Running;
use crate::steward::Steward;

/// Serves until a signal ends it.
pub fn run(steward: Steward) {
    let running = Arc::clone(&steward.running);
    let conf = conf(&running.file().server);
    let mut pingora = Pingora::new_with_opt_and_conf(None, conf);
    pingora.bootstrap();
    let mut proxy = HttpProxy::new(Proxy, Arc::clone(&pingora.configuration));
    proxy.handle_init_modules();
    let proxy = Arc::new(proxy);
    pingora.add_service(background_service(
        "health checks",
        HealthChecks(Arc::clone(&running)),
    ));
    pingora.add_service(background_service("admin", Pages(Arc::clone(&running))));
    pingora.add_service(background_service(
        "listeners",
        Listening { running, proxy },
    ));
    pingora.run(RunArgs {
        shutdown_signal: Box::new(steward),
    });
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

/// The health checks of all target groups, on a thread of their own.
struct HealthChecks(Arc<Running>);

#[async_trait]
impl BackgroundService for HealthChecks {
    async fn start(&self, _: ShutdownWatch) {
        self.0.fleet.check_health().await;
    }
}

/// The admin address, on a thread of its own.
struct Pages(Arc<Running>);

#[async_trait]
impl BackgroundService for Pages {
    async fn start(&self, _: ShutdownWatch) {
        self.0.admin.start();
        std::future::pending().await
    }
}

/// What starts the listeners, which have threads of their own.
struct Listening<A> {
    running: Arc<Running>,
    proxy: Arc<A>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> BackgroundService for Listening<A> {
    async fn start(&self, shutdown: ShutdownWatch) {
        let (proxy, connections) = (
            Arc::clone(&self.proxy),
            self.running.drain.connections.clone(),
        );
        let serve: Serve = Box::new(move |stream, connection| {
            let serving = connection.serve(stream, Arc::clone(&proxy), shutdown.clone());
            connections.spawn(serving);
        });
        self.running.listeners.start(serve);
    }
}
