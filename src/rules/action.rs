//! What a rule does with a request: forward it, or answer it with what is ready-made here.
//!
//! Writing an answer to the client is the work of `proxy`, which also knows when an answer must not
//! have a body (to a HEAD request, say).

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::redirect::Redirect;
use crate::config::model;

/// What is done with a request that meets a rule.
#[derive(Debug)]
pub enum Action<G> {
    /// `FORWARD`: to a target of this group, or of one of several.
    Forward(G),
    /// `REDIRECT` and `STATIC`: answered here.
    Respond(Response),
}

/// An answer of ours.
#[derive(Debug)]
pub enum Response {
    /// `REDIRECT`
    Redirect(Redirect),
    /// `STATIC`
    Static(Static),
}

/// Answers with a fixed text.
#[derive(Debug)]
pub struct Static {
    /// 200 to 599.
    pub status: StatusCode,
    /// The Content-Type header.
    pub content_type: HeaderValue,
    /// The body, which clones without copying.
    pub body: Bytes,
}

impl<G> Action<G> {
    /// Builds the action; an error is the configured word that cannot be used.
    pub(super) fn build(
        action: &model::Action,
        group: impl Fn(&model::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        match action {
            model::Action::Forward(forward) => group(forward)
                .map(Self::Forward)
                .ok_or_else(|| names(forward)),
            model::Action::Redirect(redirect) => Redirect::build(redirect)
                .map(|redirect| Self::Respond(Response::Redirect(redirect))),
            model::Action::Static {
                status_code,
                response_message,
                content_type,
            } => Static::build(*status_code, response_message, content_type)
                .map(|answer| Self::Respond(Response::Static(answer))),
        }
    }
}

impl Response {
    /// What a share is answered with; an error is the configured word that cannot be used.
    pub fn build(answer: &model::Answer) -> Result<Self, String> {
        match answer {
            model::Answer::Status(code) => Static::build(*code, "", "text/plain").map(Self::Static),
            model::Answer::Redirect(redirect) => Redirect::build(redirect).map(Self::Redirect),
        }
    }
}

fn names(forward: &model::Forward) -> String {
    let groups = forward.target_groups.iter();
    let names: Vec<&str> = groups.map(|group| group.name.as_str()).collect();
    names.join(", ")
}

impl Static {
    fn build(status_code: u16, message: &str, content_type: &str) -> Result<Self, String> {
        Ok(Self {
            status: status(status_code)?,
            content_type: header_value(content_type)?,
            body: Bytes::copy_from_slice(message.as_bytes()),
        })
    }
}

fn status(code: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(code).map_err(|_| code.to_string())
}

fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_built_once_from_what_is_configured() {
        let action = model::Action::Static {
            status_code: 599,
            response_message: "{\"closed\":\"schön\"}".into(),
            content_type: "application/json".into(),
        };
        let built = Action::build(&action, |_| None::<()>).unwrap();
        let Action::Respond(Response::Static(answer)) = built else {
            panic!("{built:?}");
        };
        assert_eq!(answer.status.as_u16(), 599);
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(answer.body, "{\"closed\":\"schön\"}".as_bytes());
    }

    #[test]
    fn what_has_no_place_in_a_header_is_an_error() {
        assert!(Static::build(200, "", "text/plain\r\n").is_err());
    }
}
