//! How many connections there may be: in the process, at one address, and of one client there.
//!
//! A connection has a place for as long as it is open, as a tunnel, too. One for which there is
//! none may stand for a moment, to be answered; when many stand already it is closed at once. A
//! stream of HTTP/2 has a place as well, but for one on each connection, which that one's own place
//! is for; plain streams have half of the places at most. A lock is taken for the clients alone,
//! where they are counted: when a connection or a stream comes and when it goes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::forwarding_rule::{Limit, network_of};
use crate::os::open_files::MOST_STANDING;
use parking_lot::{Mutex, MutexGuard};

/// How long one that stands has for a request's head.
pub(super) const TO_ASK: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;

/// Places that are taken.
#[derive(Debug, Default)]
pub(super) struct Slots(AtomicUsize);

/// One of them, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    fn take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Slot(Arc::clone(self)))
    }

    /// One more, however many are taken.
    fn take_anyway(self: &Arc<Self>) -> Slot {
        self.0.fetch_add(1, Relaxed);
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// What a stream of HTTP/2 is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A WebSocket.
    Tunnel,
    /// A request and its answer.
    Plain,
}

impl Purpose {
    /// How many of these may have a place where there are so many.
    fn share_of(self, most: usize) -> usize {
        match self {
            Purpose::Tunnel => most,
            Purpose::Plain => most / 2,
        }
    }
}

/// The places that one limit is about: all that are taken, and among them those that plain streams
/// have.
#[derive(Debug, Default)]
struct Rows {
    all: Arc<Slots>,
    plain: Arc<Slots>,
}

impl Rows {
    fn take(&self, purpose: Purpose, most: usize) -> Option<[Option<Slot>; 2]> {
        let plain = match purpose {
            Purpose::Tunnel => None,
            Purpose::Plain => Some(self.plain.take(purpose.share_of(most))?),
        };
        Some([Some(self.all.take(most)?), plain])
    }
}

/// The places of the process.
#[derive(Debug)]
pub(super) struct ProcessLimit {
    rows: Rows,
    standing: Arc<Slots>,
    most: AtomicUsize,
    most_standing: AtomicUsize,
}

impl ProcessLimit {
    /// One without a limit yet.
    pub(super) fn new() -> Self {
        ProcessLimit {
            rows: Rows::default(),
            standing: Arc::default(),
            most: AtomicUsize::new(usize::MAX),
            most_standing: AtomicUsize::new(MOST_STANDING),
        }
    }

    /// How many places are taken, and how many there are.
    pub(super) fn places(&self) -> (usize, usize) {
        (self.rows.all.0.load(Relaxed), self.most.load(Relaxed))
    }

    /// From now on so many connections may be open, and so many stand. Those that are open stay.
    pub(super) fn limit(&self, most: usize, standing: usize) {
        self.most.store(most, Relaxed);
        self.most_standing.store(standing, Relaxed);
    }

    /// A place for a connection to the address with this hall, where at most `most` may be open.
    pub(super) fn admit(
        &self,
        listener_limit: &ListenerLimit,
        most: Option<usize>,
    ) -> Result<Permit, Limit> {
        let seats = || {
            let most_here = most.unwrap_or(usize::MAX);
            let server = self
                .rows
                .all
                .take(self.most.load(Relaxed))
                .ok_or(Limit::Server)?;
            let rule = listener_limit.rows.all.take(most_here).ok_or(Limit::Rule)?;
            Ok(Permit::Slot {
                seats: [server, rule],
                _client: None,
            })
        };
        seats().or_else(|limit| self.stand(limit))
    }

    /// A place for a connection that is open already, counted for this client, however many there
    /// are.
    pub(super) fn admit_anyway(
        &self,
        listener_limit: &ListenerLimit,
        client: Option<IpAddr>,
    ) -> Permit {
        let clients = &listener_limit.clients;
        Permit::Slot {
            seats: [&self.rows, &listener_limit.rows].map(|rows| rows.all.take_anyway()),
            _client: client.and_then(|client| clients.take(client, Purpose::Tunnel, usize::MAX)),
        }
    }

    /// A place for one that is too many, to be told so.
    pub(super) fn stand(&self, limit: Limit) -> Result<Permit, Limit> {
        let most = self.most_standing.load(Relaxed);
        let spot = self.standing.take(most).ok_or(limit)?;
        Ok(Permit::Standing { limit, _spot: spot })
    }

