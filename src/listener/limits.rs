//! How many connections there may be: in the process, at one address, and of one client there.
//!
//! A connection has a place for as long as it is open, as a tunnel, too. One for which there is none may stand for a moment,
//! to be answered; when many stand already it is closed at once. A lock is taken for the clients alone, where they are
//! counted: when a connection comes and when it goes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Limit;

/// How many connections may stand at a time, in the process.
const STANDING: usize = 128;
/// How long one that stands has for a request's head.
pub(super) const TO_ASK: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;

/// Places that are taken.
#[derive(Debug, Default)]
struct Seats(AtomicUsize);

/// One of them, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Seat(Arc<Seats>);

impl Seats {
    fn take(self: &Arc<Self>, most: usize) -> Option<Seat> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The places of the process.
#[derive(Debug)]
pub(super) struct House {
    seats: Arc<Seats>,
    standing: Arc<Seats>,
    most: AtomicUsize,
}

impl House {
    /// One without a limit yet.
    pub(super) fn new() -> Self {
        House {
            seats: Arc::default(),
            standing: Arc::default(),
            most: AtomicUsize::new(usize::MAX),
        }
    }

    /// From now on so many connections may be open. Those that are open stay.
    pub(super) fn limit(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// A place for a connection to the address with this hall, where at most `most` may be open.
    pub(super) fn admit(&self, hall: &Hall, most: Option<usize>) -> Result<Place, Limit> {
        let seats = || {
            let most_here = most.unwrap_or(usize::MAX);
            let server = self
                .seats
                .take(self.most.load(Relaxed))
                .ok_or(Limit::Server)?;
            let rule = hall.seats.take(most_here).ok_or(Limit::Rule)?;
            Ok(Place::Seat {
                seats: [server, rule],
                _client: None,
            })
        };
        seats().or_else(|limit| self.stand(limit))
    }

    /// A place for one that is too many, to be told so.
    pub(super) fn stand(&self, limit: Limit) -> Result<Place, Limit> {
        let spot = self.standing.take(STANDING).ok_or(limit)?;
        Ok(Place::Standing { limit, _spot: spot })
    }

    /// The same place, counted for a client that may have at most `most` at this address.
    pub(super) fn count_client(
        &self,
        place: Place,
        hall: &Hall,
        client: IpAddr,
        most: usize,
    ) -> Result<Place, Limit> {
        let Place::Seat { seats, .. } = place else {
            return Ok(place);
        };
        match hall.clients.take(client, most) {
            Some(seat) => Ok(Place::Seat {
                seats,
                _client: Some(seat),
            }),
            None => self.stand(Limit::Client),
        }
    }
}

/// The places at one address, whatever rule it has.
#[derive(Debug, Default)]
pub(super) struct Hall {
    seats: Arc<Seats>,
    clients: Arc<Clients>,
}

/// What an open connection takes up, for as long as this is kept.
#[derive(Debug)]
pub(super) enum Place {
    /// It is one of those that may be open.
    Seat {
        seats: [Seat; 2],
        _client: Option<ClientSeat>,
    },
    /// It is one too many, and here to be told so.
    Standing { limit: Limit, _spot: Seat },
}

impl Place {
    /// What the connection is one too many for.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Place::Seat { .. } => None,
            Place::Standing { limit, .. } => Some(*limit),
        }
    }
}

/// How many connections each client has.
#[derive(Debug)]
struct Clients {
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
    hasher: RandomState,
}

/// A connection counted for its client, for as long as this is kept.
#[derive(Debug)]
pub(super) struct ClientSeat {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    fn take(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<ClientSeat> {
        let client = network_of(address);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(shard);
        Some(ClientSeat {
            clients: Arc::clone(self),
            client,
        })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let place = self.hasher.hash_one(client) % SHARDS as u64;
        self.shards[usize::try_from(place).unwrap_or(0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clients {
    fn default() -> Self {
        Clients {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Drop for ClientSeat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.clients.shard(self.client).entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// A client in IPv6 has all addresses of its /64.
pub(super) fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(places: &[Result<Place, Limit>]) -> Vec<Option<Limit>> {
        let limit = |place: &Result<Place, Limit>| place.as_ref().unwrap().limit();
        places.iter().map(limit).collect()
    }

    #[test]
    fn a_connection_beyond_a_limit_stands_and_takes_no_seat() {
        let (house, hall, other) = (House::new(), Hall::default(), Hall::default());
        house.limit(3);
        let here: Vec<_> = (0..3).map(|_| house.admit(&hall, Some(2))).collect();
        assert_eq!(limits(&here), [None, None, Some(Limit::Rule)]);
        let there: Vec<_> = (0..2).map(|_| house.admit(&other, None)).collect();
        assert_eq!(limits(&there), [None, Some(Limit::Server)]);
        drop(here);
        let again: Vec<_> = (0..2).map(|_| house.admit(&hall, Some(2))).collect();
        assert_eq!(limits(&again), [None, None]);
    }

    #[test]
    fn no_more_than_some_stand() {
        let (house, hall) = (House::new(), Hall::default());
        house.limit(0);
        let standing: Vec<_> = (0..STANDING).map(|_| house.admit(&hall, None)).collect();
        assert!(standing.iter().all(Result::is_ok));
        assert_eq!(house.admit(&hall, None).err(), Some(Limit::Server));
    }

    #[test]
    fn connections_are_counted_by_client_and_forgotten_with_the_last() {
        let (house, hall) = (House::new(), Hall::default());
        let admit = |client: &str| {
            let place = house.admit(&hall, None).unwrap();
            house.count_client(place, &hall, client.parse().unwrap(), 1)
        };
        let open = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"].map(admit);
        assert_eq!(limits(&open), [None, Some(Limit::Client), None, None]);
        let same = [
            "::ffff:192.0.2.1",
            "2001:db8:0:0:ffff::2",
            "2001:db8:0:1::1",
        ];
        let expected = [Some(Limit::Client), Some(Limit::Client), None];
        assert_eq!(limits(&same.map(admit)), expected);
        drop(open);
        assert_eq!(limits(&[admit("192.0.2.1")]), [None]);
        let left = hall.clients.shards.iter();
        assert!(left.map(|shard| shard.lock().unwrap().len()).sum::<usize>() == 0);
    }
}
