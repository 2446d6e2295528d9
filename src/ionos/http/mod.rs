//! The API over HTTP, on a listener of its own (`listener::control`), served as every control
//! address is (`control`): who is heard, how much is done at a time, and what questions and answers
//! look like on the wire. What they mean is `handler`'s.
//!
//! Everything is below `/cloudapi/v6`. Whatever is refused, and why ever, is told in the shape that
//! IONOS' clients read, and a 429 always says when to try again.

mod admission;
mod credentials;
mod question;
mod response;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::header::CONNECTION;
use axum::http::uri::Scheme;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use rustls::sign::CertifiedKey;

use super::Api;
use crate::config::Config;
use crate::control::{Bodies, Client, Rejection, Server, Slots};
use crate::listener::control::Peer;
use crate::serving::Serving;
use crate::telemetry::diagnostics::OUTSIDE;
use admission::admit;
use question::Question;
use turns::Turns;

/// How large a request's body may be: a group may have 65,535 targets.
const LARGEST_BODY: usize = 16 << 20;
/// How large all that are being sent or dealt with may be together.
const ALL_BODIES: usize = 64 << 20;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(30);
/// How long a connection may do nothing before it gives way to another: those that come together
/// all get to ask.
const GRACE: Duration = Duration::from_millis(250);

/// The API as clients come to it.
pub struct Service {
    /// What answers.
    pub api: Arc<Api>,
    serving: Arc<Serving>,
    slots: Arc<Slots>,
    bodies: Bodies,
    turns: Turns,
}

impl Service {
    /// Has this answer, at the address that the configuration of what serves says.
    pub fn new(api: Arc<Api>, serving: Arc<Serving>) -> Self {
        Service {
            api,
            serving,
            slots: Arc::new(Slots::new(GRACE)),
            bodies: Bodies::new(LARGEST_BODY, ALL_BODIES, BODY),
            turns: Turns::new(),
        }
    }

    /// Begins to serve whoever comes.
    pub fn start(self: &Arc<Self>) {
        self.api.begin();
        let Some(listener) = &self.serving.api else {
            return;
        };
        let serving = Arc::clone(&self.serving);
        let server = Server {
            slots: Arc::clone(&self.slots),
            router: Router::new().fallback(hear).with_state(Arc::clone(self)),
            shows: Arc::new(move || certificate(&serving.config())),
        };
        server.start(listener);
    }

    /// Returns when all requests have had their answers, or after a moment.
    pub async fn is_served(&self) {
        self.slots.is_served().await;
    }
}

async fn hear(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    Extension(client): Extension<Arc<Client>>,
    Extension(scheme): Extension<Scheme>,
    request: Request,
) -> Response {
    service.respond(peer, &client, &scheme, request).await
}

impl Service {
    async fn respond(
        &self,
        peer: Peer,
        client: &Client,
        scheme: &Scheme,
        request: Request,
    ) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = match self.answer(peer, client, scheme, request).await {
            Ok(response) => response,
            Err(rejection) => {
                let (status, why) = (rejection.status.as_u16(), &rejection.why);
                log::warn!(
                    target: OUTSIDE,
                    "api: {peer}: {method} {path:?} is refused: {status}: {why}"
                );
                response::of_rejection(&rejection)
            }
        };
        if !self.is_accepting() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }

    async fn answer(
        &self,
        peer: Peer,
        client: &Client,
        scheme: &Scheme,
        request: Request,
    ) -> Result<Response, Rejection> {
        let is_write = is_write(request.method());
        let by = self.admit(peer, &request)?;
        if is_write {
            self.turns.count_write(peer)?;
            self.check_that_it_is_ours()?;
        }
        let (head, body) = request.into_parts();
        let body = self.bodies.whole(&head.headers, body).await?;
        client.waits();
        let turn = match is_write {
            true => self.turns.write().await?,
            false => self.turns.read().await,
        };
        let question = Question::of(&head, scheme);
        let api = Arc::clone(&self.api);
        // It waits for the disk, and goes on when its client has left.
        let work = move || {
            let mut written = None;
            let response = match &question {
                Ok(question) => {
                    let asked = question.asked(&by, &body.bytes);
                    let answer = api.answer(&asked);
                    written = answer.revision;
                    response::of_answer(&answer, asked.path)
                }
                Err(error) => response::of_error(error),
            };
            if is_write {
                let (method, path) = (&head.method, head.uri.path());
                let status = response.status().as_u16();
                log::info!("api: {peer}: {by:?}: {method} {path:?}: {status}");
            }
            drop((turn, body));
            if let Some(revision) = written {
                api.settle(revision);
            }
            response
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| {
            log::error!("api: {error}");
            Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        })
    }

    fn admit(&self, peer: Peer, request: &Request) -> Result<String, Rejection> {
        let config = self.serving.config();
        let Some(api) = &config.api else {
            let why = "the configuration offers no API";
            return Err(Rejection::new(StatusCode::FORBIDDEN, why));
        };
        self.turns.check_guesses(peer)?;
        let admitted = admit(api, peer, request);
        let is_a_guess = |found: &Rejection| found.status == StatusCode::UNAUTHORIZED;
        if admitted.as_ref().is_err_and(is_a_guess) {
            self.turns.count_guess(peer);
        }
        admitted
    }

    /// Whether it is this process that is asked, and not another that takes over.
    fn is_accepting(&self) -> bool {
        let listener = self.serving.api.as_ref();
        listener.is_some_and(|listener| listener.is_accepting())
    }

    /// A process that takes over would not know of what is written here.
    fn check_that_it_is_ours(&self) -> Result<(), Rejection> {
        if self.is_accepting() {
            return Ok(());
        }
        let why = "another process takes over: ask again";
        Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, why))
    }
}

