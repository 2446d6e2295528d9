//! The type HTTP: a request, and whether its answer is as expected. Redirects are not followed.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::Failure;
use crate::config::model::{Expected, HttpCheck};

/// How much of an answer's body is looked at.
const MOST_BODY: usize = 64 << 10;
/// The largest head.
const MOST_HEAD: usize = 64 << 10;
/// Who asks.
pub(super) const AGENT: &str = concat!("culvert/", env!("CARGO_PKG_VERSION"), " (health check)");

pub(super) async fn check<S>(check: &HttpCheck, stream: S, host: &str) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opening = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = opening.await.map_err(failure)?;
    let request = request(check, host)?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(failure)?;
        judge(check, answer).await
    };
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

fn request(check: &HttpCheck, host: &str) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut request = Request::builder()
        .method(check.method.clone())
        .uri(&check.path)
        .header(HOST, check.host.as_deref().unwrap_or(host))
        .header(CONNECTION, "close")
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .body(Empty::new())
        .map_err(|error| Failure::because(error.to_string()))?;
    // Those that are set twice are the configuration's.
    request.headers_mut().extend(check.headers.clone());
    Ok(request)
}

async fn judge(check: &HttpCheck, answer: Response<Incoming>) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    let (is_expected, what) = match &check.expected {
        Expected::Status(ranges) => {
            let is_one = ranges.iter().any(|range| range.contains(&status));
            (is_one, format!("status {status}"))
        }
        Expected::StatusMatches(expression) => {
            let is_match = expression.is_match(answer.status().as_str().as_bytes());
            (is_match, format!("status {status}"))
        }
        Expected::Body(text) => {
            let body = body(answer).await?;
            let is_in = memmem::find(&body, text.as_bytes()).is_some();
            (is_in, body_words(is_in, status))
        }
        Expected::StatusAndBody(ranges, text) => {
            let has_status = ranges.iter().any(|range| range.contains(&status));
            let is_expected =
                has_status && memmem::find(&body(answer).await?, text.as_bytes()).is_some();
            let words = match has_status {
                true => body_words(is_expected, status),
                false => format!("status {status}"),
            };
            (is_expected, words)
        }
        Expected::BodyMatches(expression) => {
            let is_match = expression.is_match(&body(answer).await?);
            (is_match, body_words(is_match, status))
        }
    };
    match is_expected != check.negate {
        true => Ok(()),
        false => Err(Failure::because(what)),
    }
}

fn body_words(is_expected: bool, status: u16) -> String {
    let word = if is_expected {
        "matches"
    } else {
        "does not match"
    };
    format!("the body {word}, with status {status}")
}

/// The beginning of the body.
async fn body(answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(failure)?;
        let part = frame.data_ref().map_or(&[][..], |part| part);
        body.extend_from_slice(&part[..part.len().min(MOST_BODY - body.len())]);
        if body.len() == MOST_BODY {
            break;
        }
    }
    Ok(body)
}

fn failure(error: hyper::Error) -> Failure {
    if error.is_incomplete_message() {
        return Failure::because("the connection was closed");
    }
    if error.is_parse() {
        return Failure::because("the answer is not HTTP");
    }
    let cause = std::error::Error::source(&error);
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(cause) => std::io::Error::from(cause.kind()).into(),
        None => Failure::because(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use regex::bytes::Regex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn expecting(expected: Expected) -> HttpCheck {
        HttpCheck {
            path: "/health?full".to_owned(),
            method: Method::GET,
            host: None,
            headers: HeaderMap::new(),
            expected,
            negate: false,
        }
    }

    /// What a check finds where this is answered, and what was asked.
    async fn asked(settings: &HttpCheck, answer: &str) -> (Result<(), Failure>, String) {
        let (ours, mut theirs) = tokio::io::duplex(4 << 20);
        let answering = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(answer.as_bytes()).await.unwrap();
            drop(theirs);
            String::from_utf8(head).unwrap()
        };
        tokio::join!(check(settings, ours, "192.0.2.1:80"), answering)
    }

    fn answer(status: u16, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    fn because(words: &str) -> Result<(), Failure> {
        Err(Failure::because(words))
    }

    #[tokio::test]
    async fn an_answer_passes_by_its_status_or_its_body() {
        let regex = |text: &str| Regex::new(text).unwrap();
        let body = |text: &str| Expected::Body(text.to_owned());
        let both = |text: &str| Expected::StatusAndBody(vec![200..=299], text.to_owned());
        let late = format!("{}end", " ".repeat(MOST_BODY));
        let in_time = format!("{}end", " ".repeat(MOST_BODY - 3));
        for (expected, answer, passes) in [
            (Expected::Status(vec![200..=200]), answer(200, ""), true),
            (Expected::Status(vec![200..=200]), answer(204, ""), false),
            (Expected::Status(vec![200..=399]), answer(302, ""), true),
            (
                Expected::Status(vec![200..=200, 429..=429]),
                answer(429, "slow"),
                true,
            ),
            (Expected::StatusMatches(regex("^2")), answer(299, ""), true),
            (Expected::StatusMatches(regex("^2")), answer(502, ""), false),
            (body("\"ok\""), answer(500, "{\"status\": \"ok\"}"), true),
            (body("ok"), answer(200, "OK"), false),
            (body("end"), answer(200, &in_time), true),
            (body("end"), answer(200, &late), false),
            (both("ready"), answer(206, "ready"), true),
            (both("ready"), answer(500, "ready"), false),
            (both("ready"), answer(206, "going"), false),
            (
                Expected::BodyMatches(regex("(?i)^ok$")),
                answer(200, "OK"),
                true,
            ),
        ] {
            let mut settings = expecting(expected);
            for negate in [false, true] {
                settings.negate = negate;
                let (result, _) = asked(&settings, &answer).await;
                assert_eq!(result.is_ok(), passes != negate, "{settings:?} {result:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_failure_says_why() {
        let settings = expecting(Expected::Status(vec![200..=200]));
        for (answer, words) in [
            (&*answer(503, ""), "status 503"),
            ("", "the connection was closed"),
            ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer is not HTTP"),
        ] {
            assert_eq!(asked(&settings, answer).await.0, because(words));
        }
        let settings = expecting(Expected::Body("ready".to_owned()));
        let (result, _) = asked(&settings, &answer(200, "starting")).await;
        let words = "the body does not match, with status 200";
        assert_eq!(result, because(words));
    }

    #[tokio::test]
    async fn the_request_is_as_configured() {
        let mut settings = expecting(Expected::Status(vec![200..=200]));
        let (_, head) = asked(&settings, &answer(200, "")).await;
        assert!(head.starts_with("GET /health?full HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: 192.0.2.1:80\r\n"), "{head}");
        settings.method = Method::HEAD;
        settings.host = Some("chat.example".to_owned());
        settings.headers.insert("x-check", "1".parse().unwrap());
        let (result, head) = asked(&settings, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
        assert_eq!(result, Ok(()));
        for part in ["HEAD /", "\r\nhost: chat.example\r\n", "\r\nx-check: 1\r\n"] {
            assert!(head.contains(part), "{part} is not in {head}");
        }
    }
}
