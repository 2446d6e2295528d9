//! One look-up of a name: /etc/hosts first, then its A and AAAA records.
//!
//! The resolver is built anew each time, so that what changes in /etc/hosts and /etc/resolv.conf is
//! heeded. It caches nothing: whoever asks knows for how long the answer holds.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

use crate::config::model;

/// For how long an answer from /etc/hosts holds.
const OF_A_FILE: Duration = Duration::from_secs(10);
const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// What a name resolves to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// At least one; sorted, each once.
    pub(super) addresses: Vec<IpAddr>,
    /// For how long, by its records.
    pub(super) ttl: Duration,
}

/// Addresses of one family, and for how long; none where there are no records.
type Family = Result<(Vec<IpAddr>, Duration), NetError>;

/// Looks a name up. Where only one family of addresses cannot be had, `last` is what there was of
/// it before.
///
/// Errors: why there is no answer, in words.
pub(super) async fn look_up(
    host: &str,
    settings: &model::Resolver,
    last: &[IpAddr],
) -> Result<Answer, String> {
    let name = Name::from_utf8(host).map_err(|error| error.to_string())?;
    if let Some(answer) = in_hosts(&name) {
        return Ok(answer);
    }
    let resolver = resolver(settings).map_err(|error| error.to_string())?;
    // A name server may answer for one family and not for the other.
    let [v4, v6] = FAMILIES.map(|family| {
        let asking = timeout(settings.timeout, ask(&resolver, &name, family));
        async { asking.await.unwrap_or(Err(NetError::Timeout)) }
    });
    let (v4, v6) = tokio::join!(v4, v6);
    combined(v4, v6, last)
}

fn in_hosts(name: &Name) -> Option<Answer> {
    let hosts = Hosts::from_system().ok()?;
    let found =
        FAMILIES.map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)));
    let addresses = found.iter().flatten().flat_map(addresses).collect();
    answer(addresses, OF_A_FILE).ok()
}

fn resolver(settings: &model::Resolver) -> Result<TokioResolver, NetError> {
    let (config, mut options) = match settings.name_servers.is_empty() {
        true => read_system_conf()?,
        false => (config(settings), ResolverOpts::default()),
    };
    options.timeout = settings.timeout / 2;
    options.attempts = 1;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

fn config(settings: &model::Resolver) -> ResolverConfig {
    let server = |address: &std::net::SocketAddr| {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    let servers = settings.name_servers.iter().map(server).collect();
    ResolverConfig::from_parts(None, Vec::new(), servers)
}

/// The name as it stands, and by the search list only where it has no records for certain: of
/// several failures that list tells the last.
async fn ask(resolver: &TokioResolver, name: &Name, family: RecordType) -> Family {
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    let found = match resolver.lookup(absolute, family).await {
        Err(error) if error.is_no_records_found() && !name.is_fqdn() => {
            resolver.lookup(name.clone(), family).await
        }
        found => found,
    };
    match found {
        Ok(lookup) => Ok((addresses(&lookup).collect(), ttl(&lookup))),
        Err(error) if error.is_no_records_found() => Ok((Vec::new(), Duration::MAX)),
        Err(error) => Err(error),
    }
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    let records = lookup.answers().iter();
    records.filter_map(|record| record.data.ip_addr())
}

fn ttl(lookup: &Lookup) -> Duration {
    let ttls = lookup.answers().iter().map(|record| record.ttl);
    ttls.min()
        .map_or(Duration::MAX, |ttl| Duration::from_secs(ttl.into()))
}

fn combined(v4: Family, v6: Family, last: &[IpAddr]) -> Result<Answer, String> {
    let of_family = |is_v4: bool| {
        let family = last
            .iter()
            .filter(move |address| address.is_ipv4() == is_v4);
        (family.copied().collect::<Vec<_>>(), Duration::ZERO)
    };
    let (v4, v6) = match (v4, v6) {
        (Err(error), Err(_)) => return Err(error.to_string()),
        (Ok(v4), Err(error)) if v4.0.is_empty() => return Err(error.to_string()),
        (Err(error), Ok(v6)) if v6.0.is_empty() => return Err(error.to_string()),
        (v4, v6) => (
            v4.unwrap_or_else(|_| of_family(true)),
            v6.unwrap_or_else(|_| of_family(false)),
        ),
    };
    answer([v4.0, v6.0].concat(), v4.1.min(v6.1))
}

fn answer(addresses: Vec<IpAddr>, ttl: Duration) -> Result<Answer, String> {
    let addresses = addresses.iter().map(IpAddr::to_canonical);
    let is_target = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    let mut addresses: Vec<IpAddr> = addresses.filter(is_target).collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err("there are no addresses".to_owned()),
        false => Ok(Answer { addresses, ttl }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(addresses: &[&str], seconds: u64) -> Family {
        let parsed = addresses.iter().map(|address| address.parse().unwrap());
        Ok((parsed.collect(), Duration::from_secs(seconds)))
    }

    #[test]
    fn both_families_make_an_answer_and_one_that_fails_keeps_what_it_had() {
        let failed = || Err(NetError::Timeout);
        let none = || Ok((Vec::new(), Duration::MAX));
        let last: Vec<IpAddr> = ["10.0.0.9", "fd00::9"].map(|ip| ip.parse().unwrap()).into();
        for (v4, v6, expected) in [
            (
                family(&["10.0.0.2", "10.0.0.1"], 9),
                family(&["fd00::1"], 5),
                Ok(("10.0.0.1 10.0.0.2 fd00::1", 5)),
            ),
            (
                family(&["10.0.0.1", "10.0.0.1"], 9),
                none(),
                Ok(("10.0.0.1", 9)),
            ),
            (
                family(&["10.0.0.1"], 9),
                family(&["::ffff:10.0.0.1"], 9),
                Ok(("10.0.0.1", 9)),
            ),
            (
                none(),
                family(&["fd00::1", "::", "ff02::1"], 7),
                Ok(("fd00::1", 7)),
            ),
            (
                family(&["10.0.0.1"], 9),
                failed(),
                Ok(("10.0.0.1 fd00::9", 0)),
            ),
            (
                failed(),
                family(&["fd00::1"], 9),
                Ok(("10.0.0.9 fd00::1", 0)),
            ),
            (failed(), none(), Err(())),
            (none(), failed(), Err(())),
            (failed(), failed(), Err(())),
            (none(), none(), Err(())),
            (family(&["0.0.0.0"], 9), none(), Err(())),
        ] {
            let found = combined(v4, v6, &last).map_err(|_| ());
            let words = |addresses: &[IpAddr]| {
                let words: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                words.join(" ")
            };
            let found = found.map(|found| (words(&found.addresses), found.ttl.as_secs()));
            assert_eq!(
                found,
                expected.map(|(addresses, ttl)| (addresses.to_owned(), ttl))
            );
        }
    }
}
