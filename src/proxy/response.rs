//! The answers of `STATIC` and `REDIRECT` rules, and of challenges.

use bytes::Bytes;
use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use super::cors;
use crate::rules::{Redirect, Static, Told};

/// Sends a ready-made answer.
pub(super) async fn send_static(session: &mut Session, answer: &Static) -> Result<()> {
    let mut header = ResponseHeader::build(answer.status, Some(3))?;
    let has_body = !matches!(answer.status.as_u16(), 204 | 205 | 304);
    if has_body {
        header.insert_header("Content-Type", &answer.content_type)?;
        header.insert_header("Content-Length", answer.body.len())?;
    } else if answer.status == StatusCode::RESET_CONTENT {
        // Unlike the others it does not end with its head, unless that says so (RFC 9110 section
        // 15.3.6).
        header.insert_header("Content-Length", 0)?;
    }
    send(session, header, has_body.then(|| answer.body.clone())).await
}

/// Sends a client to this location.
pub(super) async fn send_redirect(
    session: &mut Session,
    redirect: &Redirect,
    location: String,
) -> Result<()> {
    let mut header = ResponseHeader::build(redirect.status, Some(3))?;
    header.insert_header("Location", location)?;
    header.insert_header("Content-Length", 0)?;
    if let Some(rule) = &redirect.cors {
        cors::of_answer(rule, &session.req_header().headers, &mut header)?;
    }
    send(session, header, None).await
}

/// Answers a browser that asks what a page may do.
pub(super) async fn send_preflight(session: &mut Session, told: Told) -> Result<()> {
    let mut header = ResponseHeader::build(StatusCode::NO_CONTENT, Some(8))?;
    cors::tell_preflight(told, &mut header)?;
    send(session, header, None).await
}

/// Answers an authority that asks for a token.
pub(super) async fn send_challenge(session: &mut Session, answer: Bytes) -> Result<()> {
    let mut header = ResponseHeader::build(StatusCode::OK, Some(2))?;
    header.insert_header("Content-Type", "application/octet-stream")?;
    header.insert_header("Content-Length", answer.len())?;
    send(session, header, Some(answer)).await
}

async fn send(session: &mut Session, header: ResponseHeader, body: Option<Bytes>) -> Result<()> {
    let is_head = session.req_header().method == http::Method::HEAD;
    let body = body.filter(|body| !is_head && !body.is_empty());
    session
        .write_response_header(Box::new(header), body.is_none())
        .await?;
    match body {
        Some(body) => session.write_response_body(Some(body), true).await,
        None => Ok(()),
    }
}
