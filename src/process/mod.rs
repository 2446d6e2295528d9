//! The process: what serves, Pingora's services around it, and its life: what it does when it is
//! told to.

mod built;
mod lifecycle;
mod pid_file;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use pingora::apps::HttpServerApp;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as Pingora, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::config::located;
use crate::config::model::ForwardingRule;
use crate::drain;
use crate::gateway::{self, Gateways};
use crate::ionos::{self, Api};
use crate::listener::Serve;
use crate::os::signals::{self, Signals};
use crate::os::{daemon, open_files, reserve};
use crate::overload::{Level, Overload};
use crate::proxy::Proxy;
use crate::serving::{self, Serving};
use crate::target_connection::Pool;
use crate::telemetry::diagnostics;
use crate::upgrade::{Inherited, Predecessor};
use built::Built;
use lifecycle::Lifecycle;

/// Serves a configuration until a signal ends it; instead of the process that runs now, if
/// `succeeds`. Errors, for the operator: every socket and file that cannot be had.
pub fn serve(path: &Path, config: Config, succeeds: bool) -> Result<(), String> {
    if daemon::is_this() {
        daemon::detach();
    }
    diagnostics::set_level(config.server.log_level);
    open_files::raise();
    reserve::begin();
    let name = path.display().to_string();
    let named = |problem: String| format!("{name}: {problem}");
    let mut predecessor = succeeds
        .then(|| Predecessor::find(&config).map_err(named))
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| named(error.to_string()))?;
    // Those that are meant for a process that serves do not end one that waits.
    let ignored = runtime.block_on(async { signals::ignore() });
    ignored.map_err(|error| named(format!("signals cannot be received: {error}")))?;
    let inherited = predecessor
        .as_mut()
        .map(Predecessor::take_over)
        .transpose()?;
    // Signals are orders from here on; whoever reads them later gets those that came before.
    let signals = runtime.block_on(async { Signals::install() });
    let signals = signals.map_err(|error| named(format!("signals cannot be received: {error}")))?;
    let inherited = inherited.or_else(Inherited::kept);
    match build(path, &name, config, inherited, succeeds) {
        Ok(built) => {
            let lifecycle = Lifecycle::new(built, signals, predecessor);
            let lifecycle = lifecycle.map_err(named)?;
            run(lifecycle);
            Ok(())
        }
        Err(reason) => {
            if let Some(predecessor) = &predecessor {
                predecessor.fail(&reason);
            }
            Err(reason)
        }
    }
}

fn build(
    path: &Path,
    name: &str,
    mut config: Config,
    inherited: Option<Inherited>,
    succeeds: bool,
) -> Result<Built, String> {
    let Inherited {
        mut sockets,
        secrets,
        knowledge,
        upgrade_socket,
    } = inherited.unwrap_or_default();
    let mut listen = |rule: &ForwardingRule| sockets.prepare(rule.listen, rule.v6_only);
    let opened = ionos::open(&config, &mut listen).map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("{name}: {problem}"));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    let opened = opened.map(|opened| {
        config = opened.config;
        (opened.store, opened.models)
    });
    let opened_gateways = gateway::open(config, &mut sockets, succeeds);
    let (config, gateways) = opened_gateways.map_err(|why| format!("{name}: {why}"))?;
    let serving = Serving::build(Some(path), config, &mut sockets, secrets, knowledge);
    let serving = serving.map_err(|problems| located(path, problems).to_string())?;
    let serving = Arc::new(serving);
    let api = opened.map(|(store, models)| {
        let server = ionos::Server::new(Arc::clone(&serving), models);
        let api = Arc::new(Api::new(store, Arc::new(server)));
        Arc::new(ionos::Service::new(api, Arc::clone(&serving)))
    });
    let gateways = Gateways::new(Arc::clone(&serving), gateways);
    Ok(Built {
        serving,
        api,
        gateways: Arc::new(gateways),
        upgrade_socket,
    })
}

