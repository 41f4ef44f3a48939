//! The envelope: a cookie, one space, one dictionary in bencode or JSON.
//!
//! A message without a cookie cannot be answered and is passed over in silence; every other
//! defect has its text, which operators know.

use thiserror::Error;

use super::json;
use crate::wire::bencode::{self, Dict, Value};

/// A request or a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// All before the first space; opaque.
    pub cookie: &'a [u8],
    /// How the dictionary was written: replies are written likewise.
    pub encoding: Encoding,
    /// What it says.
    pub dict: Dict<'a>,
}

/// The two ways to write a dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// First byte `d`.
    #[default]
    Bencode,
    /// First byte `{`; RFC 8259.
    Json,
}

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError<'a> {
    /// No cookie, or one longer than [`MAX_COOKIE`]: there is no way to answer.
    NoCookie,
    /// To be answered with `error`.
    Bad {
        /// The cookie, which was fine.
        cookie: &'a [u8],
        /// The encoding of the answer.
        encoding: Encoding,
        /// What is wrong.
        defect: Defect,
    },
}

/// What is wrong with a dictionary; the texts go into `error-reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Defect {
    /// Nothing after the cookie.
    #[error("Invalid data (no payload)")]
    NoPayload,
    /// First byte is neither `d` nor `{`.
    #[error("Invalid NG data format")]
    Format,
    /// Broken bencode.
    #[error("Could not decode bencode dictionary")]
    Bencode,
    /// Broken JSON.
    #[error("Failed to parse JSON document")]
    Json,
    /// JSON, but not an object, or nested too deeply for a message.
    #[error("Could not decode JSON dictionary")]
    JsonShape,
}

impl<'a> Message<'a> {
    /// Reads a datagram. What follows a complete bencode dictionary is ignored.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError<'a>> {
        let space = memchr::memchr(b' ', datagram).ok_or(ParseError::NoCookie)?;
        let (cookie, body) = (&datagram[..space], &datagram[space + 1..]);
        if cookie.is_empty() || cookie.len() > MAX_COOKIE {
            return Err(ParseError::NoCookie);
        }
        match parse_body(body) {
            Ok((encoding, dict)) => Ok(Self {
                cookie,
                encoding,
                dict,
            }),
            Err((encoding, defect)) => Err(ParseError::Bad {
                cookie,
                encoding,
                defect,
            }),
        }
    }

    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.cookie, self.encoding, &self.dict)
    }
}

/// Reads a dictionary without a cookie. An error comes with the encoding to answer in.
pub fn parse_body(body: &[u8]) -> Result<(Encoding, Dict<'_>), (Encoding, Defect)> {
    match body.first() {
        None => Err((Encoding::Bencode, Defect::NoPayload)),
        Some(b'd') => match bencode::decode(body) {
            Ok((Value::Dict(dict), _)) => Ok((Encoding::Bencode, dict)),
            Ok(_) | Err(_) => Err((Encoding::Bencode, Defect::Bencode)),
        },
        Some(b'{') => match json::decode(body) {
            Ok(Value::Dict(dict)) => Ok((Encoding::Json, dict)),
            Ok(_) | Err(json::Error::Shape) => Err((Encoding::Json, Defect::JsonShape)),
            Err(json::Error::Syntax) => Err((Encoding::Json, Defect::Json)),
        },
        Some(_) => Err((Encoding::Bencode, Defect::Format)),
    }
}

/// Writes a datagram.
pub fn encode(cookie: &[u8], encoding: Encoding, dict: &Dict<'_>) -> Vec<u8> {
    // Most replies are an SDP of less than a kilobyte.
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(cookie);
    out.push(b' ');
    encode_body(encoding, dict, &mut out);
    out
}

/// Appends a dictionary without a cookie.
pub fn encode_body(encoding: Encoding, dict: &Dict<'_>, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Bencode => dict.encode_into(out),
        Encoding::Json => json::encode_into(dict, out),
    }
}

/// Longest cookie taken, in octets; those of known clients have some twenty.
pub const MAX_COOKIE: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn defect(datagram: &[u8]) -> (Encoding, Defect) {
        match Message::parse(datagram) {
            Err(ParseError::Bad {
                cookie: b"c1",
                encoding,
                defect,
            }) => (encoding, defect),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_encodings() {
        for (datagram, encoding) in [
            (&b"4711_9 d7:command4:pinge"[..], Encoding::Bencode),
            (b"4711_9 {\"command\":\"ping\"}", Encoding::Json),
        ] {
            let message = Message::parse(datagram).unwrap();
            assert_eq!(message.cookie, b"4711_9");
            assert_eq!(message.encoding, encoding);
            assert_eq!(message.dict, Dict::new().with("command", "ping"));
            assert_eq!(message.encode(), datagram);
        }
    }

    #[test]
    fn without_a_cookie_there_is_no_answer() {
        let long = [&[b'c'; MAX_COOKIE + 1][..], b" d7:command4:pinge"].concat();
        for datagram in [
            &b""[..],
            b"d7:command4:pinge",
            b" d7:command4:pinge",
            b" ",
            &long,
        ] {
            assert_eq!(Message::parse(datagram), Err(ParseError::NoCookie));
        }
    }

    #[test]
    fn every_other_defect_has_its_text() {
        let deep = [b"c1 d1:x".as_slice(), &b"d1:x".repeat(40)].concat();
        let deep_json = [b"c1 ".as_slice(), &br#"{"x":"#.repeat(40)].concat();
        let deep_json_closed = [&deep_json[..], b"1", &b"}".repeat(40)].concat();
        for (datagram, encoding, text) in [
            (&b"c1 "[..], Encoding::Bencode, "Invalid data (no payload)"),
            (b"c1 xyz", Encoding::Bencode, "Invalid NG data format"),
            (b"c1  d1:xe", Encoding::Bencode, "Invalid NG data format"),
            (b"c1 l1:xe", Encoding::Bencode, "Invalid NG data format"),
            (
                b"c1 d7:command4:ping",
                Encoding::Bencode,
                "Could not decode bencode dictionary",
            ),
            (
                &deep,
                Encoding::Bencode,
                "Could not decode bencode dictionary",
            ),
            (
                b"c1 {\"a\":}",
                Encoding::Json,
                "Failed to parse JSON document",
            ),
            (b"c1 {} {}", Encoding::Json, "Failed to parse JSON document"),
            (
                &deep_json,
                Encoding::Json,
                "Could not decode JSON dictionary",
            ),
            (
                &deep_json_closed,
                Encoding::Json,
                "Could not decode JSON dictionary",
            ),
        ] {
            let (got, defect) = defect(datagram);
            assert_eq!((got, defect.to_string().as_str()), (encoding, text));
        }
    }

    #[test]
    fn bytes_after_bencode_are_ignored() {
        let message = Message::parse(b"c1 d7:command4:pinge\r\n\0").unwrap();
        assert_eq!(message.dict.len(), 1);
    }

    proptest! {
        #[test]
        fn any_datagram_is_a_message_or_an_error(
            start in proptest::sample::select(vec![&b"c1 d"[..], b"c1 {\"command\":", b""]),
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let datagram = [start, &rest].concat();
            if let Ok(message) = Message::parse(&datagram) {
                prop_assert!(Message::parse(&message.encode()).is_ok());
            }
        }
    }
}