    /// The place, counted for a client that may have at most `most` at this address.
    pub(super) fn count_client(
        &self,
        place: Permit,
        listener_limit: &ListenerLimit,
        client: IpAddr,
        most: usize,
    ) -> Result<Permit, Limit> {
        let Permit::Slot { seats, .. } = place else {
            return Ok(place);
        };
        match listener_limit.clients.take(client, Purpose::Tunnel, most) {
            Some(seat) => Ok(Permit::Slot {
                seats,
                _client: Some(seat),
            }),
            None => self.stand(Limit::Client),
        }
    }

    /// A place for a stream: where it is admitted, and where it is refused. `own` is the place that
    /// its connection has itself; `most` and `client` are what holds at its address: how many may
    /// be open there, and of which client how many.
    pub(super) fn admit_stream(
        &self,
        listener_limit: &ListenerLimit,
        own: &Arc<Slots>,
        purpose: Purpose,
        most: Option<usize>,
        client: Option<(IpAddr, usize)>,
    ) -> Result<StreamPermit, Limit> {
        if let Some(own) = own.take(1) {
            return Ok(StreamPermit::Own(own));
        }
        let most_here = most.unwrap_or(usize::MAX);
        let server = self.rows.take(purpose, self.most.load(Relaxed));
        let server = server.ok_or(Limit::Server)?;
        let rule = listener_limit
            .rows
            .take(purpose, most_here)
            .ok_or(Limit::Rule)?;
        let client = client
            .map(|(client, most)| listener_limit.clients.take(client, purpose, most))
            .map(|seat| seat.ok_or(Limit::Client))
            .transpose()?;
        Ok(StreamPermit::Another {
            _seats: [server, rule],
            _client: client,
        })
    }
}

/// The places at one address, whatever rule it has.
#[derive(Debug, Default)]
pub(super) struct ListenerLimit {
    rows: Rows,
    clients: Arc<Clients>,
}

/// What an open connection takes up, for as long as this is kept.
#[derive(Debug)]
pub(super) enum Permit {
    /// It is one of those that may be open.
    Slot {
        seats: [Slot; 2],
        _client: Option<ClientSlot>,
    },
    /// It is one too many, and here to be told so.
    Standing { limit: Limit, _spot: Slot },
}

impl Permit {
    /// What the connection is one too many for.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Permit::Slot { .. } => None,
            Permit::Standing { limit, .. } => Some(*limit),
        }
    }
}

