//! `gateway`: objects of the Gateway API that are served beside the file's.

use std::net::IpAddr;
use std::path::PathBuf;

/// `gateway`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// `manifests`: files, and folders of files, at least one; none where there is a cluster.
    pub manifests: Vec<PathBuf>,
    /// `kubernetes`: the cluster that has them instead.
    pub kubernetes: Option<Kubernetes>,
    /// `cache`: where what the cluster had last is kept. Default: nowhere.
    pub cache: Option<PathBuf>,
    /// `controllerName`: whose classes are ours. Default: `culvert.dev/gateway`.
    pub controller_name: String,
    /// `addresses`: what is given to Gateways that name none, each once. Default: nothing.
    pub addresses: Vec<IpAddr>,
}

/// `gateway.kubernetes`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// `kubeconfig` or `inCluster`
    pub access: Access,
    /// `namespace`: where the leases are. Default: `culvert-system`.
    pub namespace: String,
    /// `node`: what this node is called. Default: the name of the host.
    pub node: String,
}

/// How an API server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `inCluster`: as the service account of the Pod.
    InCluster,
    /// `kubeconfig`, with `context`.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// `context`. Default: the file's own.
        context: Option<String>,
    },
}