fn run(lifecycle: Lifecycle) {
    let serving = Arc::clone(&lifecycle.serving);
    let config = serving.config();
    let conf = conf(&config);
    let pool = Arc::new(Pool::holding(serving::shares(&config).idle));
    let mut pingora = Pingora::new_with_opt_and_conf(None, conf);
    pingora.bootstrap();
    let mut proxy = HttpProxy::new(
        Proxy::new(Arc::clone(&pool)),
        Arc::clone(&pingora.configuration),
    );
    proxy.handle_init_modules();
    let proxy = Arc::new(proxy);
    pingora.add_service(background_service("targets", Upkeep(Arc::clone(&serving))));
    pingora.add_service(background_service(
        "idle connections",
        Sweeping(pool, Arc::clone(&serving.overload)),
    ));
    pingora.add_service(background_service(
        "names of targets",
        NamesOfTargets(Arc::clone(&serving)),
    ));
    pingora.add_service(background_service("memory", Guard(Arc::clone(&serving))));
    pingora.add_service(background_service(
        "admin",
        Pages(Arc::clone(&lifecycle.admin)),
    ));
    if let Some(api) = &lifecycle.api {
        pingora.add_service(background_service("api", Offer(Arc::clone(api))));
    }
    let manifests = Manifests(Arc::clone(&lifecycle.gateways));
    pingora.add_service(background_service("manifests", manifests));
    pingora.add_service(background_service(
        "listeners",
        Listening { serving, proxy },
    ));
    pingora.run(RunArgs {
        shutdown_signal: Box::new(lifecycle),
    });
}

/// Pingora's own settings. Its bound on tries must not be lower than the target groups'.
fn conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        max_retries: usize::from(u16::MAX) + 1,
        ..ServerConf::default()
    }
}

/// What target groups need beside requests, on a thread of its own: health checks with what follows
/// from them, that targets are emptied, and that load evens out.
struct Upkeep(Arc<Serving>);

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start(&self, _: ShutdownWatch) {
        let groups = || self.0.snapshot().groups;
        tokio::join!(
            self.0.fleet.check_health(),
            self.0.evict_unhealthy(),
            self.0.empty_targets(),
            drain::even_out(&self.0.drain, groups),
        );
    }
}

/// What lets connections to targets go that nobody uses any more.
struct Sweeping(Arc<Pool>, Arc<Overload>);

#[async_trait]
impl BackgroundService for Sweeping {
    async fn start(&self, _: ShutdownWatch) {
        let is_short = || self.1.level() >= Level::Releasing;
        self.0.sweep(is_short).await;
    }
}

/// What the names of targets resolve to, on a thread of its own.
struct NamesOfTargets(Arc<Serving>);

#[async_trait]
impl BackgroundService for NamesOfTargets {
    async fn start(&self, _: ShutdownWatch) {
        self.0.watch_names().await;
        std::future::pending().await
    }
}

/// What looks after the memory, on a thread of its own: it must not wait for those who use it.
struct Guard(Arc<Serving>);

#[async_trait]
impl BackgroundService for Guard {
    async fn start(&self, _: ShutdownWatch) {
        let Guard(serving) = self;
        let reset = |resets| serving.listeners.reset(resets);
        serving.overload.watch(reset).await;
        std::future::pending().await
    }
}

/// The admin address, on a thread of its own.
struct Pages(Arc<Admin>);

#[async_trait]
impl BackgroundService for Pages {
    async fn start(&self, _: ShutdownWatch) {
        admin::start(&self.0);
        std::future::pending().await
    }
}

/// The address of the IONOS API, on a thread of its own.
struct Offer(Arc<ionos::Service>);

#[async_trait]
impl BackgroundService for Offer {
    async fn start(&self, _: ShutdownWatch) {
        self.0.start();
        std::future::pending().await
    }
}

/// What notices that manifests have changed, on a thread of its own.
struct Manifests(Arc<Gateways>);

#[async_trait]
impl BackgroundService for Manifests {
    async fn start(&self, _: ShutdownWatch) {
        Arc::clone(&self.0).follow().await;
    }
}

/// What starts the listeners, which have threads of their own.
struct Listening<A> {
    serving: Arc<Serving>,
    proxy: Arc<A>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> BackgroundService for Listening<A> {
    async fn start(&self, shutdown: ShutdownWatch) {
        let (proxy, connections) = (
            Arc::clone(&self.proxy),
            self.serving.drain.connections.clone(),
        );
        let serve: Serve = Box::new(move |stream, arrival| {
            let serving = arrival.serve(stream, Arc::clone(&proxy), shutdown.clone());
            // A task is moved again and again until it runs, and when it ends.
            connections.spawn(Box::pin(serving));
        });
        self.serving.listeners.start(serve);
        #[cfg(debug_assertions)]
        crate::tunnel::refreeze::begin(
            &self.serving.drain.tunnels,
            self.serving.listeners.runtime(),
        );
    }
}
