//! One order: from the account to the certificate (RFC 8555 section 7.1).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use tokio::time::timeout;

use super::account;
use super::answers::{Answers, why};
use super::challenges::Challenges;
use super::client::{Heard, chain};
use super::record::{Issued, moment};
use crate::config::model::{Acme, Challenge};

/// How often a directory is asked how far an order is, and for how long.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// How long an order may take, but for commands.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a request is sent anew that was turned away for its nonce alone, as it was not looked
/// at; each time it is tried thrice.
const NONCES: usize = 10;
/// How long a directory is left alone that has had enough and does not say for how long.
const ENOUGH: Duration = Duration::from_secs(60 * 60);

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the operator reads.
    pub(super) why: String,
    /// How long nothing is to be tried at least.
    pub(super) wait: Duration,
}

/// When a directory wants a certificate to be renewed (RFC 9773 section 4.2).
pub(super) struct Window {
    /// From this moment, in seconds since 1970.
    pub(super) from: u64,
    /// To this one.
    pub(super) to: u64,
    /// After which time it is to be asked again.
    pub(super) ask: Duration,
}

/// Orders a certificate; returns it in PEM with its key and those that vouch for it. It may take
/// the place of another one of the same directory.
pub(super) async fn issue(
    name: &str,
    acme: &Arc<Acme>,
    challenges: &Arc<Challenges>,
    replaced: Option<CertificateIdentifier<'static>>,
) -> Result<Vec<u8>, Failure> {
    let heard = Arc::<Heard>::default();
    let failed = |why: String| Failure {
        why,
        wait: Duration::ZERO,
    };
    let answers = Answers::new(name, acme, challenges).map_err(failed)?;
    let commands = match &acme.challenge {
        Challenge::Dns(command) => command.timeout * (2 * acme.names.len() as u32),
        Challenge::Http | Challenge::TlsAlpn => Duration::ZERO,
    };
    let limit = LONGEST + commands;
    let attempt = Attempt {
        acme,
        heard: &heard,
        replaced,
        nonces: NONCES,
    };
    match timeout(limit, attempt.run(answers)).await {
        Ok(Ok(pem)) => Ok(pem),
        Ok(Err(error)) => Err(Failure {
            wait: wait(&error, &heard),
            why: chain(&error),
        }),
        Err(_) => Err(failed(format!("took longer than {limit:?}"))),
    }
}

/// When a directory wants this certificate to be renewed; `None` where it does not say, or has not
/// met us.
pub(super) async fn window(acme: &Acme, id: &CertificateIdentifier<'_>) -> Option<Window> {
    let heard = Arc::default();
    let account = account::kept(acme, &heard).await.ok().flatten()?;
    match account.renewal_info(id).await {
        Ok((info, ask)) => {
            let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
            let window = info.suggested_window;
            let (from, to) = (window.start.unix_timestamp(), window.end.unix_timestamp());
            let (from, to) = (seconds(from), seconds(to));
            Some(Window { from, to, ask })
        }
        Err(error) => {
            log::debug!("{}: no time of renewal: {}", acme.directory, chain(&error));
            None
        }
    }
}

struct Attempt<'a> {
    acme: &'a Arc<Acme>,
    heard: &'a Arc<Heard>,
    replaced: Option<CertificateIdentifier<'static>>,
    /// How often a request may still be sent anew.
    nonces: usize,
}