/// What a stream takes up, for as long as this is kept.
#[derive(Debug)]
pub(super) enum StreamPermit {
    /// Its connection's own place.
    Own(#[expect(dead_code, reason = "it is kept, and dropped")] Slot),
    /// One more.
    Another {
        _seats: [[Option<Slot>; 2]; 2],
        _client: Option<ClientSlot>,
    },
}

/// How many places each client has.
#[derive(Debug)]
struct Clients {
    shards: [Mutex<HashMap<IpAddr, Count>>; SHARDS],
    hasher: RandomState,
}

/// The places of one client: all, and among them those of plain streams.
#[derive(Debug, Default)]
struct Count {
    all: usize,
    plain: usize,
}

/// A place counted for its client, for as long as this is kept.
#[derive(Debug)]
pub(super) struct ClientSlot {
    clients: Arc<Clients>,
    client: IpAddr,
    purpose: Purpose,
}

impl Clients {
    fn take(
        self: &Arc<Self>,
        address: IpAddr,
        purpose: Purpose,
        most: usize,
    ) -> Option<ClientSlot> {
        let client = network_of(address);
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_default();
        let is_plain = purpose == Purpose::Plain;
        let is_beyond = is_plain && count.plain >= purpose.share_of(most);
        if count.all >= most || is_beyond {
            if count.all == 0 {
                shard.remove(&client);
            }
            return None;
        }
        count.all += 1;
        count.plain += usize::from(is_plain);
        drop(shard);
        Some(ClientSlot {
            clients: Arc::clone(self),
            client,
            purpose,
        })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Count>> {
        let place = self.hasher.hash_one(client) % SHARDS as u64;
        self.shards[usize::try_from(place).unwrap_or(0)].lock()
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

impl Drop for ClientSlot {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.clients.shard(self.client).entry(self.client) {
            let count = entry.get_mut();
            count.all -= 1;
            count.plain -= usize::from(self.purpose == Purpose::Plain);
            if count.all == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(places: &[Result<Permit, Limit>]) -> Vec<Option<Limit>> {
        let limit = |place: &Result<Permit, Limit>| place.as_ref().unwrap().limit();
        places.iter().map(limit).collect()
    }

    #[test]
    fn a_connection_beyond_a_limit_stands_and_takes_no_seat() {
        let (process_limit, listener_limit, other) = (
            ProcessLimit::new(),
            ListenerLimit::default(),
            ListenerLimit::default(),
        );
        process_limit.limit(3, 9);
        let here: Vec<_> = (0..3)
            .map(|_| process_limit.admit(&listener_limit, Some(2)))
            .collect();
        assert_eq!(limits(&here), [None, None, Some(Limit::Rule)]);
        let there: Vec<_> = (0..2).map(|_| process_limit.admit(&other, None)).collect();
        assert_eq!(limits(&there), [None, Some(Limit::Server)]);
        drop(here);
        let again: Vec<_> = (0..2)
            .map(|_| process_limit.admit(&listener_limit, Some(2)))
            .collect();
        assert_eq!(limits(&again), [None, None]);
    }

    #[test]
    fn no_more_than_some_stand() {
        let (process_limit, listener_limit) = (ProcessLimit::new(), ListenerLimit::default());
        process_limit.limit(0, 20);
        let standing: Vec<_> = (0..20)
            .map(|_| process_limit.admit(&listener_limit, None))
            .collect();
        assert!(standing.iter().all(Result::is_ok));
        assert_eq!(
            process_limit.admit(&listener_limit, None).err(),
            Some(Limit::Server)
        );
    }

    #[test]
    fn connections_are_counted_by_client_and_forgotten_with_the_last() {
        let (process_limit, listener_limit) = (ProcessLimit::new(), ListenerLimit::default());
        let admit = |client: &str| {
            let place = process_limit.admit(&listener_limit, None).unwrap();
            process_limit.count_client(place, &listener_limit, client.parse().unwrap(), 1)
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
        let left = listener_limit.clients.shards.iter();
        assert!(left.map(|shard| shard.lock().len()).sum::<usize>() == 0);
    }

    #[test]
    fn a_connections_own_place_is_for_one_of_its_streams_and_each_other_has_one_more() {
        let (process_limit, listener_limit, own) = (
            ProcessLimit::new(),
            ListenerLimit::default(),
            Arc::default(),
        );
        process_limit.limit(4, 9);
        let admit =
            || process_limit.admit_stream(&listener_limit, &own, Purpose::Tunnel, None, None);
        let carrier = process_limit.admit(&listener_limit, None).unwrap();
        let mut open: Vec<_> = (0..4).map(|_| admit().unwrap()).collect();
        assert_eq!(admit().err(), Some(Limit::Server));
        assert_eq!(
            process_limit.admit(&listener_limit, None).unwrap().limit(),
            Some(Limit::Server)
        );
        open.remove(0);
        open.push(admit().unwrap());
        assert_eq!(admit().err(), Some(Limit::Server));
        drop((open, carrier));
        assert_eq!(process_limit.rows.all.0.load(Relaxed), 0);
    }

    #[test]
    fn plain_streams_have_half_of_each_limit_at_most_and_tunnels_all() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for (server, rule, of_client, beyond) in [
            (4, None, None, Limit::Server),
            (99, Some(5), None, Limit::Rule),
            (99, Some(99), Some((client, 4)), Limit::Client),
        ] {
            let (process_limit, listener_limit, own) = (
                ProcessLimit::new(),
                ListenerLimit::default(),
                Arc::default(),
            );
            process_limit.limit(server, 9);
            let admit = |purpose| {
                process_limit.admit_stream(&listener_limit, &own, purpose, rule, of_client)
            };
            let _own = admit(Purpose::Plain).unwrap();
            let plain = [admit(Purpose::Plain), admit(Purpose::Plain)];
            assert!(plain.iter().all(Result::is_ok));
            assert_eq!(admit(Purpose::Plain).err(), Some(beyond));
            let tunnels = [admit(Purpose::Tunnel), admit(Purpose::Tunnel)];
            assert!(tunnels.iter().all(Result::is_ok), "{beyond:?}");
            drop(plain);
            assert!(admit(Purpose::Plain).is_ok());
        }
    }
}
