//! A tunnel changes nothing in what goes through it: messages of every kind, pings, closes,
//! extensions, subprotocols.

use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::harness::client::{handshake, header};
use crate::harness::ports::free_address;
use crate::harness::python;
use crate::harness::target::switching_protocols;
use crate::harness::{Connection, Edge, Noise, Target, soon};

const PROTOCOLS: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const OFFER: &str =
    "permessage-deflate; client_max_window_bits, permessage-deflate; server_max_window_bits=10";
const CHOICE: &str = "permessage-deflate; server_max_window_bits=10; client_no_context_takeover";

/// Sends a message in three frames.
fn in_fragments(message: &Message) -> impl Iterator<Item = Message> {
    let bytes = message.clone().into_data();
    let first = if message.is_text() {
        Data::Text
    } else {
        Data::Binary
    };
    let size = bytes.len() / 3 + 1;
    let count = bytes.len().div_ceil(size);
    (0..count).map(move |place| {
        let kind = if place == 0 { first } else { Data::Continue };
        let part = bytes.slice(place * size..bytes.len().min((place + 1) * size));
        Message::Frame(Frame::message(part, OpCode::Data(kind), place + 1 == count))
    })
}

#[tokio::test]
async fn messages_of_every_kind_and_up_to_16_megabytes_come_back_unchanged() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.websocket("/").await;
    let mut noise = Noise::seeded(1);
    for message in [
        Message::text(""),
        Message::text("grüße 🚇"),
        Message::text("x".repeat(1 << 20)),
        Message::binary(Bytes::new()),
        Message::binary(noise.bytes(70_000)),
        Message::binary(noise.bytes(16 << 20)),
    ] {
        let received = soon("sending", client.send(message.clone())).await;
        received.unwrap();
        let received = soon("the echo", client.next()).await;
        assert!(received.unwrap().unwrap() == message, "{}", message.len());
    }
}

