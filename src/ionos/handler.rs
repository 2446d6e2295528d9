//! What the API answers: which resource a path leads to, what a method does with it, and how that
//! is told.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::datacenter::{may_be_datacenter, named_datacenter};
use super::error::{ApiError, INVALID};
use super::kind::Kind;
use super::object::Object;
use super::openapi;
use super::path::{Resource, ResourcePath};
use super::query::Query;
use super::render::View;
use super::request::{Progress, Request};
use super::serve::Serve;
use super::state::State;
use super::store::Store;
use super::write::{Author, Write};

/// What a client asks.
#[derive(Debug)]
pub struct Asked<'a> {
    /// `GET`
    pub method: &'a str,
    /// The path below the API's base.
    pub path: &'a str,
    /// What is behind the question mark.
    pub query: Vec<(String, String)>,
    /// What the client's paths begin with.
    pub base: String,
    /// A user's name.
    pub by: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// `If-Match`
    pub only_if: Option<&'a str>,
}

/// What a client is told.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where it is told what came of a write.
    pub location: Option<String>,
    /// The tag of an object.
    pub tag: Option<String>,
    /// JSON.
    pub body: Value,
    /// The write that was done.
    pub revision: Option<u64>,
}

impl Answer {
    fn shown(body: Value) -> Self {
        let tag = body
            .pointer("/metadata/etag")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Answer {
            status: 200,
            location: None,
            tag,
            body,
            revision: None,
        }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Answer {
            status: error.status,
            location: None,
            tag: None,
            body: error.body(),
            revision: None,
        }
    }
}

/// Answers.
pub fn answer(asked: &Asked<'_>, store: &Store, serve: &dyn Serve) -> Answer {
    find(asked, store, serve).unwrap_or_else(Answer::from)
}

fn find(asked: &Asked<'_>, store: &Store, serve: &dyn Serve) -> Result<Answer, ApiError> {
    let is_read = matches!(asked.method, "GET" | "HEAD");
    if asked.path.trim_matches('/').is_empty() && is_read {
        let about = json!({"href": asked.base, "name": "Culvert", "version": "6.0"});
        return Ok(Answer::shown(about));
    }
    if asked.path.trim_matches('/') == "openapi.json" && is_read {
        return Ok(Answer::shown(openapi::document().clone()));
    }
    let Some(resource) = Resource::parse(asked.path) else {
        return Err(match asked.path.trim_matches('/') {
            "" | "openapi.json" => not_for(asked),
            _ => ApiError::unknown(asked.path),
        });
    };
    match (asked.method, resource) {
        ("GET" | "HEAD", resource) => read(asked, store, resource, serve),
        ("POST", Resource::Collection(kind, parent)) => write(
            asked,
            Write::Create(kind, parent, body(asked)?),
            store,
            serve,
        ),
        ("PUT", Resource::One(_, place)) => {
            write(asked, Write::Replace(place, body(asked)?), store, serve)
        }
        ("PATCH", Resource::One(_, place)) => {
            write(asked, Write::Patch(place, body(asked)?), store, serve)
        }
        ("DELETE", Resource::One(_, place)) => write(asked, Write::Delete(place), store, serve),
        _ => Err(not_for(asked)),
    }
}

fn not_for(asked: &Asked<'_>) -> ApiError {
    let message = format!("{} is not for {}", asked.method, asked.path);
    ApiError::new(405, INVALID, message)
}

fn body(asked: &Asked<'_>) -> Result<Value, ApiError> {
    let wrong = |error| ApiError::new(400, INVALID, format!("the body is no JSON: {error}"));
    serde_json::from_slice(asked.body).map_err(wrong)
}

fn read(
    asked: &Asked<'_>,
    store: &Store,
    resource: Resource,
    serve: &dyn Serve,
) -> Result<Answer, ApiError> {
    let state = &*store.state(serve);
    let shown = Shown { asked, store };
    let pairs = asked
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let query = Query::of(pairs)?;
    let view = View {
        objects: &state.objects,
        warnings: &state.warnings,
        base: &asked.base,
    };
    let body = match resource {
        Resource::Collection(Kind::Request, _) => shown.requests(state, &query),
        Resource::Collection(kind, parent) => {
            if let Some(parent) = &parent {
                existing(state, parent, serve).map_err(|error| doubted(error, parent, store))?;
            }
            view.collection(kind, parent.as_ref(), &query)
        }
        Resource::One(Kind::Request, place) => {
            shown.request(&*known_request(state, &place, store)?, query.depth)
        }
        Resource::Status(place) => shown.status(&*known_request(state, &place, store)?),
        Resource::One(Kind::Location, region) if state.objects.get(&region).is_none() => {
            let locations = view.region(&region, &query);
            locations.ok_or_else(|| ApiError::unknown(&format!("location {}", region.id())))?
        }
        Resource::One(kind, place) => {
            let found = existing(state, &place, serve);
            let found = found.map_err(|error| doubted(error, &place, store))?;
            view.one(kind, &place, &found, query.depth)
        }
    };
    Ok(Answer::shown(body))
}

