//! `gateway`: objects of the Gateway API that are served beside the file's.

use std::net::IpAddr;
use std::path::PathBuf;

/// `gateway`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// `manifests`: files, and folders of files, at least one.
    pub manifests: Vec<PathBuf>,
    /// `controllerName`: whose classes are ours. Default: `culvert.dev/gateway`.
    pub controller_name: String,
    /// `addresses`: what is given to Gateways that name none, each once. Default: nothing.
    pub addresses: Vec<IpAddr>,
}
