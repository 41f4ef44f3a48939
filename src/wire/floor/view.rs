//! Borrowed views of messages and their fields.

use std::ops::Range;
use std::str;

use super::kind::{self, FloorKind, Name};
use super::{PACKET_TYPE_APP, field};

const HEADER_LEN: usize = 12;
const LENGTH: Range<usize> = 2..4;
const SSRC: Range<usize> = 4..8;
const NAME: Range<usize> = 8..12;

/// Top bit of the subtype: the sender asks for an acknowledgement (TS 24.380 8.2.2).
pub(super) const ACK_BIT: u8 = 0b1_0000;

/// Why a datagram cannot be read on as floor control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer octets than a message header, or than its length says.
    #[error("message is cut short")]
    Truncated,
    /// The RTCP version is not 2 (RFC 3550 6.4.1).
    #[error("RTCP version is not 2")]
    Version,
    /// Not an APP packet.
    #[error("packet type {0} is not APP")]
    PacketType(u8),
    /// A field says more octets than its message has.
    #[error("field {0} runs over the end of its message")]
    Field(u8),
}

/// The messages of a datagram, in order. After the first error nothing follows.
pub const fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

/// Iterator over the messages of a datagram; made by [`messages`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = Message::new_checked(self.rest);
        self.rest = match message {
            Ok(message) => self.rest.get(message.bytes.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(message)
    }
}

