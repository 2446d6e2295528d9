//! An API server of a cluster, as far as Culvert asks one, for what a real one does not do on
//! demand: conflicts, streams that break, lists that fail in the middle, silence.
//!
//! It keeps objects in memory and numbers their changes. What it is told to do wrong it does until
//! it is told otherwise.

mod given;
mod http;
mod objects;
mod requests;

use std::fs;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::given::route;
use self::objects::Objects;
pub use self::requests::Request;
use super::ports::free_addresses;
use super::{Config, Edge, eventually};

/// The controller of the nodes.
pub const CONTROLLER: &str = "culvert.dev/gateway";

/// A running server, with the class `culvert` and a Gateway `apps/edge` of it.
pub struct ApiServer {
    inner: Arc<Inner>,
    folder: TempDir,
    address: SocketAddr,
    running: Option<Arc<Running>>,
    /// Where the Gateway `apps/edge` is to listen.
    pub gateway: SocketAddr,
}

/// What the connections share.
#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// One life of the server, and its connections.
#[derive(Default)]
struct Running {
    is_over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// What somebody else does to an object just before the next write of its kind.
type Meddling = Box<dyn FnOnce(&mut Value) + Send>;

#[derive(Default)]
struct State {
    objects: Objects,
    requests: Vec<Request>,
    missing: Vec<String>,
    /// Method, plural and status.
    refused: Vec<(&'static str, String, u16)>,
    meddling: Vec<(String, Meddling)>,
    is_hanging: bool,
    /// The plurals whose lists wait.
    held: Vec<String>,
    /// What lists have instead of what there is.
    stale: Option<Objects>,
    /// How many objects a page of a list has at most.
    page: Option<usize>,
    /// How many of the next pages but the first are refused with 410.
    expired_pages: usize,
    /// How often streams were cut in the middle of a line, and ended with an ERROR event.
    cuts: usize,
    errors: usize,
    /// How often all connections were lost without a word.
    losses: usize,
    /// How often all streams fell silent.
    silences: usize,
    /// Whether all streams are refused with an ERROR event of status 410.
    are_expired: bool,
    /// The nodes to which nothing is said.
    stalled: Vec<String>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl ApiServer {
    /// One that answers.
    pub async fn start() -> ApiServer {
        let [address, gateway] = free_addresses();
        let mut server = ApiServer {
            inner: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
            address,
            running: None,
            gateway,
        };
        let version = json!({"gateway.networking.k8s.io/bundle-version": "v1.6.3"});
        server.put(
            "customresourcedefinitions",
            json!({"metadata": {
                "name": "gatewayclasses.gateway.networking.k8s.io", "annotations": version,
            }}),
        );
        server.put("namespaces", json!({"metadata": {"name": "apps"}}));
        let class = json!({"controllerName": CONTROLLER});
        let class = json!({"metadata": {"name": "culvert"}, "spec": class});
        server.put("gatewayclasses", class);
        let listener = json!({"name": "http", "port": gateway.port(), "protocol": "HTTP"});
        let spec = json!({"gatewayClassName": "culvert", "listeners": [listener]});
        server.put("gateways", object("edge", &json!({"spec": spec})));
        server.come_back().await;
        server
    }

    /// The file that says to a node of this name where it is, and who asks.
    pub fn kubeconfig(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("kubeconfig-{node}"))
    }

    fn kubeconfig_text(&self, node: &str) -> String {
        let address = self.address;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             users: [{{name: test, user: {{token: {node}}}}}]\n"
        )
    }

    /// The configuration of a node of this name, with these further keys of `gateway`; its file is
    /// written.
    pub fn config(&self, node: &str, keys: &str) -> Config {
        self.config_at(node, self.gateway.ip(), keys)
    }

    /// The same of a node that gives out this address.
    pub fn config_at(&self, node: &str, ip: IpAddr, keys: &str) -> Config {
        Config::answering("file").top(&self.key(node, ip, keys))
    }

    /// The key `gateway` of such a configuration.
    pub fn key(&self, node: &str, ip: IpAddr, keys: &str) -> String {
        let file = self.kubeconfig(node);
        fs::write(&file, self.kubeconfig_text(node)).unwrap();
        format!(
            "gateway: {{kubernetes: {{kubeconfig: '{}', node: {node}}}, addresses: [{ip}], {keys}}}",
            file.display()
        )
    }

    /// A node of this name, which is ready.
    pub async fn node(&self, node: &str) -> Edge {
        Edge::start(&self.config(node, "")).await
    }

    /// Lets it die, with all of its connections; what it has stays.
    pub fn die(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.is_over.store(true, SeqCst);
        for stream in running.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.inner.changed.notify_all();
        // The listener looks up, and closes.
        TcpStream::connect(self.address).ok();
    }

    /// Lets it come back where it was.
    pub async fn come_back(&mut self) {
        let bind = || TcpListener::bind(self.address).ok();
        let listener = eventually("the port is free", bind).await;
        let running = Arc::<Running>::default();
        self.running = Some(Arc::clone(&running));
        let inner = Arc::clone(&self.inner);
        thread::spawn(move || accept(&listener, &inner, &running));
    }

