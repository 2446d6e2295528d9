//! What else Pingora wants of a stream.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::BufWriter;

use super::Tap;
use crate::stream::ClientStream;

#[async_trait]
impl Shutdown for Tap {
    async fn shutdown(&mut self) {
        if let Err(error) = tokio::io::AsyncWriteExt::shutdown(self).await {
            log::debug!("shutdown of a client's connection: {error}");
        }
    }
}

impl UniqueID for Tap {
    fn id(&self) -> UniqueIDType {
        let stream = self.stream.as_ref().map(BufWriter::get_ref);
        let socket = stream.and_then(ClientStream::socket);
        socket.map_or(-1, |socket| socket.as_raw_fd())
    }
}

impl GetTimingDigest for Tap {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Tap {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Tap {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Ssl for Tap {}

impl Peek for Tap {}
