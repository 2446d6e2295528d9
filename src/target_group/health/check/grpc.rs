//! The type GRPC: the health checking protocol of gRPC (`grpc.health.v1.Health/Check`), over
//! HTTP/2. What is asked and answered is so small that it is written and read here.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::Failure;
use super::http::AGENT;
use crate::config::model::GrpcCheck;

/// The largest head, in bytes.
const MOST_HEAD: u32 = 16 << 10;
/// The largest answer, with what frames it.
const MOST_BODY: usize = 4 << 10;
const GRPC: &str = "application/grpc";
const METHOD: &str = "/grpc.health.v1.Health/Check";
/// What comes before a message: whether it is compressed, and how long it is.
const FRAMING: usize = 5;
/// `ServingStatus` of an answer.
const SERVING: u64 = 1;

pub(super) async fn check<S>(
    check: &GrpcCheck,
    stream: S,
    host: &str,
    is_tls: bool,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(MOST_HEAD);
    let (sender, connection) = builder.handshake(stream).await.map_err(failure)?;
    let request = request(check, host, is_tls)?;
    let asking = ask(check, sender, request);
    let driving = async {
        // What breaks it breaks the asking, too.
        connection.await.ok();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = asking => result,
        () = driving => Ok(()),
    }
}

fn request(check: &GrpcCheck, host: &str, is_tls: bool) -> Result<Request<()>, Failure> {
    let scheme = if is_tls { "https" } else { "http" };
    let authority = check.host.as_deref().unwrap_or(host);
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{scheme}://{authority}{METHOD}"))
        .header(CONTENT_TYPE, GRPC)
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .body(())
        .map_err(|error| Failure::because(error.to_string()))
}

async fn ask(
    check: &GrpcCheck,
    sender: SendRequest<Bytes>,
    request: Request<()>,
) -> Result<(), Failure> {
    let mut sender = sender.ready().await.map_err(failure)?;
    let (answer, mut stream) = sender.send_request(request, false).map_err(failure)?;
    stream
        .send_data(question(&check.service), true)
        .map_err(failure)?;
    let answer = answer.await.map_err(failure)?;
    check_head(&answer)?;
    // An answer without a message has its trailers in its head.
    if let Some(words) = fault(answer.headers()) {
        return Err(Failure::because(words));
    }
    let mut body = answer.into_body();
    let message = read(&mut body).await?;
    let trailers = body.trailers().await.map_err(failure)?.unwrap_or_default();
    match trailers.get("grpc-status") {
        None => return Err(Failure::because("an answer without a grpc-status")),
        Some(_) => fault(&trailers).map_or(Ok(()), |words| Err(Failure::because(words)))?,
    }
    match status(&message) {
        Some(SERVING) => Ok(()),
        Some(other) => Err(Failure::because(format!("status {}", word(other)))),
        None => Err(Failure::because("the answer is not one of grpc.health.v1")),
    }
}

/// A `HealthCheckRequest` in its frame.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        // Field 1, of the kind that has a length.
        message.put_u8(0x0a);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(FRAMING + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(0));
    framed.put_slice(&message);
    framed.freeze()
}

fn put_varint(to: &mut BytesMut, mut number: usize) {
    while let rest @ 1.. = number >> 7 {
        to.put_u8(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number = rest;
    }
    to.put_u8(u8::try_from(number).unwrap_or(0));
}

fn check_head(answer: &Response<RecvStream>) -> Result<(), Failure> {
    let kind = answer.headers().get(CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()));
    match answer.status() {
        StatusCode::OK if is_grpc => Ok(()),
        status => {
            let words = format!("the answer is not gRPC, with status {}", status.as_u16());
            Err(Failure::because(words))
        }
    }
}

/// What `grpc-status` says has gone wrong.
fn fault(headers: &HeaderMap) -> Option<String> {
    let code = headers.get("grpc-status")?.to_str().unwrap_or("?");
    let word = match code {
        "0" => return None,
        "5" => " (the service is not known)",
        "12" => " (there are no health checks)",
        "14" => " (unavailable)",
        "16" => " (unauthenticated)",
        _ => "",
    };
    Some(format!("grpc-status {code}{word}"))
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(failure)?;
        if all.len() + part.len() > MOST_BODY {
            return Err(Failure::because("the answer is too long"));
        }
        all.extend_from_slice(&part);
        body.flow_control().release_capacity(part.len()).ok();
    }
    Ok(all)
}

/// The status that a framed `HealthCheckResponse` says; what it does not say is 0.
fn status(framed: &[u8]) -> Option<u64> {
    let (framing, mut message) = framed.split_at_checked(FRAMING)?;
    let length = u32::from_be_bytes(framing[1..].try_into().ok()?);
    if framing[0] != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                let number = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = number;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn word(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => other.to_string(),
    }
}