    /// Lets it accept connections and say nothing, or go on.
    pub fn hang(&self, is_hanging: bool) {
        self.change(|state| state.is_hanging = is_hanging);
    }

    /// Says nothing to a node, and does nothing of what that asks for, or goes on: what was asked
    /// for meanwhile is done then if it still waits.
    pub fn stall(&self, node: &str, is_stalled: bool) {
        self.change(|state| {
            state.stalled.retain(|stalled| stalled != node);
            state.stalled.extend(is_stalled.then(|| node.to_owned()));
        });
    }

    /// Says nothing any more on the connections that there are.
    pub fn lose_connections(&self) {
        self.change(|state| state.losses += 1);
    }

    /// Says nothing any more on the streams that there are.
    pub fn silence_streams(&self) {
        self.change(|state| state.silences += 1);
    }

    /// Ends all streams in the middle of a line.
    pub fn cut_streams(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Ends all streams with an ERROR event of status 410, and forgets all that was until now.
    pub fn forget(&self) {
        self.change(|state| {
            state.errors += 1;
            state.objects.forget();
        });
    }

    /// Ends each stream at once with an ERROR event of status 410, or no longer.
    pub fn expire_streams(&self, are_expired: bool) {
        self.change(|state| {
            state.errors += 1;
            state.are_expired = are_expired;
        });
    }

    /// Refuses requests of this method for a plural, or for all of them (`*`), with this status.
    pub fn refuse(&self, method: &'static str, plural: &str, status: u16) {
        self.change(|state| state.refused.push((method, plural.to_owned(), status)));
    }

    /// Refuses nothing from now on.
    pub fn allow_all(&self) {
        self.change(|state| state.refused.clear());
    }

    /// Does not have this kind, or has it again.
    pub fn install(&self, plural: &str, is_installed: bool) {
        self.change(|state| match is_installed {
            true => state.missing.retain(|missing| missing != plural),
            false => state.missing.push(plural.to_owned()),
        });
    }

    /// Lets lists of a plural wait, or no longer.
    pub fn hold_lists(&self, plural: &str, is_held: bool) {
        self.change(|state| match is_held {
            true => state.held.push(plural.to_owned()),
            false => state.held.retain(|held| held != plural),
        });
    }

    /// Lists what there is now, whatever comes, or what there is.
    pub fn list_stale(&self, is_stale: bool) {
        self.change(|state| state.stale = is_stale.then(|| state.objects.clone()));
    }

    /// Has so many objects in each page of a list, and refuses this many pages but the first.
    pub fn page(&self, most: usize, expired: usize) {
        self.change(|state| (state.page, state.expired_pages) = (Some(most), expired));
    }

    /// How many pages are still to be refused.
    pub fn expired_pages(&self) -> usize {
        self.inner.lock().expired_pages
    }

    /// Changes an object just before the next write of its kind.
    pub fn meddle(&self, plural: &str, how: impl FnOnce(&mut Value) + Send + 'static) {
        self.change(|state| state.meddling.push((plural.to_owned(), Box::new(how))));
    }

    /// Puts an object in the place of whatever has its name.
    pub fn put(&self, plural: &str, object: Value) {
        self.change(|state| state.objects.put(plural, object));
    }

    /// Changes an object.
    pub fn edit(&self, plural: &str, name: &str, how: impl FnOnce(&mut Value)) {
        self.change(|state| state.objects.edit(plural, "apps", name, how));
    }

    /// Takes an object of the namespace `apps` away.
    pub fn delete(&self, plural: &str, name: &str) {
        self.change(|state| state.objects.delete(plural, "apps", name));
    }

    /// Takes a lease away.
    pub fn delete_lease(&self, name: &str) {
        self.change(|state| state.objects.delete("leases", "culvert-system", name));
    }

    /// An object of a namespace, which is empty where the kind has none; null where there is none.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Value {
        let state = self.inner.lock();
        let found = state.objects.get(plural, namespace, name);
        found.cloned().unwrap_or_default()
    }

    /// The requests so far that are like this.
    pub fn requests(&self, is_it: impl Fn(&Request) -> bool) -> Vec<Request> {
        let state = self.inner.lock();
        let found = state.requests.iter().filter(|request| is_it(request));
        found.cloned().collect()
    }

    /// How many statuses were written so far, or were to be.
    pub fn status_writes(&self) -> usize {
        self.requests(Request::is_status_write).len()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.inner.lock());
        self.inner.changed.notify_all();
        changed
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.die();
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>, running: &Arc<Running>) {
    for stream in listener.incoming() {
        if running.is_over.load(SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(other) = stream.try_clone() else {
            continue;
        };
        running.streams.lock().unwrap().push(other);
        let (inner, running) = (Arc::clone(inner), Arc::clone(running));
        thread::spawn(move || http::serve(stream, &inner, &running));
    }
}

/// An object of the namespace `apps`, with these fields.
pub fn object(name: &str, fields: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "namespace": "apps"}});
    let all = object.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    object
}
