//! The parser: one pass over the lines.

use std::net::IpAddr;

use super::attribute::Attribute;
use super::media::{Media, Profile};
use super::{
    Connection, Error, MAX_ATTRIBUTES, MAX_BODY, MAX_FORMATS, MAX_LINE, MAX_LINES, MAX_MEDIAS,
    MAX_ORIGIN, Origin, Session,
};

/// Reads a session description.
///
/// The first line must be `v=0`. Afterwards lines may stand in any order within their section,
/// the session's before the first `m=`. Of lines that may occur once (`o=`, `s=`, `c=`, a media's
/// `i=`) the first counts. Lines of an unknown sort are ignored.
///
/// # Errors
/// [`Error::Unreadable`] for a broken `v=`, `o=` or `m=` line, a control character that could
/// pass for a line end, and anything beyond the bounds of this module;
/// [`Error::Incomplete`] if there is no media, or one (neither rejected nor `m=message`) without
/// an IP address.
pub fn parse(body: &[u8]) -> Result<Session<'_>, Error> {
    if body.len() > MAX_BODY {
        return Err(unreadable(1, "the body is too long"));
    }
    let mut reader = Reader::default();
    let mut rest = body;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + 1..]);
        reader
            .line(line)
            .map_err(|reason| unreadable(number, reason))?;
    }
    if !reader.started {
        return Err(unreadable(1, "v=0 expected"));
    }
    complete(&reader.session)?;
    Ok(reader.session)
}

const fn unreadable(line: usize, reason: &'static str) -> Error {
    Error::Unreadable { line, reason }
}

fn complete(session: &Session<'_>) -> Result<(), Error> {
    if session.medias.is_empty() {
        return Err(Error::Incomplete("there is no media"));
    }
    let lacking = |media: &Media<'_>| {
        !media.is_rejected() && !media.is_message() && media.address(session).is_none()
    };
    if session.medias.iter().any(lacking) {
        return Err(Error::Incomplete("a media has no IP address"));
    }
    Ok(())
}

#[derive(Default)]
struct Reader<'a> {
    session: Session<'a>,
    started: bool,
    attributes: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        if line.len() > MAX_LINE {
            return Err("the line is too long");
        }
        let mut line = line;
        while let [rest @ .., b'\r'] = line {
            line = rest;
        }
        // Others take a lone CR for a line end, or a NUL for the end: do not hand those on.
        if memchr::memchr2(b'\r', 0, line).is_some() {
            return Err("control character");
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if !self.started {
            if line.trim_ascii_end() != b"v=0" {
                return Err("v=0 expected");
            }
            self.started = true;
            return Ok(());
        }
        let [sort, b'=', value @ ..] = line else {
            return Ok(());
        };
        match sort {
            b'v' => Err("second v= line"),
            b'm' => self.media(value),
            b'a' => self.attribute(value),
            b'c' => self.connection(value),
            b'b' => self.bandwidth(line),
            b'o' => self.origin(value),
            b's' => {
                self.session.name.get_or_insert(value);
                Ok(())
            }
            b'i' => self.information(line, value),
            b'u' | b'e' | b'p' => self.text(line),
            b't' | b'r' | b'z' if self.session.medias.is_empty() => {
                push(&mut self.session.timing, line.trim_ascii_end())
            }
            _ => Ok(()),
        }
    }

    fn origin(&mut self, value: &'a [u8]) -> Result<(), &'static str> {
        if self.session.origin.is_some() {
            return Ok(());
        }
        // Parts of it are remembered with the call.
        if value.len() > MAX_ORIGIN {
            return Err("o= is too long");
        }
        let mut words = text(value)?.split_ascii_whitespace();
        let mut next = || words.next().ok_or("o= with too few fields");
        let (user, id, version) = (next()?, next()?, next()?);
        if next()? != "IN" {
            return Err("o= of another network than IN");
        }
        let (family, address) = (next()?, next()?);
        self.session.origin = Some(Origin {
            user,
            id,
            version,
            family,
            address,
        });
        Ok(())
    }

    fn connection(&mut self, value: &'a [u8]) -> Result<(), &'static str> {
        let text = text(value)?.trim_ascii();
        let slot = match self.session.medias.last_mut() {
            Some(media) => &mut media.connection,
            None => &mut self.session.connection,
        };
        slot.get_or_insert_with(|| Connection {
            text,
            address: address(text),
        });
        Ok(())
    }

    fn bandwidth(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        let lines = match self.session.medias.last_mut() {
            Some(media) => &mut media.bandwidth,
            None => &mut self.session.bandwidth,
        };
        push(lines, line.trim_ascii_end())
    }

    fn information(&mut self, line: &'a [u8], value: &'a [u8]) -> Result<(), &'static str> {
        match self.session.medias.last_mut() {
            Some(media) => {
                media.information.get_or_insert(value);
                Ok(())
            }
            None => self.text(line),
        }
    }

    fn text(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        if !self.session.medias.is_empty() {
            return Ok(());
        }
        push(&mut self.session.texts, line)
    }

    fn attribute(&mut self, value: &'a [u8]) -> Result<(), &'static str> {
        self.attributes += 1;
        if self.attributes > MAX_ATTRIBUTES {
            return Err("too many attributes");
        }
        let attributes = match self.session.medias.last_mut() {
            Some(media) => &mut media.attributes,
            None => &mut self.session.attributes,
        };
        attributes.push(Attribute::new(value));
        Ok(())
    }

    fn media(&mut self, value: &'a [u8]) -> Result<(), &'static str> {
        if self.session.medias.len() == MAX_MEDIAS {
            return Err("too many medias");
        }
        let (kind, rest) = word(text(value)?);
        let (ports, rest) = word(rest);
        let (protocol, formats) = word(rest);
        if protocol.is_empty() {
            return Err("m= with too few fields");
        }
        let (port, count) = ports.split_once('/').unwrap_or((ports, "1"));
        let port_count = number(count).filter(|count| *count != 0);
        if formats.split_ascii_whitespace().count() > MAX_FORMATS {
            return Err("m= with too many formats");
        }
        self.session.medias.push(Media {
            kind,
            port: number(port).ok_or("m= with a bad port")?,
            port_count: port_count.ok_or("m= with a bad port count")?,
            protocol,
            profile: Profile::of(protocol),
            format_list: formats.trim_ascii_end(),
            information: None,
            connection: None,
            bandwidth: Vec::new(),
            attributes: Vec::with_capacity(8),
        });
        Ok(())
    }
}

fn push<'a>(lines: &mut Vec<&'a [u8]>, line: &'a [u8]) -> Result<(), &'static str> {
    if lines.len() == MAX_LINES {
        return Err("too many lines of one sort");
    }
    lines.push(line);
    Ok(())
}

fn text(value: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(value).map_err(|_| "not UTF-8")
}

/// A decimal number without a sign.
fn number(digits: &str) -> Option<u16> {
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The first word, and what follows it and its blanks.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_ascii_start())
}

/// The address in `IN IP4 192.0.2.1/127`. What is written decides the family, not the word.
fn address(text: &str) -> Option<IpAddr> {
    let mut words = text.split_ascii_whitespace();
    if !words.next()?.eq_ignore_ascii_case("IN") {
        return None;
    }
    let word = words.nth(1)?;
    word.split('/').next()?.parse().ok()
}