#[tokio::test]
async fn fragmented_messages_arrive_whole_in_both_directions() {
    let target = Target::websocket(async |mut socket: WebSocketStream<TcpStream>| {
        while let Some(Ok(message)) = socket.next().await {
            for frame in in_fragments(&message) {
                socket.send(frame).await.unwrap();
            }
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.websocket("/").await;
    for message in [
        Message::text("in three parts"),
        Message::binary(Noise::seeded(2).bytes(1 << 20)),
    ] {
        for frame in in_fragments(&message) {
            client.send(frame).await.unwrap();
        }
        let received = soon("the echo", client.next()).await;
        assert!(received.unwrap().unwrap() == message, "{}", message.len());
    }
}

#[tokio::test]
async fn frames_stay_as_they_were_cut() {
    let frames =
        b"\x01\x82\x01\x02\x03\x04\x60\x6b\x89\x80\x05\x06\x07\x08\x80\x81\x09\x0a\x0b\x0c\x2a";
    let target = Target::upgrading(async |mut connection: Connection| {
        let frames = connection.exactly(21).await;
        connection.send(frames).await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let (mut client, _) = edge.tunnel().await;
    client.send(frames).await;
    assert_eq!(client.exactly(frames.len()).await, frames);
}

#[tokio::test]
async fn pings_and_pongs_go_through_to_the_other_end() {
    let target = Target::websocket(async |mut socket: WebSocketStream<TcpStream>| {
        let ping = Message::Ping("from the target".into());
        socket.send(ping).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let seen = Message::text(format!("saw {message:?}"));
            socket.send(seen).await.ok();
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.websocket("/").await;
    let ping: Bytes = "from the target".into();
    let pong = format!("saw {:?}", Message::Pong(ping.clone()));
    for expected in [Message::Ping(ping), Message::text(pong)] {
        let received = soon("a message", client.next()).await;
        assert_eq!(received.unwrap().unwrap(), expected);
    }

    let ping = Message::Ping("from the client".into());
    client.send(ping.clone()).await.unwrap();
    let mut expected = vec![
        Message::text(format!("saw {ping:?}")),
        Message::Pong(ping.into_data()),
    ];
    while !expected.is_empty() {
        let received = soon("a message", client.next()).await.unwrap().unwrap();
        let place = expected.iter().position(|message| *message == received);
        expected.remove(place.unwrap_or_else(|| panic!("{received:?}")));
    }
}

#[tokio::test]
async fn a_clients_close_reaches_the_target_with_its_code_and_reason() {
    let (saw, mut seen) = unbounded_channel();
    let target = Target::websocket(move |mut socket: WebSocketStream<TcpStream>| {
        let saw = saw.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                saw.send(message).unwrap();
            }
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.websocket("/").await;
    let close = CloseFrame {
        code: 4001.into(),
        reason: "the client has had enough".into(),
    };
    client.close(Some(close.clone())).await.unwrap();
    let close = Message::Close(Some(close));
    assert_eq!(soon("the close", seen.recv()).await, Some(close.clone()));
    let answer = soon("the answer", client.next()).await;
    assert_eq!(answer.unwrap().unwrap(), close);
    assert!(soon("the end", client.next()).await.is_none());
}

#[tokio::test]
async fn a_targets_close_reaches_the_client_with_its_code_and_reason() {
    let (saw, mut seen) = unbounded_channel();
    let target = Target::websocket(move |mut socket: WebSocketStream<TcpStream>| {
        let saw = saw.clone();
        async move {
            let close = CloseFrame {
                code: 1013.into(),
                reason: "come back later".into(),
            };
            socket.close(Some(close)).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                saw.send(message).unwrap();
            }
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.websocket("/").await;
    let close = Message::Close(Some(CloseFrame {
        code: 1013.into(),
        reason: "come back later".into(),
    }));
    let received = soon("the close", client.next()).await;
    assert_eq!(received.unwrap().unwrap(), close);
    assert!(soon("the end", client.next()).await.is_none());
    assert_eq!(soon("the answer", seen.recv()).await, Some(close));
}

#[tokio::test]
async fn compression_is_negotiated_end_to_end_and_compressed_frames_are_not_touched() {
    let hello = b"\xc1\x87\x01\x02\x03\x04\xf3\x4a\xce\xcd\xc8\x05\x03";
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let extensions = format!("\r\n{EXTENSIONS}: {CHOICE}\r\n\r\n");
        let answer = switching_protocols(&head).replace("\r\n\r\n", &extensions);
        connection.send(answer).await;
        let frame = connection.exactly(13).await;
        connection.send(frame).await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    let extensions = format!("{EXTENSIONS}: {OFFER}\r\n");
    client.send(handshake("/chat", &extensions)).await;
    let head = client.head().await;
    assert_eq!(header(&head, EXTENSIONS), Some(CHOICE));
    assert_eq!(header(&target.heads()[0], EXTENSIONS), Some(OFFER));
    client.send(hello).await;
    assert_eq!(client.exactly(hello.len()).await, hello);
}

#[tokio::test]
async fn the_subprotocol_that_the_target_chooses_is_the_clients() {
    #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
    fn choose(
        request: &Request,
        mut answer: Response,
    ) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
        assert_eq!(request.headers()[PROTOCOLS], "chat.v1, chat.v2");
        let chosen = HeaderValue::from_static("chat.v2");
        answer.headers_mut().insert(PROTOCOLS, chosen);
        Ok(answer)
    }
    let target = Target::scripted(async |connection: Connection| {
        let mut socket = accept_hdr_async(connection.stream, choose).await.unwrap();
        socket.send(Message::text("welcome")).await.unwrap();
        socket.next().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let offer = HeaderValue::from_static("chat.v1, chat.v2");
    let (mut client, answer) = edge
        .websocket_with("/", |request| {
            request.headers_mut().insert(PROTOCOLS, offer);
        })
        .await;
    assert_eq!(answer.headers()[PROTOCOLS], "chat.v2");
    let welcome = soon("the welcome", client.next()).await;
    assert_eq!(welcome.unwrap().unwrap(), Message::text("welcome"));
}

#[tokio::test]
async fn pythons_websockets_talks_to_pythons_websockets() {
    let mut target = python("target.py");
    target.arg(free_address().port().to_string());
    let mut target = target.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(target.stdout.take().unwrap()).lines();
    let address = soon("the target's address", lines.next_line()).await;
    let address = address.unwrap().expect("an address").parse().unwrap();
    let edge = Edge::forwarding_to(&[address]).await;

    let client = python("client.py")
        .arg(format!("ws://{}/chat", edge.address))
        .output();
    let output = soon("the client's end", client).await.unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client said:\n{said}");
    let line = edge.log_line().await;
    assert_eq!(line["requestUri"], "/chat");
    assert_eq!(line["upgrade"], "websocket");
    let sent = line["requestBodyBytes"].as_u64().unwrap();
    assert!(sent > 0 && sent < 1 << 20, "{sent} bytes: not compressed");
}
