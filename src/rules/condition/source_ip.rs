//! `SOURCE_IP`: whether the client's address lies in a block, or in one of many. There is nothing
//! to compare it by.

use ipnet::IpNet;

use super::values::{Explained, Look};
use crate::config::model::BlocksFile;
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

/// The blocks of addresses in a file.
#[derive(Debug)]
pub(super) struct SourceIpIn(pub(super) BlocksFile);

impl Look for SourceIpIn {
    fn holds(&self, request: &Request<'_>) -> bool {
        self.0.blocks.contain(request.client_ip())
    }

    fn tell(&self, request: &Request<'_>) -> Explained {
        Explained {
            subject: "SOURCE_IP",
            comparison: None,
            key: None,
            value: Some(self.0.path.display().to_string()),
            negate: false,
            saw: vec![request.client_ip().to_string()],
            held: self.holds(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, none_holds};
    use std::path::Path;
    use std::sync::Arc;

    use crate::config::model::Subject::{SourceIp, SourceIpIn};
    use crate::config::model::{Blocks, BlocksFile};

    #[test]
    fn the_source_ip_lies_in_one_of_the_blocks_of_a_file() {
        let file = |text: &str| {
            let blocks: Vec<_> = text
                .split(' ')
                .map(|block| block.parse().unwrap())
                .collect();
            let blocks = Arc::new(Blocks::from(&blocks));
            let path = Path::new("blocked.txt").into();
            SourceIpIn(BlocksFile { path, blocks })
        };
        all_hold([file("192.0.2.0/24 10.1.2.0/24 ::/0")]);
        none_holds([file("192.0.2.0/24 10.1.3.0/24 ::/0")]);
    }

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
