//! Leases: keys that go when whoever put them is gone.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::client::Client;
use super::error::Error;
use super::question::Question;
use super::wire::{Granted, Revoked, Streamed};

const GRANT: &str = "/v3/lease/grant";
const KEEP_ALIVE: &str = "/v3/lease/keepalive";
const REVOKE: &str = "/v3/lease/revoke";

/// What is counted of the time of a lease that has longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a lease is renewed in its time, and how much of it one try may take.
const TIMES: u32 = 4;

/// How long it is waited after a try that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A lease that is renewed as long as this exists. Dropping it lets it run out.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    id: i64,
    lost: CancellationToken,
    _keeper: AbortOnDropHandle<()>,
}

impl Client {
    /// A lease that runs out so long after it was last renewed: a second at least, and etcd may
    /// take more. Where the outcome is not known there may be one more, which runs out.
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        let seconds = ttl.as_secs().max(1).to_string();
        let question = Question::write(GRANT, &json!({"TTL": seconds, "ID": "0"}));
        let asked = Instant::now();
        let granted: Granted = self.ask(&question).await?;
        let lost = CancellationToken::new();
        let keeper = Keeper {
            client: self.clone(),
            id: granted.id,
            ttl: seconds_of(granted.ttl),
            until: asked + seconds_of(granted.ttl),
        };
        let told = lost.clone().drop_guard();
        let keeping = tokio::spawn(async move {
            let _told = told;
            let why = keeper.keep().await;
            log::warn!("a lease of etcd is lost: {why}");
        });
        Ok(Lease {
            client: self.clone(),
            id: granted.id,
            lost,
            _keeper: AbortOnDropHandle::new(keeping),
        })
    }
}

impl Lease {
    /// What keys are put with.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Waits until it is lost: it is revoked or has run out, or would have by now if no word of its
    /// renewal has come. Its keys are gone, or go soon.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Ends it, and its keys.
    pub async fn revoke(self) -> Result<(), Error> {
        let question = Question::read(REVOKE, &json!({"ID": self.id.to_string()}));
        self.client.ask::<Revoked>(&question).await.map(drop)
    }
}

/// Who renews a lease.
struct Keeper {
    client: Client,
    id: i64,
    ttl: Duration,
    /// When it runs out.
    until: Instant,
}

impl Keeper {
    /// Renews it until it is lost; says why it is.
    async fn keep(mut self) -> String {
        let mut why = "it was not renewed in time".to_owned();
        let mut pause = self.ttl / TIMES;
        loop {
            if timeout_at(self.until, sleep(pause)).await.is_err() {
                return why;
            }
            let asked = Instant::now();
            pause = match timeout_at(self.until, self.renew()).await {
                Err(_) => return why,
                Ok(Ok(Duration::ZERO)) => return "there is no such lease any more".to_owned(),
                Ok(Ok(ttl)) => {
                    self.until = asked + ttl;
                    self.ttl / TIMES
                }
                Ok(Err(error)) => {
                    why = error.to_string();
                    PAUSE
                }
            };
        }
    }

    /// How long it has now.
    async fn renew(&self) -> Result<Duration, Error> {
        let mut question = Question::read(KEEP_ALIVE, &json!({"ID": self.id.to_string()}));
        question.patience = Some(self.ttl / TIMES);
        let renewed: Streamed<Granted> = self.client.ask(&question).await?;
        Ok(seconds_of(renewed.result.ttl))
    }
}

fn seconds_of(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0)).min(LONGEST)
}
