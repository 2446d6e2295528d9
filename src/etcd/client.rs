//! One question to whichever endpoint answers it, in the name of the user.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::connection::{Connection, connector};
use super::endpoints::{Endpoints, Trouble};
use super::error::{Cause, Error, Outcome, chain};
use super::lines::Lines;
use super::question::Question;
use super::settings::{Endpoint, Settings};
use super::wire::Authenticated;

const AUTHENTICATE: &str = "/v3/auth/authenticate";

/// How long it is waited for a leader until all endpoints are asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// A client of one cluster. A copy is the same one.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    endpoints: Endpoints,
    tls: TlsConnector,
    /// What the user is known by; renewed when etcd no longer takes it.
    token: Mutex<Option<HeaderValue>>,
    /// The connection of the last question, and where it leads.
    idle: Mutex<Option<(usize, Connection)>>,
}

/// The messages of a stream, and the connection that brings them.
pub(super) struct Stream {
    pub(super) lines: Lines<Incoming>,
    _connection: Connection,
}

impl Client {
    /// One that connects when it is asked something. Errors: there is no endpoint, or rustls does
    /// not take the certificate.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let shared = Shared {
            endpoints: Endpoints::new(settings.endpoints.clone())?,
            tls: connector(&settings)?,
            token: Mutex::new(None),
            idle: Mutex::new(None),
            settings,
        };
        Ok(Client {
            shared: Arc::new(shared),
        })
    }

    /// Since when no endpoint has answered, and why, if the last one that was asked did not.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.endpoints.trouble()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// Asks one endpoint after the other until one answers; all of them again for a while where
    /// members have no leader just now.
    pub(super) async fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, Error> {
        let until = Instant::now() + self.settings().times.whole;
        loop {
            let error = match self.ask_all(question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_repeat = !question.is_write || error.outcome == Outcome::NotDone;
            let is_time = Instant::now() + PAUSE < until;
            if !(error.cause.passes_soon() && may_repeat && is_time) {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask_all<T: DeserializeOwned>(&self, question: &Question) -> Result<T, Error> {
        let mut met: Option<Error> = None;
        for place in self.endpoints().order() {
            let error = match self.ask_at(place, question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_repeat = !question.is_write || error.outcome == Outcome::NotDone;
            if !error.cause.is_of_one_member() || !may_repeat {
                return Err(error);
            }
            // A member that can be reached says more than one that cannot.
            if met.as_ref().is_none_or(|met| !met.cause.passes_soon()) {
                met = Some(error);
            }
        }
        let none = || Error::not_done(self.endpoints().at(0), Cause::Unreachable(String::new()));
        Err(met.unwrap_or_else(none))
    }

    /// Asks one endpoint.
    pub(super) async fn ask_at<T: DeserializeOwned>(
        &self,
        place: usize,
        question: &Question,
    ) -> Result<T, Error> {
        let answer = self.answer_of(place, question).await;
        match &answer {
            Err(error) if error.cause.is_of_one_member() => {
                self.endpoints().failed(place, error);
            }
            Ok(_) | Err(_) => self.endpoints().answered(place),
        }
        answer
    }

    async fn answer_of<T: DeserializeOwned>(
        &self,
        place: usize,
        question: &Question,
    ) -> Result<T, Error> {
        let token = self.token(place).await?;
        let body = match self.send(place, question, token.clone()).await {
            Err(error) if token.is_some() && error.cause == Cause::TokenExpired => {
                self.forget(token);
                let token = self.token(place).await?;
                self.send(place, question, token).await?
            }
            answer => answer?,
        };
        read(self.endpoints().at(place), &body)
    }

    /// What the user is known by; `None` without a user.
    async fn token(&self, place: usize) -> Result<Option<HeaderValue>, Error> {
        let Some(user) = &self.settings().user else {
            return Ok(None);
        };
        if let Some(token) = self.shared.token.lock().clone() {
            return Ok(Some(token));
        }
        let who = json!({"name": user.name, "password": user.password});
        let question = Question::read(AUTHENTICATE, &who);
        let body = self.send(place, &question, None).await?;
        let endpoint = self.endpoints().at(place);
        let answer: Authenticated = read(endpoint, &body)?;
        let token = HeaderValue::from_str(&answer.token);
        let odd = |_| Error::not_done(endpoint, Cause::NotEtcd("an odd token".to_owned()));
        let mut token = token.map_err(odd)?;
        token.set_sensitive(true);
        *self.shared.token.lock() = Some(token.clone());
        Ok(Some(token))
    }

    /// Forgets a token, unless there is another one already.
    fn forget(&self, token: Option<HeaderValue>) {
        let mut kept = self.shared.token.lock();
        if *kept == token {
            *kept = None;
        }
    }

    /// The body of an answer that is a success.
    async fn send(
        &self,
        place: usize,
        question: &Question,
        token: Option<HeaderValue>,
    ) -> Result<Bytes, Error> {
        let endpoint = self.endpoints().at(place);
        let mut connection = self.connect(place).await?;
        let request = question.request(endpoint, token);
        let asking = async {
            let answer = connection.ask(endpoint, request).await?;
            let status = answer.status();
            let body = whole(endpoint, answer.into_body(), self.settings().bounds.answer);
            Ok::<_, Error>((status, body.await?))
        };
        let patience = question.patience.unwrap_or(self.settings().times.answer);
        let late = |_| Error::unknown(endpoint, Cause::TimedOut("answer", patience));
        let (status, body): (StatusCode, Bytes) =
            timeout(patience, asking).await.map_err(late)??;
        *self.shared.idle.lock() = Some((place, connection));
        match status.is_success() {
            true => Ok(body),
            false => Err(Error::answered(endpoint, status, &body)),
        }
    }

    /// Asks one endpoint for a stream, on a connection of its own.
    pub(super) async fn stream(&self, place: usize, question: &Question) -> Result<Stream, Error> {
        let endpoint = self.endpoints().at(place);
        let token = self.token(place).await?;
        let mut connection = self.open(place).await?;
        let patience = self.settings().times.answer;
        let asking = connection.ask(endpoint, question.request(endpoint, token));
        let late = |_| Error::unknown(endpoint, Cause::TimedOut("answer", patience));
        let answer = timeout(patience, asking).await.map_err(late)??;
        let (status, most) = (answer.status(), self.settings().bounds.answer);
        if !status.is_success() {
            let body = whole(endpoint, answer.into_body(), most);
            let body = timeout(patience, body).await.map_err(late)??;
            return Err(Error::answered(endpoint, status, &body));
        }
        Ok(Stream {
            lines: Lines::new(answer.into_body(), most),
            _connection: connection,
        })
    }

    /// The connection that is idle, if it leads there and is still good, or else another one.
    async fn connect(&self, place: usize) -> Result<Connection, Error> {
        let idle = self.shared.idle.lock().take();
        if let Some((there, mut connection)) = idle
            && there == place
            && connection.is_good().await
        {
            return Ok(connection);
        }
        self.open(place).await
    }

    async fn open(&self, place: usize) -> Result<Connection, Error> {
        Connection::open(
            self.endpoints().at(place),
            &self.shared.tls,
            self.settings(),
        )
        .await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.settings().endpoints.iter();
        f.write_str("Client")?;
        f.debug_set()
            .entries(endpoints.map(ToString::to_string))
            .finish()
    }
}

/// The JSON of an answer. A write of which it is the answer may have been done.
fn read<T: DeserializeOwned>(endpoint: &Endpoint, body: &[u8]) -> Result<T, Error> {
    let odd = |error| Error::unknown(endpoint, Cause::NotEtcd(format!("{error}")));
    serde_json::from_slice(body).map_err(odd)
}

async fn whole(endpoint: &Endpoint, body: Incoming, most: usize) -> Result<Bytes, Error> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::unknown(endpoint, Cause::AnswerTooLarge))
        }
        Err(error) => Err(Error::unknown(endpoint, Cause::Broken(chain(&*error)))),
    }
}