fn is_write(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}

/// The certificate that is shown now; a renewed one is in the configuration.
fn certificate(config: &Config) -> Result<Option<Arc<CertifiedKey>>, String> {
    let Some(name) = config.api.as_ref().and_then(|api| api.certificate.as_ref()) else {
        return Ok(None);
    };
    let mut certificates = config.certificates.iter();
    let found = certificates.find(|one| one.name == *name);
    let found = found.map(|found| Some(Arc::clone(&found.key)));
    found.ok_or_else(|| format!("there is no certificate {name:?} any more"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv4Addr};

    use axum::body::{Body, to_bytes};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::config;
    use crate::ionos::alone::Alone;
    use crate::ionos::error::ApiError;
    use crate::ionos::object::Object;
    use crate::ionos::objects::Objects;
    use crate::ionos::path::ResourcePath;
    use crate::ionos::serve::{Keep, Serve};
    use crate::ionos::state::Warnings;
    use crate::ionos::store::Store;
    use crate::listener::Sockets;
    use crate::serving::{Knowledge, Secrets};

    /// Keeps everything, and serves nothing.
    struct Fake;

    impl Serve for Fake {
        fn serve(
            &self,
            _: &Objects,
            _: Option<&ResourcePath>,
            keep: Keep<'_>,
        ) -> Result<Warnings, ApiError> {
            keep().unwrap();
            Ok(Warnings::default())
        }

        fn is_outdated(&self) -> bool {
            false
        }

        fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>> {
            Arc::default()
        }

        fn any_datacenter(&self) -> bool {
            true
        }

        fn new_ips(&self, _: usize, _: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
            None
        }
    }

    struct Stage {
        service: Service,
        _folder: TempDir,
    }

    impl Stage {
        /// A service that accepts, with these further keys of `api`.
        fn new(keys: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path().display();
            let text = format!(
                "{{admin: {{listen: 'unix:{at}/admin'}}, api: {{listen: 'unix:{at}/api', \
                 store: {{type: FILE, path: '{at}'}}, {keys}}}}}"
            );
            let config = config::parse("a", &text).unwrap().config;
            let (mut sockets, secrets) = (Sockets::default(), Secrets::default());
            let built = Serving::build(None, config, &mut sockets, secrets, Knowledge::default());
            let serving = Arc::new(built.map_err(|all| all[0].to_string()).unwrap());
            serving.api.as_ref().unwrap().start(Box::new(|_, _| {}));
            let store = Arc::new(Store::open(folder.path(), Arc::<Alone>::default()).unwrap());
            let api = Arc::new(Api::new(store, Arc::new(Fake)));
            Stage {
                service: Service::new(api, serving),
                _folder: folder,
            }
        }

        async fn ask(
            &self,
            method: &str,
            path: &str,
            headers: &[(&str, &str)],
            body: impl Into<Body>,
        ) -> (Response, Value) {
            let mut request = axum::http::Request::builder().method(method).uri(path);
            let has_host = headers.iter().any(|(name, _)| *name == "host");
            for (name, value) in [("host", "localhost:9901")]
                .iter()
                .filter(|_| !has_host)
                .chain(headers)
            {
                request = request.header(*name, *value);
            }
            let peer = Peer::Tcp {
                peer: (Ipv4Addr::LOCALHOST, 4711).into(),
                local: Ipv4Addr::LOCALHOST.into(),
            };
            let (client, request) = (Client::alone(), request.body(body.into()).unwrap());
            let respond = self.service.respond(peer, &client, &Scheme::HTTP, request);
            let (head, body) = respond.await.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            (Response::from_parts(head, Body::empty()), body)
        }

        async fn post_group(&self) -> (Response, Value) {
            let group = json!({"properties": {
                "name": "g", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
            }});
            let path = "/cloudapi/v6/targetgroups";
            self.ask("POST", path, &[], group.to_string()).await
        }
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn whatever_is_refused_is_told_as_ionos_clients_read_it() {
        let stage = Stage::new("hostNames: [api.example]");
        let groups = "/cloudapi/v6/targetgroups";
        let evil = [("origin", "http://evil.example")];
        let cross = [("sec-fetch-site", "cross-site")];
        let large = [("content-length", "16777217")];
        for (method, path, headers, status) in [
            ("GET", groups, &[("host", "api.example")][..], 200),
            ("GET", groups, &[("host", "evil.example")], 421),
            ("GET", groups, &[("host", "")], 400),
            ("GET", groups, &cross, 403),
            ("POST", groups, &evil, 403),
            ("GET", groups, &evil, 200),
            ("POST", groups, &large, 413),
            ("POST", groups, &[], 400),
            ("DELETE", groups, &[], 405),
            ("OPTIONS", groups, &[], 405),
            ("GET", "/cloudapi/v6/servers", &[], 404),
            ("GET", "/", &[], 404),
            ("POST", "/targetgroups", &[], 404),
        ] {
            let (response, body) = stage.ask(method, path, headers, "{").await;
            assert_eq!(
                response.status(),
                status,
                "{method} {path} {headers:?}: {body}"
            );
            assert_eq!(header(&response, "content-type"), Some("application/json"));
            if status >= 400 {
                assert_eq!(body["httpStatus"], status);
                let message = &body["messages"][0];
                assert!(message["errorCode"].is_string() && message["message"].is_string());
            }
        }
    }

    #[tokio::test]
    async fn a_write_is_answered_with_where_to_ask_what_came_of_it() {
        let stage = Stage::new("");
        let (response, group) = stage.post_group().await;
        assert_eq!(response.status(), 202, "{group}");
        let location = header(&response, "location").unwrap();
        let path = location.strip_prefix("http://localhost:9901").unwrap();
        let (response, status) = stage.ask("GET", path, &[], "").await;
        assert_eq!(
            (response.status().as_u16(), &status["type"]),
            (200, &json!("request-status"))
        );
        let path = group["href"].as_str().unwrap();
        let path = path.strip_prefix("http://localhost:9901").unwrap();
        let (response, _) = stage.ask("GET", path, &[], "").await;
        let tag = header(&response, "etag").unwrap().to_owned();
        for (only_if, status) in [("\"0\"", 412), (&tag[..], 202)] {
            let headers = [("if-match", only_if)];
            let (response, _) = stage
                .ask("PATCH", path, &headers, "{\"name\": \"h\"}")
                .await;
            assert_eq!(response.status(), status);
        }
    }

    #[tokio::test]
    async fn while_another_process_takes_over_writes_are_to_be_tried_again() {
        let stage = Stage::new("");
        stage.service.serving.pause();
        let (response, _) = stage.post_group().await;
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after"), Some("1"));
        assert_eq!(header(&response, "connection"), Some("close"));
        let (response, body) = stage.ask("GET", "/cloudapi/v6/targetgroups", &[], "").await;
        assert_eq!(
            (response.status().as_u16(), &body["items"]),
            (200, &json!([]))
        );
        stage.service.serving.resume();
        let (response, _) = stage.post_group().await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "connection")),
            (202, None)
        );
    }

    #[tokio::test]
    async fn whoever_guesses_is_told_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef").unwrap();
        let stage = Stage::new(&format!("tokenFile: {}", file.display()));
        let ask = |token: &'static str| {
            let headers = [("authorization", token)];
            let stage = &stage;
            async move { stage.ask("GET", "/cloudapi/v6", &headers, "").await.0 }
        };
        assert_eq!(ask("Bearer 0123456789abcdef").await.status(), 200);
        assert_eq!(ask("Bearer x").await.status(), 401);
        // Until twenty of them are in the same second.
        let refused = loop {
            let response = ask("Bearer x").await;
            if response.status() != 401 {
                break response;
            }
        };
        assert_eq!(refused.status(), 429);
        assert_eq!(header(&refused, "retry-after"), Some("1"));
    }
}
