//! What we say: data is cut into records and sealed, and what the peer has asked for goes before
//! it.
//!
//! A key never seals more than it may: TLS 1.3 goes on to the next one, TLS 1.2 ends, with a
//! close_notify for which the last number is kept. After a close_notify or a fatal alert nothing
//! is sealed.

use ring::error::Unspecified;
use rustls::{AlertDescription, ContentType};

use super::keys::{Keys, MOST_CONTENT};
use super::reader::Opened;
use super::state::WriterState;

/// A KeyUpdate that asks for none.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// One direction: from us to the peer.
#[derive(Debug)]
pub(super) struct Writer {
    keys: Keys,
    owes_update: bool,
    owes_refusal: bool,
    is_closed: bool,
}

impl Writer {
    pub(super) fn new(keys: Keys) -> Self {
        Writer {
            keys,
            owes_update: false,
            owes_refusal: false,
            is_closed: false,
        }
    }

    /// What another process had of this direction. Errors: it cannot be.
    pub(super) fn resume(state: &WriterState) -> Result<Self, Unspecified> {
        Ok(Writer {
            keys: Keys::resume(&state.keys)?,
            owes_update: state.owes_update,
            owes_refusal: state.owes_refusal,
            is_closed: state.is_closed,
        })
    }

    /// What another process needs to go on with it.
    pub(super) fn state(&self) -> WriterState {
        WriterState {
            keys: self.keys.state(),
            owes_update: self.owes_update,
            owes_refusal: self.owes_refusal,
            is_closed: self.is_closed,
        }
    }

    /// Notes what the peer asks for. However often it has, one answer is owed.
    pub(super) fn note(&mut self, opened: &Opened) {
        self.owes_update |= opened.asks_for_update;
        self.owes_refusal |= opened.asks_for_handshake;
    }

    /// Appends data, and tells how much of it; nothing where nothing more may be sealed. What the
    /// peer has asked for has been answered before.
    pub(super) fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> usize {
        let mut sealed = 0;
        for part in data.chunks(MOST_CONTENT) {
            if self.seal_part(part, out).is_err() {
                self.close(out);
                break;
            }
            sealed += part.len();
        }
        sealed
    }

    fn seal_part(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), Unspecified> {
        if self.is_closed {
            return Err(Unspecified);
        }
        if self.keys.are_used_up() {
            self.update(out)?;
        }
        self.keys.seal(ContentType::ApplicationData, part, out)
    }

    /// Whether the peer has asked for something.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes_update || self.owes_refusal
    }

    /// Appends what the peer has asked for, or the end if that cannot be.
    pub(super) fn answer(&mut self, out: &mut Vec<u8>) {
        let (owes_update, owes_refusal) = (self.owes_update, self.owes_refusal);
        (self.owes_update, self.owes_refusal) = (false, false);
        if self.is_closed {
            return;
        }
        let refused = match owes_refusal {
            true => self.refuse_handshake(out),
            false => Ok(()),
        };
        let answered = match owes_update {
            true => refused.and_then(|()| self.update(out)),
            false => refused,
        };
        if answered.is_err() {
            self.close(out);
        }
    }

    fn refuse_handshake(&mut self, out: &mut Vec<u8>) -> Result<(), Unspecified> {
        if self.keys.are_used_up() {
            return Err(Unspecified);
        }
        let alert = [WARNING, AlertDescription::NoRenegotiation.into()];
        self.keys.seal(ContentType::Alert, &alert, out)
    }

    /// Says under the present keys that the next ones follow, and goes on to them. TLS 1.2 has
    /// none.
    fn update(&mut self, out: &mut Vec<u8>) -> Result<(), Unspecified> {
        if !self.keys.is_tls13() {
            return Err(Unspecified);
        }
        self.keys.seal(ContentType::Handshake, &KEY_UPDATE, out)?;
        let updated = self.keys.update();
        // Without the next keys nothing can be said any more.
        self.is_closed |= updated.is_err();
        updated
    }

    /// Appends a close_notify, once.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.end(WARNING, AlertDescription::CloseNotify, out);
    }

    /// Appends a fatal alert, unless the end was said already.
    pub(super) fn fail(&mut self, alert: AlertDescription, out: &mut Vec<u8>) {
        self.end(FATAL, alert, out);
    }

    fn end(&mut self, level: u8, alert: AlertDescription, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let sealed = self
            .keys
            .seal(ContentType::Alert, &[level, alert.into()], out);
        if sealed.is_err() {
            log::debug!("TLS: an alert cannot be sealed");
        }
    }

    /// Nothing more is to be said: the peer has ended the connection.
    pub(super) fn stop(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether nothing more may be sealed because too much was.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_closed && self.keys.are_used_up()
    }
}

#[cfg(test)]
impl Writer {
    pub(super) fn keys(&mut self) -> &mut Keys {
        &mut self.keys
    }
}
