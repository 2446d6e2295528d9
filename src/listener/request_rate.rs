//! How many requests of one client a second may bring.
//!
//! The counting is Pingora's: in a table of fixed size, without a lock, and never too low. Where very many clients come in one
//! second, some are counted a little too high.

use std::net::IpAddr;
use std::time::Duration;

use pingora_limits::rate::Rate;

use super::limits::network_of;

/// The table's rows and columns: with 10,000 clients a second about one request too many is counted.
const TABLE: (usize, usize) = (4, 8192);

/// A limit on requests, and those of this second.
pub struct RequestRate {
    most: isize,
    clients: Rate,
}

impl RequestRate {
    /// So many for each client; none yet.
    pub(super) fn new(most: usize) -> Self {
        let (rows, columns) = TABLE;
        RequestRate {
            most: isize::try_from(most).unwrap_or(isize::MAX),
            clients: Rate::new_with_estimator_config(Duration::from_secs(1), rows, columns),
        }
    }

    /// Counts a request; tells whether it is one too many in this second.
    pub fn is_exceeded_by(&self, client: IpAddr) -> bool {
        self.clients.observe(&network_of(client), 1) > self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_share_of_a_second() {
        let rate = RequestRate::new(2);
        let is_exceeded = |client: &str| rate.is_exceeded_by(client.parse().unwrap());
        let clients = ["192.0.2.1", "2001:db8::1", "192.0.2.2"];
        for client in clients {
            assert!(!is_exceeded(client) && !is_exceeded(client), "{client}");
        }
        // The next second may have begun meanwhile.
        let exceeds = |client: &str| (0..5).any(|_| is_exceeded(client));
        assert!(exceeds("192.0.2.1") && exceeds("2001:db8::ffff:1"));
        assert!(!is_exceeded("192.0.2.3"));
    }
}
