//! How many requests, WebSocket handshakes and TLS handshakes a second may bring, of one client and of all together.
//!
//! The counting is Pingora's: in a table of fixed size, without a lock, and never too low. Where very many clients come in one
//! second, some are counted a little too high.

use std::net::IpAddr;
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
    /// None of this second yet.
    pub fn new(rates: &model::Rates) -> Self {
        let both = Both::new;
        Rates {
            requests: both(&rates.requests, Limit::ClientRequests, Limit::Requests),
            handshakes: both(
                &rates.handshakes,
                Limit::ClientHandshakes,
                Limit::Handshakes,
            ),
            tls_handshakes: both(
                &rates.tls_handshakes,
                Limit::ClientTlsHandshakes,
                Limit::TlsHandshakes,
            ),
        }
    }
}

/// The limits on one thing.
pub struct Both {
    client: Option<PerSecond>,
    all: Option<PerSecond>,
}

impl Both {
    fn new(rate: &model::Rate, client: Limit, all: Limit) -> Self {
        Both {
            client: rate.client.map(|most| PerSecond::new(most, TABLE, client)),
            all: rate.all.map(|most| PerSecond::new(most, (1, 1), all)),
        }
    }

    /// Counts one, of this client if it is anybody's in particular. One that is too many for its client does not count for all.
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
    seen: Rate,
}

impl PerSecond {
    fn new(most: usize, (rows, columns): (usize, usize), limit: Limit) -> Self {
        PerSecond {
            most: isize::try_from(most).unwrap_or(isize::MAX),
            limit,
            seen: Rate::new_with_estimator_config(Duration::from_secs(1), rows, columns),
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
        Both::new(&rate, Limit::ClientRequests, Limit::Requests)
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
