//! What a `REDIRECT` rule says.

use super::{Cors, NewPath};
use crate::config::template::Template;

/// A `REDIRECT` rule.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// `location`: the new address, as it goes into the Location header: visible ASCII, not empty.
    /// With placeholders it begins with a scheme or a slash.
    pub location: Template,
    /// `statusCode`: 301, 302, 303, 307 or 308. Default: 301.
    pub status_code: u16,
    /// `dropQuery`: leave the request's query out of an address without placeholders. Default:
    /// false.
    pub drop_query: bool,
    /// `rewrite`: what `{path}` stands for. Default: the path that the client asked for.
    pub path: Option<NewPath>,
    /// `cors`: which pages of other sites may follow it. Default: nothing is said.
    pub cors: Option<Box<Cors>>,
}

/// A redirect that is told by its parts.
#[derive(Debug, Clone, Default)]
pub struct RedirectParts {
    /// `http` or `https`. Default: as the client came.
    pub scheme: Option<&'static str>,
    /// A host, without a port. Default: the one that was asked for.
    pub host: Option<String>,
    /// A port. Default: the scheme's own where that is given, else the one where is listened.
    pub port: Option<u16>,
    /// Another path. Default: the one that was asked for. The query stays.
    pub path: Option<NewPath>,
    /// 301, 302, 303, 307 or 308.
    pub status_code: u16,
}

impl RedirectParts {
    /// The redirect of a rule that listens on this port, with TLS or without. A port is left out
    /// where it is the scheme's own.
    ///
    /// Errors: what is wrong with the parts.
    pub fn redirect(&self, listener_port: u16, is_tls: bool) -> Result<Redirect, String> {
        let own = if is_tls { "https" } else { "http" };
        let known = |scheme| if scheme == "https" { 443 } else { 80 };
        let port = self.port.unwrap_or(match self.scheme {
            Some(scheme) => known(scheme),
            None => listener_port,
        });
        let port = match port == known(self.scheme.unwrap_or(own)) {
            true => String::new(),
            false => format!(":{port}"),
        };
        let host = match &self.host {
            Some(host) if host.contains(['{', '}', '/', '?', '#', '@']) => {
                return Err(format!("{host}: is no host"));
            }
            host => host.as_deref().unwrap_or("{host}"),
        };
        let scheme = self.scheme.unwrap_or("{scheme}");
        let location = format!("{scheme}://{host}{port}{{path}}{{query}}");
        Ok(Redirect {
            location: Template::parse_of_request(&location)?,
            status_code: self.status_code,
            drop_query: false,
            path: self.path.clone(),
            cors: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_left_out_where_it_is_the_schemes_own() {
        for (scheme, host, port, listener, expected) in [
            (None, None, None, (80, false), "{scheme}://{host}"),
            (None, None, None, (8080, false), "{scheme}://{host}:8080"),
            (None, None, None, (443, true), "{scheme}://{host}"),
            (None, Some("b"), Some(80), (8080, false), "{scheme}://b"),
            (None, None, Some(443), (80, false), "{scheme}://{host}:443"),
            (Some("https"), None, None, (8080, false), "https://{host}"),
            (
                Some("https"),
                None,
                Some(443),
                (80, false),
                "https://{host}",
            ),
            (
                Some("https"),
                None,
                Some(80),
                (80, false),
                "https://{host}:80",
            ),
            (Some("http"), None, None, (443, true), "http://{host}"),
            (
                Some("http"),
                None,
                Some(8443),
                (443, true),
                "http://{host}:8443",
            ),
        ] {
            let parts = RedirectParts {
                scheme,
                host: host.map(str::to_owned),
                port,
                path: None,
                status_code: 302,
            };
            let redirect = parts.redirect(listener.0, listener.1).unwrap();
            let expected = format!("{expected}{{path}}{{query}}");
            assert_eq!(
                redirect.location,
                Template::parse_of_request(&expected).unwrap()
            );
        }
    }

    #[test]
    fn a_host_is_no_more_than_a_host() {
        let host = Some("a/{path}".to_owned());
        let parts = RedirectParts {
            host,
            ..RedirectParts::default()
        };
        assert!(parts.redirect(80, false).is_err());
    }
}