fn existing(
    state: &State,
    place: &ResourcePath,
    serve: &dyn Serve,
) -> Result<Arc<Object>, ApiError> {
    if let Some(object) = state.objects.get(place) {
        return Ok(Arc::clone(object));
    }
    match serve.any_datacenter() && may_be_datacenter(place) {
        true => Ok(Arc::new(named_datacenter(place, "culvert"))),
        false => Err(ApiError::unknown(&format!(
            "{} {}",
            place.kind().name(),
            place.id()
        ))),
    }
}

fn known_request(
    state: &State,
    place: &ResourcePath,
    store: &Store,
) -> Result<Arc<Request>, ApiError> {
    let known = state.requests.get(place.id());
    let unknown = || ApiError::unknown(&format!("request {}", place.id()));
    known.ok_or_else(|| doubted(unknown(), place, store))
}

/// Whether something is unknown is not known where others cannot be asked. Of a balancer it is said
/// all the same: Terraform's provider takes nothing else.
fn doubted(unknown: ApiError, place: &ResourcePath, store: &Store) -> ApiError {
    match place.kind() != Kind::Balancer && store.is_cut_off() {
        true => ApiError::later("etcd cannot be asked, and this node does not know of it"),
        false => unknown,
    }
}

fn write(
    asked: &Asked<'_>,
    write: Write,
    store: &Store,
    serve: &dyn Serve,
) -> Result<Answer, ApiError> {
    let author = Author {
        method: asked.method,
        by: asked.by,
        only_if: asked.only_if,
    };
    let written = store.write(&write, author, serve)?;
    let view = View {
        objects: &written.state.objects,
        warnings: &written.state.warnings,
        base: &asked.base,
    };
    let place = &written.place;
    let body = match &written.object {
        Some(object) => view.one(place.kind(), place, object, 0),
        None => json!({}),
    };
    Ok(Answer {
        status: 202,
        location: Some(format!(
            "{}/requests/{}/status",
            asked.base, written.request.id
        )),
        tag: written.object.as_ref().map(|object| object.tag()),
        body,
        revision: Some(written.request.revision),
    })
}

/// What is shown of requests, and to whom.
struct Shown<'a> {
    asked: &'a Asked<'a>,
    store: &'a Store,
}

