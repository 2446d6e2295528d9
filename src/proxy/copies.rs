//! Copies of requests, for target groups that only look on. Each is sent once the whole request has
//! come, by a task of its own, which nobody waits for; its answer is dropped.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::Response;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::RequestHeader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::http2;
use crate::forwarding_rule::Mirrors;
use crate::os::random::chance;
use crate::stream::TargetStream;
use crate::target_connection::{Dialler, Found, Ticket};
use crate::target_group::{PickContext, Target, TargetGroup};
use crate::telemetry::metrics::{MirrorMetrics, Mirrored};

/// Larger bodies are not copied: it is as much as is kept for another try.
const LARGEST_BODY: usize = 64 << 10;
/// How much of an answer is read at a time.
const PART: usize = 4 << 10;
/// After which pause an answer is over, if its target does not end it.
const PAUSE: Duration = Duration::from_secs(1);
/// What is of one connection, or frames a message.
const NOT_COPIED: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The copies of one request, while it comes.
pub(super) struct Copies {
    of: Vec<Copy>,
    /// As it goes to the target.
    head: Option<Box<RequestHeader>>,
    body: Vec<u8>,
    is_too_large: bool,
}

/// One of them.
struct Copy {
    group: Arc<TargetGroup>,
    context: PickContext<'static>,
    metrics: Arc<MirrorMetrics>,
}

/// What all of them are.
struct Message {
    head: RequestHeader,
    body: Bytes,
}

impl Copies {
    /// Those that are to be made of the next request; `context` is who asks a group.
    pub(super) fn begin(
        mirrors: &Mirrors,
        context: impl Fn(&TargetGroup) -> PickContext<'static>,
    ) -> Option<Box<Self>> {
        let copy = |mirror: &crate::forwarding_rule::Mirror| {
            let group = mirror.group();
            Copy {
                context: context(&group),
                group,
                metrics: Arc::clone(&mirror.metrics),
            }
        };
        let of: Vec<_> = mirrors.taking(chance).map(copy).collect();
        let copies = Copies {
            of,
            head: None,
            body: Vec::new(),
            is_too_large: false,
        };
        (!copies.of.is_empty()).then(|| Box::new(copies))
    }

    /// The request goes to a target, from its beginning.
    pub(super) fn begin_try(&mut self, head: &RequestHeader) {
        self.head = Some(Box::new(head.clone()));
        self.body.clear();
        self.is_too_large = false;
    }

    /// A part of the body goes to the target.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.is_too_large |= self.body.len() + part.len() > LARGEST_BODY;
        match self.is_too_large {
            true => self.body = Vec::new(),
            false => self.body.extend_from_slice(part),
        }
    }

    /// All of the request has come: sends the copies, as far as there is room for them. `header` is
    /// what a target hears before all else.
    pub(super) fn send(
        self,
        room: &Arc<Semaphore>,
        has_body: bool,
        header: impl Fn(&Target) -> Vec<u8>,
    ) {
        let Some(mut head) = self.head.filter(|_| !self.is_too_large) else {
            self.of
                .iter()
                .for_each(|copy| copy.metrics.count(Mirrored::TooLarge));
            return;
        };
        for name in &NOT_COPIED {
            head.remove_header(name);
        }
        let length = self.body.len();
        if has_body && head.insert_header(CONTENT_LENGTH, length).is_err() {
            return;
        }
        let (head, body) = (*head, self.body.into());
        let message = Arc::new(Message { head, body });
        for copy in self.of {
            copy.send(&message, room, &header);
        }
    }
}

impl Copy {
    fn send(
        self,
        message: &Arc<Message>,
        room: &Arc<Semaphore>,
        header: impl Fn(&Target) -> Vec<u8>,
    ) {
        let Ok(place) = Arc::clone(room).try_acquire_owned() else {
            return self.metrics.count(Mirrored::TooMany);
        };
        let Ok((target, held)) = self.group.pick(&self.context) else {
            return self.metrics.count(Mirrored::Failed);
        };
        let dialler = Dialler {
            pool: None,
            header: header(&target),
            offers_http2: target.may_speak_http2(),
            has_body: !message.body.is_empty(),
            target,
        };
        let message = Arc::clone(message);
        tokio::spawn(async move {
            self.go(dialler, &message, place).await;
            drop(held);
        });
    }

    async fn go(self, dialler: Dialler, message: &Message, _place: OwnedSemaphorePermit) {
        let silence = self.group.response_timeout;
        let count = |is_answered| match is_answered {
            true => self.metrics.count(Mirrored::Answered),
            false => self.metrics.count(Mirrored::Failed),
        };
        match dialler.open(self.group.connect_timeout).await {
            Ok(Found::Own(mut stream)) => {
                let asked = timeout(silence, ask(&mut stream, message)).await;
                count(matches!(asked, Ok(Ok(()))));
                if let Ok(Ok(())) = asked {
                    drain(stream).await;
                }
            }
            Ok(Found::Shared(mut ticket)) => {
                let is_tls = dialler.target.tls.is_some();
                let asked = timeout(silence, ask_http2(&mut ticket, message, is_tls)).await;
                let body = asked.ok().flatten();
                count(body.is_some());
                if let Some(body) = body {
                    drain_http2(body).await;
                }
            }
            Err(_) => count(false),
        }
    }
}

/// Sends it, and waits for the beginning of an answer.
async fn ask(stream: &mut TargetStream, message: &Message) -> io::Result<()> {
    stream.write_all(&message.text()).await?;
    stream.write_all(&message.body).await?;
    stream.flush().await?;
    stream.read_u8().await.map(drop)
}

/// Reads what comes, so that the target can say it.
async fn drain(mut stream: TargetStream) {
    let mut part = vec![0; PART];
    while let Ok(Ok(1..)) = timeout(PAUSE, stream.read(&mut part)).await {}
}

async fn ask_http2(ticket: &mut Ticket, message: &Message, is_tls: bool) -> Option<RecvStream> {
    let head = http2::head_for_target(&message.head, &message.head, is_tls).ok()?;
    let has_body = !message.body.is_empty();
    let (answer, mut stream) = ticket.sender.send_request(head, !has_body).ok()?;
    if has_body {
        stream.send_data(message.body.clone(), true).ok()?;
    }
    answer.await.ok().map(Response::into_body)
}

async fn drain_http2(mut body: RecvStream) {
    while let Ok(Some(Ok(part))) = timeout(PAUSE, body.data()).await {
        body.flow_control().release_capacity(part.len()).ok();
    }
}

impl Message {
    fn text(&self) -> Vec<u8> {
        let mut text = self.head.method.as_str().as_bytes().to_vec();
        text.push(b' ');
        text.extend_from_slice(self.head.raw_path());
        text.extend_from_slice(b" HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in &self.head.headers {
            text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}
