//! What Pingora wants of a session.

use std::future::poll_fn;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use h2::Reason;
use http::HeaderMap;
use pingora::ErrorType::ReadTimedout;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v1::client::http_req_header_to_wire;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, OrErr as _, Result};
use tokio::time::timeout;

use super::Http2Session;

#[async_trait]
impl Session for Http2Session {
    fn req_header(&self) -> &RequestHeader {
        &self.request.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        match self.timeouts.drain {
            None => self.drain().await,
            Some(limit) => timeout(limit, self.drain())
                .await
                .or_err(ReadTimedout, "draining a stream's body")?,
        }
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.send_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_over = false;
        for task in tasks {
            is_over |= match task {
                // It is the target's.
                HttpTask::Failed(error) => return Err(error),
                task => self.send_task(task).await.map_err(Error::into_down)?,
            };
        }
        if is_over {
            self.end().map_err(Error::into_down)?;
        }
        Ok(is_over)
    }

    fn set_read_timeout(&mut self, limit: Option<Duration>) {
        self.timeouts.read = limit;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.timeouts.read
    }

    fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.timeouts.write = limit;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.timeouts.write
    }

    fn set_total_drain_timeout(&mut self, limit: Option<Duration>) {
        self.timeouts.drain = limit;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.timeouts.drain
    }

    fn request_summary(&self) -> String {
        let head = &self.request.head;
        let target = String::from_utf8_lossy(head.raw_path());
        format!("{} {target}", head.method)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.answered.as_deref()
    }

    async fn shutdown(&mut self, code: u32, _: &str) {
        if self.is_over {
            return;
        }
        match &mut self.writer {
            Some(writer) => writer.send_reset(Reason::from(code)),
            None => self.request.reset(Reason::from(code)),
        }
    }

    async fn abandon(&mut self, context: &str) {
        self.shutdown(Reason::INTERNAL_ERROR.into(), context).await;
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_read() {
            return self.read_body_bytes().await;
        }
        Err(poll_fn(|cx| self.poll_reset(cx)).await)
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.request.read()
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        http_req_header_to_wire(&self.request.head).map_or_else(Bytes::new, BytesMut::freeze)
    }

    fn enable_retry_buffering(&mut self) {
        self.kept.begin();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.is_cut()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.kept.all()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
