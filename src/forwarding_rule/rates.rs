//! How many requests, WebSocket handshakes and TLS handshakes a second may bring, of one client and
//! of all together.
//!
//! The counting is Pingora's: in a table of fixed size, without a lock, and never too low. Where
//! very many clients come in one second, some are counted a little too high.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_limits::rate::Rate;

use super::networks::network_of;
use crate::config::model;
use crate::forwarding_rule::Limit;

/// The table's rows and columns: with 10,000 clients a second about one too many is counted.
const TABLE: (usize, usize) = (4, 8192);

/// The limits on requests and handshakes at one address, and those of this second.
pub struct Rates {
    /// On requests, handshakes among them.
    pub requests: Both,
    /// On WebSocket handshakes.
    pub handshakes: Both,
    /// On TLS handshakes.
    pub tls_handshakes: Both,
}

impl Rates {
    /// These limits, upon what the rule has counted in this second under those that it had before.
    pub fn upon(before: Option<&Rates>, rates: &model::Rates) -> Self {
        use Limit::{ClientHandshakes, ClientRequests, ClientTlsHandshakes};
        use Limit::{Handshakes, Requests, TlsHandshakes};
        let [requests, handshakes, tls] = [
            before.map(|before| &before.requests),
            before.map(|before| &before.handshakes),
            before.map(|before| &before.tls_handshakes),
        ];
        let tls_limits = (ClientTlsHandshakes, TlsHandshakes);
        Rates {
            requests: Both::upon(requests, &rates.requests, (ClientRequests, Requests)),
            handshakes: Both::upon(
                handshakes,
                &rates.handshakes,
                (ClientHandshakes, Handshakes),
            ),
            tls_handshakes: Both::upon(tls, &rates.tls_handshakes, tls_limits),
        }
    }
}

/// The limits on one thing.
pub struct Both {
    client: Option<PerSecond>,
    all: Option<PerSecond>,
}

impl Both {
    fn upon(before: Option<&Both>, rate: &model::Rate, (client, all): (Limit, Limit)) -> Self {
        let seen = |limit: Option<&PerSecond>| limit.map(|limit| Arc::clone(&limit.seen));
        let (of_client, of_all) = (
            before.and_then(|before| seen(before.client.as_ref())),
            before.and_then(|before| seen(before.all.as_ref())),
        );
        let per_client = |most| PerSecond::new(most, TABLE, client, of_client);
        let for_all = |most| PerSecond::new(most, (1, 1), all, of_all);
        Both {
            client: rate.client.map(per_client),
            all: rate.all.map(for_all),
        }
    }

    /// Counts one, of this client if it is anybody's in particular. One that is too many for its
    /// client does not count for all.
    ///
    /// Errors: what it is one too many for in this second.
    pub fn count(&self, client: Option<IpAddr>) -> Result<(), Limit> {
        if let Some((rate, client)) = self.client.as_ref().zip(client) {
            rate.count(network_of(client))?;
        }
        self.all.as_ref().map_or(Ok(()), |rate| rate.count(()))
    }
}

struct PerSecond {
    most: isize,
    limit: Limit,
    seen: Arc<Rate>,
}

impl PerSecond {
    fn new(
        most: usize,
        (rows, columns): (usize, usize),
        limit: Limit,
        seen: Option<Arc<Rate>>,
    ) -> Self {
        let second = Duration::from_secs(1);
        let none = || Arc::new(Rate::new_with_estimator_config(second, rows, columns));
        PerSecond {
            most: isize::try_from(most).unwrap_or(isize::MAX),
            limit,
            seen: seen.unwrap_or_else(none),
        }
    }

    fn count(&self, whose: impl std::hash::Hash) -> Result<(), Limit> {
        match self.seen.observe(&whose, 1) > self.most {
            true => Err(self.limit),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(client: Option<usize>, all: Option<usize>) -> Both {
        let rate = model::Rate { all, client };
        Both::upon(None, &rate, (Limit::ClientRequests, Limit::Requests))
    }

    #[test]
    fn what_was_counted_in_this_second_counts_under_other_limits_too() {
        let limits = |client, all| model::Rate { all, client };
        let words = (Limit::ClientRequests, Limit::Requests);
        let client = "192.0.2.1".parse().ok();
        // The next second may have begun meanwhile.
        let is_kept = (0..5).any(|_| {
            let before = Both::upon(None, &limits(Some(9), None), words);
            for _ in 0..9 {
                assert_eq!(before.count(client), Ok(()));
            }
            let now = Both::upon(Some(&before), &limits(Some(9), Some(9)), words);
            now.count(client) == Err(Limit::ClientRequests)
        });
        assert!(is_kept);
        let all = Both::upon(None, &limits(None, Some(9)), words);
        assert_eq!(
            Both::upon(Some(&all), &limits(Some(1), Some(9)), words).count(client),
            Ok(())
        );
    }

    #[test]
    fn each_client_has_its_own_share_of_a_second() {
        let rate = both(Some(2), None);
        let is_exceeded = |client: &str| rate.count(client.parse().ok()).is_err();
        let clients = ["192.0.2.1", "2001:db8::1", "192.0.2.2"];
        for client in clients {
            assert!(!is_exceeded(client) && !is_exceeded(client), "{client}");
        }
        // The next second may have begun meanwhile.
        let exceeds = |client: &str| (0..5).any(|_| is_exceeded(client));
        assert!(exceeds("192.0.2.1") && exceeds("2001:db8::ffff:1"));
        assert!(!is_exceeded("192.0.2.3"));
    }

    #[test]
    fn all_together_have_one() {
        let rate = both(None, Some(2));
        let count = |client: &str| rate.count(client.parse().ok());
        let clients = [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.4",
            "192.0.2.5",
        ];
        let refused = clients.map(count).into_iter().find(Result::is_err);
        assert_eq!(refused, Some(Err(Limit::Requests)));
        assert!((0..5).any(|_| rate.count(None).is_err()));
    }

    #[test]
    fn what_a_client_has_too_many_of_is_not_taken_from_the_others() {
        let rate = both(Some(1), Some(3));
        let count = |client: &str| rate.count(client.parse().ok());
        let greedy = (0..20).map(|_| count("192.0.2.1"));
        assert!(
            greedy
                .into_iter()
                .any(|counted| counted == Err(Limit::ClientRequests))
        );
        assert_eq!(count("192.0.2.2"), Ok(()));
    }
}
