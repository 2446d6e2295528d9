//! The schema of a TunnelPolicy.

use serde_json::Value;

use super::schema::{boolean, duration, fraction, list, matching, may, must, object, text, word};
use super::status::name;
use crate::gateway::objects::GROUP;

/// How many entries a list may have.
const MOST: u32 = 1024;

/// `spec`
pub(super) fn spec() -> Value {
    let fields = vec![
        must("targetRefs", list("What it is for.", 1, 16, target())),
        may("tunnel", tunnel()),
        may(
            "allowedOrigins",
            list(
                "Whose pages may open WebSockets; everybody's where it is missing.",
                1,
                MOST,
                text(
                    "An origin: https://app.example.com, https://*.example.com, or null.",
                    4096,
                ),
            ),
        ),
        may(
            "allowedSubprotocols",
            list(
                "What Sec-WebSocket-Protocol may ask for; anything where it is missing.",
                1,
                MOST,
                matching(
                    "The name of a subprotocol.",
                    "[!#$%&'*+.^_`|~0-9A-Za-z-]+",
                    4096,
                ),
            ),
        ),
        may(
            "checkAccept",
            boolean("Whether Sec-WebSocket-Accept of a 101 is checked."),
        ),
        may(
            "lenientHandshake",
            boolean("Whether handshakes that are not as RFC 6455 wants them are let through."),
        ),
    ];
    object("What bounds the tunnels.", fields)
}

fn target() -> Value {
    let fields = vec![
        must("group", word("Its API group.", &[GROUP])),
        must("kind", word("Its kind.", &["HTTPRoute", "Gateway"])),
        must("name", name("Its name, in the namespace of the policy.")),
    ];
    object("An HTTPRoute or a Gateway.", fields)
}

fn tunnel() -> Value {
    let fields = vec![
        may(
            "handshakeTimeout",
            duration("How long a target may take for its 101."),
        ),
        may(
            "idleTimeout",
            duration("After how much silence a tunnel is closed."),
        ),
        may(
            "maxLifetime",
            duration("After how long a tunnel is closed."),
        ),
        may(
            "lifetimeJitter",
            fraction("How much maxLifetime varies, as a part of it."),
        ),
        may(
            "closeTimeout",
            duration("How long the other side may take to close as well."),
        ),
        may(
            "halfCloseTimeout",
            duration("How long a tunnel lives after one side has ended what it sends."),
        ),
        may(
            "tcpKeepalive",
            duration("After how much silence the system asks: 4s to 8h."),
        ),
    ];
    object("The clocks of tunnels.", fields)
}
