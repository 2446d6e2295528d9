//! Who asks for a target: what of a request decides where it goes.

use std::net::IpAddr;

use super::TargetGroup;
use super::selection::hash;
use crate::config::model::{Algorithm, HashKey};
use crate::target_address::TargetAddress;

/// A request, as the choice of its target sees it.
#[derive(Debug, Default, Clone, Copy)]
pub struct PickContext<'a> {
    /// The hash of the client's address or of what the group goes by; `None` where it goes by no
    /// such thing.
    pub hash: Option<u64>,
    /// The place of the target that its cookie tells.
    pub sticky: Option<usize>,
    /// To whom it was sent, in vain.
    pub tried: &'a [TargetAddress],
}

/// Why there is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// None is fit, or none is left.
    None,
    /// All that are fit carry as much as they may.
    Full,
}

impl TargetGroup {
    /// The hash that decides where a request of this client goes, if one does; `value` is what a
    /// key has in the request.
    pub fn hash<'r>(
        &self,
        client: IpAddr,
        value: impl Fn(&HashKey) -> Option<&'r [u8]>,
    ) -> Option<u64> {
        let present = |key| value(key).filter(|value| !value.is_empty());
        let cookie = self.application_cookie.as_ref().and_then(present);
        if cookie.is_some() {
            return cookie.map(hash);
        }
        match &self.algorithm {
            Algorithm::SourceIp => Some(hash_of_client(client)),
            Algorithm::Hash(key) => {
                let hashed = present(key).map(hash);
                Some(hashed.unwrap_or_else(|| hash_of_client(client)))
            }
            Algorithm::RoundRobin | Algorithm::LeastConnection | Algorithm::Random => None,
        }
    }
}

fn hash_of_client(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(ip) => hash(&ip.octets()),
        IpAddr::V6(ip) => hash(&ip.octets()),
    }
}
