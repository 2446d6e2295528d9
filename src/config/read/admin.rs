//! `admin`: where operators are heard, and who they must be.
//!
//! An address that others than this machine's processes can reach needs a token. The token's file
//! is read here, as the certificates' files are, so that one that cannot be used is a problem like
//! any other.

use super::super::model::{Admin, ListenAddress};
use super::super::tree::Mapping;
use super::addresses::{Addresses, Families};
use super::{defaults, operators};

pub(super) const KEYS: &[&str] = &["listen", "mode", "tokenFile", "readOnly", "hostNames"];

const USED_BY_OTHERS: u32 = 0o002;

pub(super) fn read(top: &Mapping, addresses: &mut Addresses) -> Option<Admin> {
    let mapping = top.section("admin", KEYS)?;
    let listen = mapping.or("listen", defaults::admin_listen(), operators::address);
    let token = mapping.or("tokenFile", None, |node| operators::token(node).map(Some));
    let mode = operators::mode(&mapping, listen.as_ref());
    let read_only = mapping.or("readOnly", false, |node| node.boolean());
    let host_names = mapping.or("hostNames", Vec::new(), |list| {
        list.each(|node| operators::host_name(&node))
    });
    if let Some(ListenAddress::Tcp(address)) = &listen {
        let families = Families::of(*address, true);
        addresses.enter(*address, families, "admin.listen", &mapping, "listen");
        if !address.ip().is_loopback() && mapping.get("tokenFile").is_none() {
            let message = "must be a loopback address, or unix:PATH, or tokenFile must be set: \
                           others could end tunnels";
            return mapping.problem("listen", message);
        }
    }
    let (mode, token) = (mode?, token?);
    if mode & USED_BY_OTHERS != 0 && token.is_none() {
        mapping.warning("mode", "every user of this machine may end tunnels");
    }
    Some(Admin {
        listen: listen?,
        mode,
        token,
        read_only: read_only?,
        host_names: host_names?,
    })
}