fn failure(error: h2::Error) -> Failure {
    if error.is_library() {
        return Failure::because("the answer is not HTTP/2");
    }
    match error.get_io() {
        Some(cause) => std::io::Error::from(cause.kind()).into(),
        None => Failure::because(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream};

    use super::*;

    /// What a check of this service finds where a server answers with this head, message and
    /// trailers; and what was asked.
    async fn asked(
        service: &str,
        head: &[(&str, &str)],
        message: &'static [u8],
        trailers: &[(&str, &str)],
    ) -> (Result<(), Failure>, (String, Vec<u8>)) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let settings = GrpcCheck {
            service: service.to_owned(),
            host: None,
        };
        let checking = check(&settings, ours, "192.0.2.1:80", false);
        tokio::join!(checking, answer(theirs, head, message, trailers))
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (
                http::HeaderName::try_from(*name).unwrap(),
                value.parse().unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    async fn answer(
        theirs: DuplexStream,
        head: &[(&str, &str)],
        message: &'static [u8],
        trailers: &[(&str, &str)],
    ) -> (String, Vec<u8>) {
        let mut connection = h2::server::handshake(theirs).await.unwrap();
        let (request, mut reply) = connection.accept().await.unwrap().unwrap();
        let (parts, mut body) = request.into_parts();
        let reading = async { read(&mut body).await.unwrap() };
        let question = tokio::select! {
            question = reading => question,
            _ = connection.accept() => panic!("the body has not come"),
        };
        let mut response = Response::new(());
        *response.headers_mut() = headers(head);
        let is_all = message.is_empty() && trailers.is_empty();
        let mut stream = reply.send_response(response, is_all).unwrap();
        if !is_all {
            stream.send_data(message.into(), false).unwrap();
            stream.send_trailers(headers(trailers)).unwrap();
        }
        connection.graceful_shutdown();
        while let Some(Ok(_)) = connection.accept().await {}
        (parts.uri.to_string(), question)
    }

    const HEAD: &[(&str, &str)] = &[("content-type", "application/grpc")];
    const GOOD: &[(&str, &str)] = &[("grpc-status", "0")];

    #[tokio::test]
    async fn serving_passes_and_nothing_else_does() {
        let because = |words: &str| Err(Failure::because(words));
        for (head, message, trailers, expected) in [
            (HEAD, &b"\0\0\0\0\x02\x08\x01"[..], GOOD, Ok(())),
            (
                HEAD,
                b"\0\0\0\0\x02\x08\x02",
                GOOD,
                because("status NOT_SERVING"),
            ),
            (HEAD, b"\0\0\0\0\0", GOOD, because("status UNKNOWN")),
            (
                HEAD,
                b"\0\0\0\0\x02\x08\x01",
                &[("grpc-status", "13")],
                because("grpc-status 13"),
            ),
            (
                &[HEAD[0], ("grpc-status", "5")],
                b"",
                &[],
                because("grpc-status 5 (the service is not known)"),
            ),
            (
                HEAD,
                b"\x01\0\0\0\x02\x08\x01",
                GOOD,
                because("the answer is not one of grpc.health.v1"),
            ),
            (
                &[("content-type", "text/html")],
                b"",
                &[],
                because("the answer is not gRPC, with status 200"),
            ),
        ] {
            let (found, _) = asked("", head, message, trailers).await;
            assert_eq!(found, expected, "{message:?} {trailers:?}");
        }
    }

    #[tokio::test]
    async fn the_service_is_named_in_the_question() {
        let (_, (uri, question)) = asked("chat.v1", HEAD, b"\0\0\0\0\0", GOOD).await;
        assert_eq!(uri, format!("http://192.0.2.1:80{METHOD}"));
        assert_eq!(question, b"\0\0\0\0\x09\x0a\x07chat.v1");
        let long = "a".repeat(200);
        assert_eq!(super::question(&long)[5..8], [0x0a, 0xc8, 0x01]);
    }

    #[tokio::test]
    async fn what_speaks_no_http2_fails() {
        let (ours, mut theirs) = tokio::io::duplex(4 << 10);
        let said = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        theirs.write_all(said).await.unwrap();
        let settings = GrpcCheck {
            service: String::new(),
            host: None,
        };
        let found = check(&settings, ours, "a", false).await;
        assert_eq!(found, Err(Failure::because("the answer is not HTTP/2")));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            status(&bytes);
            let mut framed = vec![0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()];
            framed.extend(&bytes);
            status(&framed);
        }
    }
}
