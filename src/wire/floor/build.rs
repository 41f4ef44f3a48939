//! Writing a message.

use super::kind::{FloorKind, Name};
use super::view::{ACK_BIT, LONG_LENGTH_FROM};
use super::{PACKET_TYPE_APP, field};

/// Longest body that the 16-bit length of an RTCP packet can state, in octets.
const MAX_LEN: usize = (u16::MAX as usize + 1) * 4;

/// Builds one message, field by field; [`Builder::finish`] gives its octets.
///
/// A field that cannot be stated (its value too long for its length, or the message for its
/// own) is left out, so that what comes out is always well formed.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// A floor control message from the sender with this SSRC.
    pub fn floor(kind: FloorKind, ssrc: u32) -> Self {
        Self::new(Name::Mcpt, kind.subtype(), ssrc)
    }

    /// A message of any protocol; of `subtype` the low four bits count.
    pub fn new(name: Name, subtype: u8, ssrc: u32) -> Self {
        let mut bytes = vec![0x80 | (subtype & (ACK_BIT - 1)), PACKET_TYPE_APP, 0, 0];
        bytes.extend_from_slice(&ssrc.to_be_bytes());
        bytes.extend_from_slice(&name.octets());
        Self { bytes }
    }

    /// Asks for an acknowledgement.
    #[must_use]
    pub fn wants_ack(mut self) -> Self {
        self.bytes[0] |= ACK_BIT;
        self
    }

    /// Adds a field with any value.
    #[must_use]
    pub fn field(mut self, id: u8, value: &[u8]) -> Self {
        let Ok(long) = u16::try_from(value.len()) else {
            return self;
        };
        let total = (self.bytes.len() + 3 + value.len()).next_multiple_of(4);
        if total > MAX_LEN {
            return self;
        }
        if id >= LONG_LENGTH_FROM {
            self.bytes.push(id);
            self.bytes.extend_from_slice(&long.to_be_bytes());
        } else {
            let Ok(short) = u8::try_from(long) else {
                return self;
            };
            self.bytes.extend_from_slice(&[id, short]);
        }
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Floor Priority, 0 (lowest) to 255.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.field(field::PRIORITY, &[priority, 0])
    }

    /// Duration of the grant in seconds.
    #[must_use]
    pub fn duration_secs(self, seconds: u16) -> Self {
        self.field(field::DURATION, &seconds.to_be_bytes())
    }

    /// Granted Party's Identity, an MC service ID.
    #[must_use]
    pub fn granted_party(self, id: &str) -> Self {
        self.field(field::GRANTED_PARTY, id.as_bytes())
    }

    /// User ID, an MC service ID.
    #[must_use]
    pub fn user_id(self, id: &str) -> Self {
        self.field(field::USER_ID, id.as_bytes())
    }

    /// Whether those who hear may request the floor.
    #[must_use]
    pub fn permission_to_request(self, permitted: bool) -> Self {
        self.field(field::PERMISSION, &[0, u8::from(permitted)])
    }

    /// Message Sequence Number.
    #[must_use]
    pub fn sequence(self, number: u16) -> Self {
        self.field(field::SEQUENCE, &number.to_be_bytes())
    }

    /// Floor Indicator, see [`super::indicator`].
    #[must_use]
    pub fn indicator(self, bits: u16) -> Self {
        self.field(field::INDICATOR, &bits.to_be_bytes())
    }

    /// Audio SSRC of the granted participant.
    #[must_use]
    pub fn audio_ssrc(self, ssrc: u32) -> Self {
        let [a, b, c, d] = ssrc.to_be_bytes();
        self.field(field::AUDIO_SSRC, &[a, b, c, d, 0, 0])
    }

    /// Cause of a deny or revoke, with a phrase for people that may be empty.
    #[must_use]
    pub fn reject_cause(self, cause: u16, phrase: &str) -> Self {
        let value = [&cause.to_be_bytes(), phrase.as_bytes()].concat();
        self.field(field::REJECT_CAUSE, &value)
    }

    /// The message, ready to be sent as a datagram or behind another message in one.
    pub fn finish(mut self) -> Vec<u8> {
        let words = u16::try_from(self.bytes.len() / 4 - 1).unwrap_or(u16::MAX);
        self.bytes[2..4].copy_from_slice(&words.to_be_bytes());
        self.bytes
    }
}
