//! What a single value of the file may be: a string, a number in a range, one of a few words, an
//! address.
//!
//! Each reader returns `None` only after it has noted why. Nothing is converted: a number does not
//! pass for a string, nor a string for a number, so that what the file says is what the reader of
//! the file sees.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use super::tree::Node;
use super::unique::Unique;
use super::units;
use super::words::{listed, looks_expanded};

/// The durations that are often less than a second.
const OFTEN_SHORT: &[&str] = &[
    "attemptTimeout",
    "backoff",
    "checkInterval",
    "checkTimeout",
    "connectTimeout",
    "requestTimeout",
    "responseTimeout",
];

impl<'a> Node<'a> {
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        value.or_else(|| self.wrong("true or false"))
    }

    /// A string, possibly empty.
    pub(super) fn string(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            Value::Number(_) | Value::Bool(_) => {
                self.problem("must be a string (put it in quotes)")
            }
            Value::Null | Value::Array(_) | Value::Object(_) => self.wrong("a string"),
        }
    }

    /// A string with something in it.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.string()?;
        if text.trim().is_empty() {
            return self.problem("must not be blank");
        }
        Some(text)
    }

    /// A number without a fraction, within bounds that `T` can hold.
    pub(super) fn integer<T>(&self, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let number = self.value.as_i64().and_then(|n| T::try_from(n).ok());
        number.filter(|n| bounds.contains(n)).or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            self.wrong(&format!("an integer from {low} to {high}"))
        })
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&self) -> Option<f64> {
        let number = self.value.as_f64().filter(|n| (0.0..=1.0).contains(n));
        number.or_else(|| self.wrong("a number from 0 to 1"))
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.integer(1..=u16::MAX)
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        let duration = units::duration(self.value)
            .map_err(|reason| self.wrong::<()>(reason.expected()))
            .ok()?;
        self.warn_of_likely_seconds();
        Some(duration)
    }

    /// A duration that may be 0.
    pub(super) fn delay(&self) -> Option<Duration> {
        let delay = units::delay(self.value)
            .map_err(|reason| self.wrong::<()>(reason.expected()))
            .ok()?;
        self.warn_of_likely_seconds();
        Some(delay)
    }

    /// A number without a unit is milliseconds, which a short one rarely means.
    fn warn_of_likely_seconds(&self) {
        let key = self.path().rsplit('.').next().unwrap_or_default();
        let most = if OFTEN_SHORT.contains(&key) { 60 } else { 999 };
        if let Some(number) = self
            .value
            .as_u64()
            .filter(|number| (1..=most).contains(number))
        {
            self.warning(format!(
                "{number} is {number} ms: write \"{number}s\" for seconds, or \"{number}ms\""
            ));
        }
    }

    /// An amount of memory, in bytes.
    pub(super) fn memory(&self) -> Option<u64> {
        units::memory(self.value)
            .map_err(|reason| self.wrong::<()>(reason.expected()))
            .ok()
    }

    /// A file's name.
    pub(super) fn path_of_file(&self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    /// Notes where a text has the name of a variable, which nothing puts its value in the place of.
    pub(super) fn warn_of_variables(&self) {
        if self.value.as_str().is_some_and(looks_expanded) {
            self.warning("nothing is expanded: ${…} is taken as it is written");
        }
    }

    /// One of the words `accepted`. The words `later` are refused as known, but not supported yet.
    pub(super) fn choice<T: Copy>(&self, accepted: &[(&str, T)], later: &[&str]) -> Option<T> {
        self.accepts(|| accepted.iter().map(|(name, _)| *name).collect(), true);
        let word = self.value.as_str();
        if let Some((_, choice)) = accepted.iter().find(|(name, _)| Some(*name) == word) {
            return Some(*choice);
        }
        if let Some(word) = later.iter().find(|name| Some(**name) == word) {
            return self.problem(format!("{word} is not supported yet"));
        }
        let names: Vec<&str> = accepted.iter().map(|(name, _)| *name).collect();
        self.wrong(&listed(&names, "or"))
    }

    /// An address, in its IPv4 form where it is an IPv4 address written as IPv6.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self
            .value
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok())
        {
            Some(ip) => Some(ip.to_canonical()),
            None => self.wrong_but("an IP address", self.no_ip()),
        }
    }

    /// What may be wrong with what is no address.
    fn no_ip(&self) -> &'static str {
        let text = self.value.as_str().unwrap_or_default();
        if self.value.is_array() {
            return "; an IPv6 address needs quotes, and no brackets: \"::1\"";
        }
        match (text.starts_with('['), text.parse::<SocketAddr>()) {
            (_, Ok(_)) => "; the port has a key of its own",
            (true, Err(_)) => "; an IPv6 address has no brackets here",
            (false, Err(_)) => "",
        }
    }

    /// A block of addresses, or one address.
    pub(super) fn block(&self) -> Option<IpNet> {
        let found = self.value.as_str().and_then(block);
        found.or_else(|| self.wrong("a block of IP addresses (\"10.0.0.0/8\") or one address"))
    }

    /// A list of blocks of addresses.
    pub(super) fn blocks(&self) -> Option<Vec<IpNet>> {
        self.each(|node| node.block())
    }

    /// A bound on how many connections there may be.
    pub(super) fn connections(&self) -> Option<usize> {
        self.integer(1..=10_000_000)
    }

    /// An address and a port in one string.
    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        let address = self.value.as_str().and_then(|text| text.parse().ok());
        match address.filter(|address: &SocketAddr| address.port() != 0) {
            Some(address) => Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
            None => self.wrong("an IP address and a port (\"127.0.0.1:9900\", \"[::1]:9900\")"),
        }
    }

    /// A name that has not been `taken`.
    pub(super) fn name(&self, taken: &mut Unique<String>) -> Option<String> {
        let name = self.text()?;
        self.warn_of_variables();
        taken.enter(name.to_owned(), self);
        Some(name.to_owned())
    }
}

/// The block of addresses that a text is, or the one address. An IPv4 block written as IPv6 is
/// taken as IPv4, like the addresses of clients.
pub(super) fn block(text: &str) -> Option<IpNet> {
    const MAPPED: u8 = 96;
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let block = text.parse::<IpNet>().or_else(|_| address()).ok()?;
    if let (IpAddr::V4(ip), IpNet::V6(v6)) = (block.addr().to_canonical(), block)
        && v6.prefix_len() >= MAPPED
    {
        let v4 = Ipv4Net::new(ip, v6.prefix_len() - MAPPED).ok();
        return v4.map(IpNet::V4);
    }
    Some(block)
}
