//! The type WEBSOCKET: opens one as a client would, and closes it (RFC 6455). A port that is open,
//! and upgrades nothing, fails.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{HOST, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::failure::Failure;
use super::http::AGENT;
use crate::config::model::WebSocketCheck;

/// The largest message that a target may greet us with.
const MOST_MESSAGE: usize = 64 << 10;
const BUFFER: usize = 4 << 10;
const PING: &[u8] = b"culvert";

pub(super) async fn check<S>(check: &WebSocketCheck, stream: S, host: &str) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .max_message_size(Some(MOST_MESSAGE))
        .max_frame_size(Some(MOST_MESSAGE));
    let request = request(check, host)?;
    let opening = client_async_with_config(request, stream, Some(config));
    let (mut socket, _) = opening.await.map_err(failure)?;
    if check.ping {
        ping(&mut socket).await?;
    }
    close(&mut socket).await
}

fn request(check: &WebSocketCheck, host: &str) -> Result<Request<()>, Failure> {
    let host = check.host.as_deref().unwrap_or(host);
    let malformed = || Failure::because("the request cannot be made");
    let uri = Uri::builder()
        .scheme("ws")
        .authority(host)
        .path_and_query(&check.path);
    let uri = uri.build().map_err(|_| malformed())?;
    let mut request = uri.into_client_request().map_err(|_| malformed())?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| malformed());
    headers.insert(HOST, value(host)?);
    if let Some(subprotocol) = &check.subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value(subprotocol)?);
    }
    headers.extend(check.headers.clone());
    Ok(request)
}

async fn ping<S>(socket: &mut WebSocketStream<S>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ping = Message::Ping(Bytes::from_static(PING));
    socket.send(ping).await.map_err(failure)?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Pong(payload))) if payload == PING => return Ok(()),
            Some(Ok(Message::Close(_))) | None => {
                return Err(Failure::because("closed instead of a Pong"));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(failure(error)),
        }
    }
}

/// Closes it, and waits for the answer to that.
async fn close<S>(socket: &mut WebSocketStream<S>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    match socket.close(Some(close)).await {
        Ok(()) | Err(Error::ConnectionClosed) => {}
        Err(error) => return Err(failure(error)),
    }
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => return Ok(()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(failure(error)),
        }
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Io(error) => error.into(),
        Error::Http(answer) => {
            let status = answer.status().as_u16();
            Failure::because(format!("the handshake was answered with status {status}"))
        }
        Error::Protocol(
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
        ) => Failure::because("the connection was closed"),
        Error::Protocol(ProtocolError::HttparseError(_)) => {
            Failure::because("the answer is not HTTP")
        }
        error => Failure::because(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    use tokio_tungstenite::{accept_async, accept_hdr_async};

    use super::*;

    fn settings() -> WebSocketCheck {
        WebSocketCheck {
            path: "/chat?check".to_owned(),
            host: None,
            headers: HeaderMap::new(),
            subprotocol: None,
            ping: true,
        }
    }

    /// What a check finds with this at the other end.
    async fn found<F: Future>(
        settings: &WebSocketCheck,
        target: impl FnOnce(DuplexStream) -> F,
    ) -> Result<(), String> {
        let (ours, theirs) = duplex(64 << 10);
        let (found, _) = tokio::join!(check(settings, ours, "192.0.2.1:80"), target(theirs));
        found.map_err(|failure| match failure {
            Failure::Because(words) => words,
            Failure::Shortage => "shortage".to_owned(),
        })
    }

    async fn head(stream: &mut DuplexStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_target_that_upgrades_answers_a_ping_and_closes_passes() {
        let target = async |stream| {
            let mut socket = accept_async(stream).await.unwrap();
            socket.send(Message::text("welcome")).await.unwrap();
            let mut seen = Vec::new();
            while let Some(Ok(message)) = socket.next().await {
                seen.push(message);
            }
            let code = |message: &Message| match message {
                Message::Close(Some(frame)) => Some(u16::from(frame.code)),
                _ => None,
            };
            assert!(seen[0].is_ping());
            assert_eq!(seen.iter().find_map(code), Some(1000));
        };
        assert_eq!(found(&settings(), target).await, Ok(()));
    }

    #[tokio::test]
    async fn a_target_that_does_not_upgrade_fails_and_the_reason_says_how() {
        for (answer, reason) in [
            (
                "HTTP/1.1 404 Not Found\r\n\r\n",
                "the handshake was answered with status 404",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\n",
                "the handshake was answered with status 200",
            ),
            ("", "the connection was closed"),
            ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer is not HTTP"),
            (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                "WebSocket protocol error: Key mismatch in \"Sec-WebSocket-Accept\" header",
            ),
        ] {
            let target = async |mut stream: DuplexStream| {
                head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            assert_eq!(found(&settings(), target).await, Err(reason.to_owned()));
        }
    }

    /// Accepts the handshake, says this, and breaks off when the check has said this many bytes.
    async fn upgraded(mut stream: DuplexStream, says: &[u8], hears: usize) {
        let head = head(&mut stream).await;
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then_some(value)
        });
        let accept = derive_accept_key(key.unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream.read_exact(&mut vec![0; hears]).await.unwrap();
    }

    #[tokio::test]
    async fn a_target_that_breaks_off_after_the_upgrade_fails() {
        let (ping, close) = (2 + 4 + PING.len(), 2 + 4 + 2);
        let target = |stream| upgraded(stream, b"", ping);
        let closed = Err("the connection was closed".to_owned());
        assert_eq!(found(&settings(), target).await, closed);
        let pong = [&[0x8a, 7][..], PING].concat();
        let target = |stream| upgraded(stream, &pong, ping + close);
        assert_eq!(found(&settings(), target).await, closed);
        let target = |stream| upgraded(stream, b"\x88\x02\x03\xe9", ping);
        let found = found(&settings(), target).await;
        assert_eq!(found, Err("closed instead of a Pong".to_owned()));
    }

    #[tokio::test]
    async fn the_handshake_is_as_configured_and_the_subprotocol_must_be_agreed_to() {
        use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
        let mut settings = settings();
        settings.subprotocol = Some("chat.v2".to_owned());
        settings.host = Some("chat.example".to_owned());
        settings.headers.insert("x-check", "1".parse().unwrap());
        for (agreed, is_fine) in [(true, true), (false, false)] {
            #[allow(clippy::result_large_err, reason = "tungstenite's")]
            let answer = move |request: &Request, mut answer: Response| {
                let header = |name| request.headers()[name].to_str().unwrap();
                assert_eq!(request.uri().to_string(), "/chat?check");
                assert_eq!(header("host"), "chat.example");
                assert_eq!(header("x-check"), "1");
                assert_eq!(header("sec-websocket-protocol"), "chat.v2");
                if agreed {
                    let chosen = "chat.v2".parse().unwrap();
                    let headers = answer.headers_mut();
                    headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
                }
                Ok(answer)
            };
            let target = async |stream| {
                let mut socket = accept_hdr_async(stream, answer).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            };
            let found = found(&settings, target).await;
            assert_eq!(found.is_ok(), is_fine, "{found:?}");
        }
    }
}