/// One message: a checked header, and fields that are read on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The message alone, at least a header long.
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// A view of the message that `datagram` begins with; what follows it is left out.
    ///
    /// # Errors
    ///
    /// Anything but an RTCP APP packet with a name, whole.
    pub fn new_checked(datagram: &'a [u8]) -> Result<Self, Error> {
        let Some(header) = datagram.first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated);
        };
        if header[0] >> 6 != 2 {
            return Err(Error::Version);
        }
        if header[1] != PACKET_TYPE_APP {
            return Err(Error::PacketType(header[1]));
        }
        let words = usize::from(u16::from_be_bytes([header[LENGTH][0], header[LENGTH][1]]));
        let bytes = datagram.get(..(words + 1) * 4).ok_or(Error::Truncated)?;
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self { bytes })
    }

    /// The octets of this message.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which protocol the message belongs to.
    pub fn name(&self) -> Name {
        let mut octets = [0; 4];
        octets.copy_from_slice(&self.bytes[NAME]);
        Name::from_octets(octets)
    }

    /// The subtype without the acknowledgement bit, 0 to 15.
    pub const fn subtype(&self) -> u8 {
        self.bytes[0] & (ACK_BIT - 1)
    }

    /// Whether the sender asks for an acknowledgement.
    pub const fn wants_ack(&self) -> bool {
        self.bytes[0] & ACK_BIT != 0
    }

    /// SSRC of the sender of the *message*: for what a server sends not the talker's.
    pub fn ssrc(&self) -> u32 {
        be_u32(&self.bytes[SSRC])
    }

    /// Which floor control message it is; `None` for other protocols and unknown subtypes.
    pub fn floor(&self) -> Option<FloorKind> {
        match self.name() {
            Name::Mcpt => FloorKind::from_subtype(self.subtype()),
            Name::Mcpc | Name::Mcmc | Name::Mcv0 | Name::Mcv1 | Name::Mcv2 | Name::Other(_) => None,
        }
    }

    /// What the specification calls the message, if it knows it.
    pub fn label(&self) -> Option<&'static str> {
        kind::label(self.name(), self.subtype())
    }

    /// The fields in order, known or not; ends after the last whole one.
    pub fn fields(&self) -> Fields<'a> {
        Fields {
            rest: &self.bytes[HEADER_LEN..],
            broken: None,
        }
    }

    /// Whether every field lies within the message.
    ///
    /// # Errors
    ///
    /// The first field that does not.
    pub fn check_fields(&self) -> Result<(), Error> {
        let mut fields = self.fields();
        fields.by_ref().for_each(drop);
        fields.broken.map_or(Ok(()), |id| Err(Error::Field(id)))
    }

    /// The value of the first field with this identifier.
    pub fn field(&self, id: u8) -> Option<&'a [u8]> {
        self.fields()
            .find(|field| field.id == id)
            .map(|field| field.value)
    }

    /// Granted Party's Identity: the MC service ID of who talks, unless they asked for privacy.
    pub fn granted_party(&self) -> Option<&'a str> {
        self.text(field::GRANTED_PARTY)
    }

    /// User ID: the MC service ID of the user whom the message concerns.
    pub fn user_id(&self) -> Option<&'a str> {
        self.text(field::USER_ID)
    }

    /// Functional alias in use.
    pub fn functional_alias(&self) -> Option<&'a str> {
        self.text(if self.name().is_video() {
            field::VIDEO_FUNCTIONAL_ALIAS
        } else {
            field::FUNCTIONAL_ALIAS
        })
    }

    /// The SSRC that the granted participant uses, or is to use, in its audio RTP.
    pub fn audio_ssrc(&self) -> Option<u32> {
        let octets = self.field(field::AUDIO_SSRC)?.get(..4)?;
        Some(be_u32(octets))
    }

    /// Floor priority, 0 (lowest) to 255.
    pub fn priority(&self) -> Option<u8> {
        self.field(field::PRIORITY)?.first().copied()
    }

    /// How long the grant lasts, in seconds.
    pub fn duration_secs(&self) -> Option<u16> {
        self.number(field::DURATION)
    }

    /// Message Sequence Number of Floor Taken and Floor Idle.
    pub fn sequence(&self) -> Option<u16> {
        self.number(field::SEQUENCE)
    }

    /// Floor Indicator, see [`super::indicator`].
    pub fn indicator(&self) -> Option<u16> {
        self.number(field::INDICATOR)
    }

    /// Cause of a deny or revoke; its meaning differs between the two (TS 24.380 8.2.6.2,
    /// 8.2.10.2).
    pub fn reject_cause(&self) -> Option<u16> {
        self.number(field::REJECT_CAUSE)
    }

    fn text(&self, id: u8) -> Option<&'a str> {
        str::from_utf8(self.field(id)?).ok()
    }

    fn number(&self, id: u8) -> Option<u16> {
        let octets = self.field(id)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*octets))
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Identifier, see [`super::field`].
    pub id: u8,
    /// Value without padding.
    pub value: &'a [u8],
}

/// Iterator over the fields of a message; made by [`Message::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    /// Identifier of the field that ended the walk early.
    broken: Option<u8>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let &id = self.rest.first()?;
        let Some((start, length)) = field_extent(id, self.rest) else {
            self.broken = Some(id);
            self.rest = &[];
            return None;
        };
        let value = &self.rest[start..start + length];
        let padded = (start + length).next_multiple_of(4);
        self.rest = self.rest.get(padded..).unwrap_or_default();
        Some(Field { id, value })
    }
}

/// Where the value of a field starts and how long it is: the length takes one octet for
/// identifiers below 192, else two, and counts the value only (TS 24.380 8.1.3).
fn field_extent(id: u8, bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, length) = if id < LONG_LENGTH_FROM {
        (2, usize::from(*bytes.get(1)?))
    } else {
        let octets = [*bytes.get(1)?, *bytes.get(2)?];
        (3, usize::from(u16::from_be_bytes(octets)))
    };
    (start + length <= bytes.len()).then_some((start, length))
}

/// From this identifier on a field's length takes two octets.
pub(super) const LONG_LENGTH_FROM: u8 = 192;

fn be_u32(octets: &[u8]) -> u32 {
    octets
        .iter()
        .take(4)
        .fold(0, |value, &octet| value << 8 | u32::from(octet))
}