impl Shown<'_> {
    fn requests(&self, state: &State, query: &Query) -> Value {
        let limit = query.limit_of(Kind::Request);
        let newest = state.requests.newest();
        let taken = newest.iter().filter(|one| self.is_taken(query, one));
        let href = format!("{}/requests", self.asked.base);
        let items: Vec<Value> = taken
            .skip(query.offset)
            .take(limit)
            .map(|one| match query.depth {
                0 => self.request_reference(one),
                depth => self.request(one, depth - 1),
            })
            .collect();
        json!({
            "id": "/requests", "type": "collection", "href": href,
            "items": items, "offset": query.offset, "limit": limit, "_links": {},
        })
    }

    /// Whether a request is not left out by its method, what it was about, whose it is, or what
    /// came of it.
    fn is_taken(&self, query: &Query, request: &Request) -> bool {
        let text = |name: &str, text: &str| (name.to_owned(), Value::from(text));
        let properties = || {
            Map::from_iter([
                text("method", &request.method),
                text("url", request.target.as_str()),
                text("createdBy", &request.created.by),
                text("createdDate", &request.created.at),
                text("status", self.store.progress(request).word()),
            ])
        };
        query.filters.is_empty() || query.takes(|_| false, &properties())
    }

    fn request_reference(&self, request: &Request) -> Value {
        let href = format!("{}/requests/{}", self.asked.base, request.id);
        json!({"id": request.id, "type": Kind::Request.word(), "href": href})
    }

    /// A request, with what came of it inside.
    fn request(&self, request: &Request, depth: u8) -> Value {
        let mut shown = self.request_reference(request);
        let href = format!("{}/requests/{}/status", self.asked.base, request.id);
        let mut inside = json!({
            "id": format!("{}/status", request.id), "type": "request-status", "href": href,
        });
        if depth > 0 {
            inside = self.status(request);
        }
        shown["metadata"] = json!({
            "createdDate": request.created.at, "createdBy": request.created.by,
            "etag": request.id, "requestStatus": inside,
        });
        let url = format!("{}{}", self.asked.base, request.target);
        shown["properties"] =
            json!({"method": request.method, "url": url, "headers": {}, "body": ""});
        shown
    }

    fn status(&self, request: &Request) -> Value {
        let progress = self.store.progress(request);
        let word = progress.word();
        let message = match progress {
            Progress::Running => "Request is being executed".to_owned(),
            Progress::Done => "Request has been successfully executed".to_owned(),
            Progress::Failed(why) => why,
        };
        let kind = request.target.kind().word();
        let href = format!("{}{}", self.asked.base, request.target);
        let target = json!({"id": request.target.id(), "type": kind, "href": href});
        json!({
            "id": format!("{}/status", request.id), "type": "request-status",
            "href": format!("{}/requests/{}/status", self.asked.base, request.id),
            "metadata": {
                "status": word, "message": message, "etag": request.id,
                "targets": [{"target": target, "status": word}],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use super::super::alone::Alone;
    use super::super::objects::Objects;
    use super::super::serve::Keep;
    use super::super::state::Warnings;
    use super::*;

    /// Serves everything but what is on port 1, and keeps nothing where the disk is full.
    struct Fake {
        is_full: bool,
        of_file: Arc<Vec<(ResourcePath, Arc<Object>)>>,
    }

    impl Serve for Fake {
        fn serve(
            &self,
            objects: &Objects,
            _: Option<&ResourcePath>,
            keep: Keep<'_>,
        ) -> Result<Warnings, ApiError> {
            let is_on_port_1 =
                |object: &Object| object.properties.get("listenerPort") == Some(&json!(1));
            if objects
                .all(Kind::ForwardingRule)
                .any(|(_, object)| is_on_port_1(object))
            {
                return Err(ApiError::new(422, INVALID, "cannot listen"));
            }
            if self.is_full {
                return Err(ApiError::new(507, INVALID, "no space left"));
            }
            keep()?;
            Ok(Warnings::new())
        }

        fn is_outdated(&self) -> bool {
            false
        }

        fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>> {
            Arc::clone(&self.of_file)
        }

        fn new_ips(&self, _: usize, _: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
            None
        }

        fn any_datacenter(&self) -> bool {
            true
        }
    }

    struct Api {
        store: Store,
        fake: Fake,
        _folder: tempfile::TempDir,
    }

    const DC: &str = "/datacenters/11111111-1111-4111-8111-111111111111";

    impl Api {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Api {
                store: Store::open(folder.path(), Arc::<Alone>::default()).unwrap(),
                fake: Fake {
                    is_full: false,
                    of_file: Arc::default(),
                },
                _folder: folder,
            }
        }

        fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let pair = |pair: &str| {
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            };
            let body = body.to_string();
            let asked = Asked {
                method,
                path,
                query: query.split('&').filter_map(pair).collect(),
                base: "http://a/cloudapi/v6".into(),
                by: "user",
                body: body.as_bytes(),
                only_if: None,
            };
            answer(&asked, &self.store, &self.fake)
        }

        fn group(&self) -> String {
            let body = json!({"properties": {
                "name": "g", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
            }});
            let answer = self.ask("POST", "/targetgroups", body);
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.body["id"].as_str().unwrap().to_owned()
        }
    }

    #[test]
    fn what_is_written_is_shown_and_its_request_is_done() {
        let api = Api::new();
        let id = api.group();
        let shown = api.ask("GET", &format!("/targetgroups/{id}"), json!(null));
        assert_eq!(
            (shown.status, &shown.body["type"]),
            (200, &json!("target-group"))
        );
        assert_eq!(
            shown.tag.as_deref(),
            shown.body["metadata"]["etag"].as_str()
        );
        let patched = api.ask(
            "PATCH",
            &format!("/targetgroups/{id}"),
            json!({"name": "h"}),
        );
        assert_eq!(patched.status, 202);
        let location = patched.location.unwrap();
        let path = location.strip_prefix("http://a/cloudapi/v6").unwrap();
        let status = api.ask("GET", path, json!(null)).body;
        assert_eq!(status["metadata"]["status"], "DONE");
        assert_eq!(status["metadata"]["targets"][0]["target"]["id"], id);
        let request = api
            .ask("GET", path.strip_suffix("/status").unwrap(), json!(null))
            .body;
        assert_eq!(request["type"], "request");
        assert_eq!(request["properties"]["method"], "PATCH");
        let list = api.ask("GET", "/requests?depth=2", json!(null)).body;
        let first = &list["items"][0]["metadata"]["requestStatus"]["metadata"];
        assert_eq!(first["status"], "DONE");
        for (filter, count) in [
            ("method=patch", 1),
            ("method=POST,PATCH", 2),
            ("status=FAILED", 0),
            ("status=DONE&filter.createdBy=user", 2),
            ("url=/targetgroups/", 2),
            ("url=lans", 0),
            ("other=x", 2),
        ] {
            let list = api.ask("GET", &format!("/requests?filter.{filter}"), json!(null));
            let found = list.body["items"].as_array().unwrap().len();
            assert_eq!(found, count, "{filter}");
        }
        let gone = api.ask("DELETE", &format!("/targetgroups/{id}"), json!(null));
        assert_eq!((gone.status, gone.body), (202, json!({})));
        assert_eq!(
            api.ask("GET", &format!("/targetgroups/{id}"), json!(null))
                .status,
            404
        );
    }

    #[test]
    fn what_cannot_be_served_or_kept_leaves_everything_as_it_was() {
        let mut api = Api::new();
        let body = json!({"name": "b", "listenerLan": 1, "targetLan": 2, "ips": ["192.0.2.1"]});
        let balancer = api.ask("POST", &format!("{DC}/applicationloadbalancers"), body);
        let href = balancer.body["href"].as_str().unwrap().to_owned();
        let path = href.strip_prefix("http://a/cloudapi/v6").unwrap();
        let rule = |port: u16| {
            json!({
                "name": "r", "protocol": "HTTP", "listenerIp": "192.0.2.1", "listenerPort": port,
            })
        };
        let rules = format!("{path}/forwardingrules");
        assert_eq!(api.ask("POST", &rules, rule(1)).status, 422);
        let before = api.store.state(&api.fake).revision;
        api.fake.is_full = true;
        assert_eq!(api.ask("POST", &rules, rule(2)).status, 507);
        assert_eq!(api.store.state(&api.fake).revision, before);
        assert_eq!(api.ask("GET", &rules, json!(null)).body["items"], json!([]));
        api.fake.is_full = false;
        assert_eq!(api.ask("POST", &rules, rule(2)).status, 202);
    }

    #[test]
    fn whatever_is_not_there_is_404_and_what_is_not_for_it_405() {
        let api = Api::new();
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/servers", 404),
            ("GET", "/targetgroups/x", 404),
            ("DELETE", "/targetgroups/x", 404),
            ("PATCH", "/targetgroups/x", 404),
            ("GET", &format!("{DC}/applicationloadbalancers"), 200),
            ("GET", "/datacenters/x/applicationloadbalancers", 404),
            ("GET", DC, 200),
            ("GET", "/datacenters/x", 404),
            ("GET", "/requests/x/status", 404),
            ("POST", "/targetgroups/x", 405),
            ("DELETE", "/targetgroups", 405),
            ("POST", "/requests", 405),
            ("POST", "/", 405),
            ("DELETE", "", 405),
            ("PUT", "/openapi.json", 405),
            ("GET", "/datacenters/11111111111141118111111111111111", 404),
            (
                "GET",
                "/datacenters/urn:uuid:11111111-1111-4111-8111-111111111111",
                404,
            ),
            ("GET", "/locations/de", 404),
            ("GET", "/targetgroups?depth=99", 400),
        ] {
            let answer = api.ask(method, path, json!({}));
            assert_eq!(answer.status, status, "{method} {path} {answer:?}");
            if status >= 400 {
                assert_eq!(answer.body["httpStatus"], status);
                assert!(answer.body["messages"][0]["errorCode"].is_string());
            }
        }
    }
}
