//! `SOURCE_IP`: whether the client's address lies in a block. There is nothing to compare it by.

use ipnet::IpNet;

use super::values::{Explained, Look};
use crate::rules::request::Request;

/// A block of addresses.
#[derive(Debug)]
pub(super) struct SourceIp(pub(super) IpNet);

impl Look for SourceIp {
    fn holds(&self, request: &Request<'_>) -> bool {
        self.0.contains(&request.client_ip())
    }

    fn tell(&self, request: &Request<'_>) -> Explained {
        Explained {
            subject: "SOURCE_IP",
            comparison: None,
            key: None,
            value: Some(self.0.to_string()),
            negate: false,
            saw: vec![request.client_ip().to_string()],
            held: self.holds(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, none_holds};
    use crate::config::model::Subject::SourceIp;

    #[test]
    fn the_source_ip_lies_in_the_block_whatever_form_it_came_in() {
        let block = |text: &str| SourceIp(text.parse().unwrap());
        all_hold([
            block("10.1.2.0/24"),
            block("10.1.2.3/32"),
            block("0.0.0.0/0"),
        ]);
        none_holds([block("10.1.3.0/24"), block("10.1.2.4/32"), block("::/0")]);
    }
}
