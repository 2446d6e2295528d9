//! What a peer says: records are opened where they stand, and what is no data is acted on.
//!
//! What comes of them does not depend on how they are cut into reads. Nothing is kept of a message
//! but its first five bytes: the longest that is understood, KeyUpdate, has no more, and of the
//! others only the length counts.

use rustls::{AlertDescription, ContentType, HandshakeType};

use ring::error::Unspecified;

use super::fault::Fault;
use super::keys::{HEAD, Keys, MOST_CONTENT};
use super::state::ReaderState;

/// How much longer than its content a record may be (RFC 8446 section 5.2, RFC 5246 section 6.2.3).
const MOST_ADDED: usize = 256;
const MOST_ADDED_TLS12: usize = 2048;
/// The longest record, with its head.
pub(super) const LONGEST: usize = HEAD + MOST_CONTENT + MOST_ADDED_TLS12;
/// How many records without data may come in a row.
const MOST_FRUITLESS: u8 = 32;
/// How long a message may be of which only the length counts.
const LONGEST_MESSAGE: usize = 0xFFFF;
/// The type and the length of a message; what is asked for in a KeyUpdate follows.
const MESSAGE_HEAD: usize = 4;
const KEY_UPDATE: usize = MESSAGE_HEAD + 1;

/// Which side we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// One direction: from the peer to us.
#[derive(Debug)]
pub(super) struct Reader {
    keys: Keys,
    role: Role,
    message: Message,
    fruitless: u8,
}

/// A message of the handshake protocol that has begun.
#[derive(Debug, Default)]
struct Message {
    begun: [u8; KEY_UPDATE],
    length: usize,
    /// How much is still to come of one of which only the length counts.
    skipped: usize,
}

/// What came of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// How many of them were records. What follows is the beginning of one.
    pub(super) taken: usize,
    /// How much data they held; it is at the beginning now.
    pub(super) data: usize,
    /// The peer has changed its keys, and wants us to change ours.
    pub(super) asks_for_update: bool,
    /// The peer wants another handshake, as TLS 1.2 allows.
    pub(super) asks_for_handshake: bool,
    /// Nothing more is to be read: the peer has said so, or has done something wrong.
    pub(super) end: Option<Result<(), Fault>>,
}

impl Reader {
    pub(super) fn new(keys: Keys, role: Role) -> Self {
        Reader {
            keys,
            role,
            message: Message::default(),
            fruitless: 0,
        }
    }

    /// What another process had of this direction. Errors: it cannot be.
    pub(super) fn resume(state: &ReaderState) -> Result<Self, Unspecified> {
        let length = state.message.len();
        let mut message = Message {
            length,
            skipped: state.skipped,
            ..Message::default()
        };
        if length >= KEY_UPDATE || state.skipped > LONGEST_MESSAGE {
            return Err(Unspecified);
        }
        message.begun[..length].copy_from_slice(&state.message);
        let role = match state.is_server {
            true => Role::Server,
            false => Role::Client,
        };
        Ok(Reader {
            keys: Keys::resume(&state.keys)?,
            role,
            message,
            fruitless: state.fruitless.min(MOST_FRUITLESS),
        })
    }

    /// What another process needs to go on with it.
    pub(super) fn state(&self) -> ReaderState {
        ReaderState {
            keys: self.keys.state(),
            is_server: self.role == Role::Server,
            message: self.message.begun[..self.message.length].to_vec(),
            skipped: self.message.skipped,
            fruitless: self.fruitless,
        }
    }