impl Attempt<'_> {
    async fn run(mut self, mut answers: Answers) -> Result<Vec<u8>, Error> {
        let mut order = self.order().await?;
        let shown = self.show(&mut order, &mut answers).await;
        let ready = match shown {
            Ok(()) => self.ready(&mut order).await,
            Err(error) => Err(error),
        };
        answers.take_back().await;
        ready?;
        let key = loop {
            match order.finalize().await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => break done?,
            }
        };
        let chain = loop {
            match order.poll_certificate(&POLLS).await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => break done?,
            }
        };
        let pem = format!("{}\n{}", key.trim_end(), chain).into_bytes();
        match Issued::of(&pem) {
            Some(_) => Ok(pem),
            None => Err(Error::Str("what was issued is no certificate")),
        }
    }

    /// A new order, by the account that is kept if its directory still knows it.
    async fn order(&mut self) -> Result<Order, Error> {
        if let Some(account) = self.kept().await? {
            match self.order_by(&account).await {
                Err(error) if is(&error, "accountDoesNotExist") => {}
                done => return done,
            }
        }
        let account = loop {
            match account::create(self.acme, self.heard).await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => break done?,
            }
        };
        self.order_by(&account).await
    }

    async fn kept(&self) -> Result<Option<Account>, Error> {
        account::kept(self.acme, self.heard).await
    }

    async fn order_by(&mut self, account: &Account) -> Result<Order, Error> {
        let names = self.acme.names.iter().cloned();
        let names: Vec<_> = names.map(Identifier::Dns).collect();
        loop {
            let mut new = NewOrder::new(&names);
            if let Some(id) = &self.replaced {
                new = new.replaces(id.clone());
            }
            match account.new_order(&new).await {
                Err(error) if self.is_asked_anew(&error) => {}
                // It may have been replaced already, or nobody there knows what that is.
                Err(error) if self.replaced.is_some() && !is_limit(&error) => self.replaced = None,
                done => return done,
            }
        }
    }

    /// Has all challenges answered, and says so.
    async fn show(&mut self, order: &mut Order, answers: &mut Answers) -> Result<(), Error> {
        let mut shown = Vec::new();
        loop {
            match self.show_rest(order, answers, &mut shown).await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => return done,
            }
        }
    }

    /// The same, but for what is in `shown`, by the URL.
    async fn show_rest(
        &self,
        order: &mut Order,
        answers: &mut Answers,
        shown: &mut Vec<(String, bool)>,
    ) -> Result<(), Error> {
        for says_so in [false, true] {
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                let step = (authorization.url().to_owned(), says_so);
                let is_pending = authorization.status == AuthorizationStatus::Pending;
                if !is_pending || shown.contains(&step) {
                    continue;
                }
                let name = authorization.identifier().identifier.clone();
                let Identifier::Dns(name) = name else {
                    return Err(Error::Str("an authorization for a DNS name"));
                };
                let kind = self.acme.challenge.as_str();
                let challenge = authorization.challenge(answers.kind());
                let mut challenge = challenge
                    .ok_or_else(|| other(format!("{name}: the directory offers no {kind}")))?;
                match says_so {
                    false => {
                        let answer = challenge.key_authorization();
                        let given = answers.give(&name, &challenge.token, &answer).await;
                        given.map_err(other)?;
                    }
                    true => challenge.set_ready().await?,
                }
                shown.push(step);
            }
        }
        Ok(())
    }

    /// Waits until all authorizations are valid. Errors: why one is not.
    async fn ready(&mut self, order: &mut Order) -> Result<(), Error> {
        let ready = loop {
            match order.poll_ready(&POLLS).await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => break done,
            }
        };
        if matches!(ready, Ok(OrderStatus::Ready)) {
            return Ok(());
        }
        let told = loop {
            match invalid(order).await {
                Err(error) if self.is_asked_anew(&error) => {}
                done => break done?,
            }
        };
        match told {
            Some(why) => Err(other(why)),
            None => ready.and(Err(Error::Str("a valid order"))),
        }
    }

    /// Whether a request is to be sent anew that has failed like this.
    fn is_asked_anew(&mut self, error: &Error) -> bool {
        let is_so = is(error, "badNonce") && self.nonces > 0;
        self.nonces -= usize::from(is_so);
        is_so
    }
}

/// Why an authorization is not valid. They are asked for anew after each look at the order.
async fn invalid(order: &mut Order) -> Result<Option<String>, Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        if let Some(why) = why(&authorization?) {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

fn other(why: String) -> Error {
    Error::Other(why.into())
}

fn is(error: &Error, kind: &str) -> bool {
    let Error::Api(problem) = error else {
        return false;
    };
    let found = problem.r#type.as_deref().unwrap_or_default();
    found.strip_prefix(PREFIX) == Some(kind)
}

/// Whether a directory has had enough.
fn is_limit(error: &Error) -> bool {
    let status = match error {
        Error::Api(problem) => problem.status,
        _ => None,
    };
    is(error, "rateLimited") || matches!(status, Some(429 | 503))
}

fn wait(error: &Error, heard: &Heard) -> Duration {
    if let Error::Timeout(Some(until)) = error {
        return until.saturating_duration_since(std::time::Instant::now());
    }
    match (is_limit(error), heard.retry_after()) {
        (true, Duration::ZERO) => ENOUGH,
        (true, told) => told,
        (false, _) => Duration::ZERO,
    }
}

impl Window {
    /// Whether a moment is in it, in seconds since 1970.
    pub(super) fn has(&self, renewal: u64) -> bool {
        (self.from..=self.to).contains(&renewal)
    }

    /// A moment in it, in seconds since 1970. `chance` is from 0 to 1.
    pub(super) fn pick(&self, chance: f64) -> u64 {
        let (from, to) = (moment(self.from), moment(self.to));
        super::record::seconds(super::schedule::between(from, to, chance))
    }
}
