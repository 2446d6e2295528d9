//! What else Pingora wants of a stream.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};

use super::Frames;

#[async_trait]
impl Shutdown for Frames {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.tap).await;
    }
}

impl UniqueID for Frames {
    fn id(&self) -> UniqueIDType {
        self.tap.id()
    }
}

impl GetTimingDigest for Frames {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Frames {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Frames {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Ssl for Frames {}

impl Peek for Frames {}