    /// Opens what is whole of these bytes, up to the end, after which it is not to be called again.
    pub(super) fn open(&mut self, bytes: &mut [u8]) -> Opened {
        let mut opened = Opened::default();
        while opened.end.is_none() {
            match self.open_one(bytes, &mut opened) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => opened.end = Some(Err(fault)),
            }
        }
        opened
    }

    /// Opens the next record, if it is whole. Its content is moved to behind the data of those
    /// before, for which there is always room: a record is longer than its content.
    fn open_one(&mut self, bytes: &mut [u8], opened: &mut Opened) -> Result<bool, Fault> {
        let Some(head) = bytes[opened.taken..].first_chunk::<HEAD>().copied() else {
            return Ok(false);
        };
        let end = opened.taken + HEAD + self.length(head)?;
        let body = opened.taken + HEAD - opened.data;
        let Some(record) = bytes.get_mut(opened.data..end) else {
            return Ok(false);
        };
        let (kind, content) = self.keys.open(head, record, body)?;
        opened.taken = end;
        self.take(kind, &record[..content], opened)?;
        Ok(true)
    }

    /// The length of the body of a record with this head.
    fn length(&self, head: [u8; HEAD]) -> Result<usize, Fault> {
        let [kind, major, minor, high, low] = head;
        if [major, minor] != [3, 3] {
            return Err(Fault::OtherVersion);
        }
        if self.keys.is_tls13() && ContentType::from(kind) != ContentType::ApplicationData {
            return Err(Fault::Unexpected);
        }
        let most_added = if self.keys.is_tls13() {
            MOST_ADDED
        } else {
            MOST_ADDED_TLS12
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MOST_CONTENT + most_added {
            return Err(Fault::TooLong);
        }
        Ok(length)
    }

    fn take(
        &mut self,
        kind: ContentType,
        content: &[u8],
        opened: &mut Opened,
    ) -> Result<(), Fault> {
        if kind != ContentType::Handshake && self.message.has_begun() {
            return Err(Fault::Unexpected);
        }
        match kind {
            ContentType::ApplicationData if !content.is_empty() => {
                opened.data += content.len();
                self.fruitless = 0;
                return Ok(());
            }
            ContentType::ApplicationData => {}
            ContentType::Handshake => self.take_messages(content, opened)?,
            ContentType::Alert => self.take_alert(content, opened)?,
            _ => return Err(Fault::Unexpected),
        }
        self.fruitless += 1;
        match self.fruitless > MOST_FRUITLESS {
            true => Err(Fault::Fruitless),
            false => Ok(()),
        }
    }

    /// Messages, or parts of them.
    fn take_messages(&mut self, mut content: &[u8], opened: &mut Opened) -> Result<(), Fault> {
        if content.is_empty() {
            return Err(Fault::Unexpected);
        }
        while let [first, rest @ ..] = content {
            if self.message.skipped > 0 {
                let count = self.message.skipped.min(content.len());
                self.message.skipped -= count;
                content = &content[count..];
                continue;
            }
            content = rest;
            self.message.begun[self.message.length] = *first;
            self.message.length += 1;
            match self.message.length {
                MESSAGE_HEAD => self.begin_message(opened)?,
                KEY_UPDATE => self.update(content.is_empty(), opened)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Decides what becomes of a message whose type and length are known.
    fn begin_message(&mut self, opened: &mut Opened) -> Result<(), Fault> {
        let [kind, long @ ..] = self.message.begun;
        let length = long[..3]
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        match (self.keys.is_tls13(), self.role, HandshakeType::from(kind)) {
            (true, _, HandshakeType::KeyUpdate) if length == 1 => return Ok(()),
            (true, Role::Client, HandshakeType::NewSessionTicket) if length > 0 => {}
            (false, Role::Client, HandshakeType::HelloRequest) if length == 0 => {
                opened.asks_for_handshake = true;
            }
            (false, Role::Server, HandshakeType::ClientHello) if length > 0 => {
                opened.asks_for_handshake = true;
            }
            (true, _, HandshakeType::KeyUpdate)
            | (true, Role::Client, HandshakeType::NewSessionTicket)
            | (false, Role::Client, HandshakeType::HelloRequest)
            | (false, Role::Server, HandshakeType::ClientHello) => return Err(Fault::Malformed),
            _ => return Err(Fault::Unexpected),
        }
        if length > LONGEST_MESSAGE {
            return Err(Fault::Malformed);
        }
        self.message = Message {
            skipped: length,
            ..Message::default()
        };
        Ok(())
    }

    /// A whole KeyUpdate: what follows has the next keys, and so has to begin with a record (RFC
    /// 8446 section 5.1).
    fn update(&mut self, ends_record: bool, opened: &mut Opened) -> Result<(), Fault> {
        if !ends_record {
            return Err(Fault::Unexpected);
        }
        match self.message.begun[MESSAGE_HEAD] {
            0 => {}
            1 => opened.asks_for_update = true,
            _ => return Err(Fault::IllegalValue),
        }
        self.message = Message::default();
        self.keys.update().map_err(|_| Fault::UsedUp)
    }

    fn take_alert(&mut self, content: &[u8], opened: &mut Opened) -> Result<(), Fault> {
        let [level @ (1 | 2), description] = *content else {
            return match content.len() {
                2 => Err(Fault::IllegalValue),
                _ => Err(Fault::Malformed),
            };
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => opened.end = Some(Ok(())),
            AlertDescription::UserCanceled if level == 1 => {}
            _ if level == 1 && !self.keys.is_tls13() => {}
            alert => return Err(Fault::Told(alert)),
        }
        Ok(())
    }
}

impl Message {
    fn has_begun(&self) -> bool {
        self.length > 0 || self.skipped > 0
    }
}

#[cfg(test)]
impl Reader {
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }
}
