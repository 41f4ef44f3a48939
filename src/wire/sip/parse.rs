//! Reads a datagram, with the line and header parsers of `ezk-sip-types`.

use ezk_sip_types::header::typed::{Contact, FromTo, Via};
use ezk_sip_types::header::{ConstNamed, DecodeValues};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::print::{AppendCtx, PrintCtx, UriContext};
use ezk_sip_types::{Headers, Name};

use bytes::Bytes;

use super::message::{Message, Method, Start};
use super::{Error, MAX_HEAD, MAX_HEADERS, MAX_MESSAGE};

/// Reads a message that came as one datagram (RFC 3261 7, 18.3).
///
/// # Errors
/// It is no SIP message, lacks what every message has (`Via`, `From` with a tag, `To`, `Call-ID`,
/// `CSeq`), says one of these twice, or is beyond the bounds of this module.
pub fn parse(datagram: &[u8]) -> Result<Message, Error> {
    if datagram.len() > MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    // The bound of the head holds for the work, too: nothing after it is looked at.
    let head = &datagram[..datagram.len().min(MAX_HEAD)];
    let mut lines = PullParser::new(head, 0);
    let first = next_line(&mut lines)?.ok_or(Error::Unreadable("empty"))?;
    let start = start(&first)?;
    let mut headers = Headers::new();
    let mut count = 0;
    while let Some(line) = next_line(&mut lines)? {
        count += 1;
        if count > MAX_HEADERS {
            return Err(Error::TooLong);
        }
        let source = Bytes::from(line);
        let text = std::str::from_utf8(&source).map_err(|_| Error::Unreadable("not UTF-8"))?;
        let (_, line) =
            Line::parse(&source, text).map_err(|_| Error::Unreadable("no header line"))?;
        headers.insert(line.name, line.value.trim());
    }
    let rest = datagram.get(lines.head_end()..).unwrap_or_default();
    let body = body(&headers, rest)?;
    message(start, &headers, body)
}

/// The next line of the head, unfolded (RFC 3261 7.3.1).
fn next_line(lines: &mut PullParser<'_>) -> Result<Option<String>, Error> {
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let line = line.map_err(|_| Error::Unreadable("the head does not end"))?;
    let line = std::str::from_utf8(line).map_err(|_| Error::Unreadable("not UTF-8"))?;
    let unfolded: String = line
        .chars()
        .map(|c| match c {
            '\r' | '\n' | '\t' => ' ',
            c => c,
        })
        .collect();
    match unfolded.contains(char::is_control) {
        true => Err(Error::Unreadable("control character")),
        false => Ok(Some(unfolded)),
    }
}

fn start(line: &str) -> Result<Start, Error> {
    const WRONG: Error = Error::Unreadable("no request or status line");
    // The library cuts its values out of this buffer, and panics over a text that lies elsewhere.
    let source = Bytes::copy_from_slice(line.as_bytes());
    let line = std::str::from_utf8(&source).map_err(|_| WRONG)?;
    let (rest, parsed) = MessageLine::parse(&source)(line).map_err(|_| WRONG)?;
    match parsed {
        MessageLine::Request(_) if rest.is_empty() => {
            // The library takes `inviteX` for INVITE; the word decides.
            let word = line.split(' ').next().unwrap_or_default();
            let good = (1..=MAX_METHOD).contains(&word.len()) && line.ends_with(" SIP/2.0");
            good.then(|| Start::Request(Method::of(word))).ok_or(WRONG)
        }
        MessageLine::Response(status) => {
            let code = status.code.into_u16();
            if !(100..700).contains(&code) {
                return Err(WRONG);
            }
            let reason = status.reason.as_deref().unwrap_or_default();
            let reason = reason.chars().take(MAX_REASON).collect();
            Ok(Start::Response { code, reason })
        }
        MessageLine::Request(_) => Err(WRONG),
    }
}

/// The body: as long as the head says, or all that is left (RFC 3261 18.3).
fn body(headers: &Headers, rest: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(length) = one(headers, &Name::CONTENT_LENGTH, "Content-Length")? else {
        return Ok(rest.to_vec());
    };
    let length = number(length).ok_or(Error::Header("Content-Length"))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let body = rest.get(..length);
    body.map(<[u8]>::to_vec)
        .ok_or(Error::Unreadable("the body is cut off"))
}

fn message(start: Start, headers: &Headers, body: Vec<u8>) -> Result<Message, Error> {
    let need = |name: Name, shown| one(headers, &name, shown)?.ok_or(Error::Header(shown));
    let (from, to) = (need(Name::FROM, "From")?, need(Name::TO, "To")?);
    let call_id = need(Name::CALL_ID, "Call-ID")?;
    if call_id.is_empty() || call_id.len() > MAX_CALL_ID {
        return Err(Error::Header("Call-ID"));
    }
    let (cseq, cseq_method) = cseq(need(Name::CSEQ, "CSeq")?).ok_or(Error::Header("CSeq"))?;
    if let Start::Request(method) = &start
        && *method != cseq_method
    {
        return Err(Error::Header("CSeq"));
    }
    let sender: FromTo = address(headers, Name::FROM).ok_or(Error::Header("From"))?;
    let target: FromTo = address(headers, Name::TO).ok_or(Error::Header("To"))?;
    let via: Via = named(headers).ok_or(Error::Header("Via"))?;
    let params = |name: &str| via.params.get(name).cloned();
    let branch = params("branch").and_then(|branch| branch.value);
    let contact = contact(headers);
    let forwards = one(headers, &Name::MAX_FORWARDS, "Max-Forwards")?;
    Ok(Message {
        start,
        vias: all(headers, &Name::VIA),
        branch: branch.map(|branch| branch.to_string()),
        sent_by: via.sent_by.default_print_ctx().to_string(),
        sent_by_port: via.sent_by.port.unwrap_or(5_060),
        rport: params("rport").is_some_and(|rport| rport.value.is_none()),
        from: from.to_owned(),
        from_tag: sender.tag.map(|tag| tag.to_string()),
        from_host: sender.uri.uri.host_port.host.to_string(),
        to: to.to_owned(),
        to_tag: target.tag.map(|tag| tag.to_string()),
        call_id: call_id.to_owned(),
        cseq,
        cseq_method,
        contact_address: contact.as_ref().and_then(|(_, address)| *address),
        contact: contact.map(|(uri, _)| uri),
        record_routes: all(headers, &Name::RECORD_ROUTE),
        require: all(headers, &Name::REQUIRE)
            .iter()
            .flat_map(|value| value.split(','))
            .map(|value| value.trim().to_ascii_lowercase())
            .collect(),
        max_forwards: forwards
            .map(|value| number(value).ok_or(Error::Header("Max-Forwards")))
            .transpose()?,
        content_type: one(headers, &Name::CONTENT_TYPE, "Content-Type")?.map(media_type),
        body,
    })
}

type ContactUri = (String, Option<(std::net::IpAddr, u16)>);

fn contact(headers: &Headers) -> Option<ContactUri> {
    let mut contacts: Vec<Contact> = address(headers, Name::CONTACT)?;
    let contact = contacts.pop().filter(|_| contacts.is_empty())?;
    let uri = contact.uri.uri;
    let port = uri.host_port.port.unwrap_or(5_060);
    let address = uri.host_port.ip().map(|ip| (ip.to_canonical(), port));
    let context = PrintCtx {
        method: None,
        uri: Some(UriContext::ReqUri),
    };
    Some((uri.print_ctx(context).to_string(), address))
}

/// The only value of a header.
fn one<'h>(
    headers: &'h Headers,
    name: &Name,
    shown: &'static str,
) -> Result<Option<&'h str>, Error> {
    let mut values = headers.get_raw(name);
    let value = values.next();
    match values.next() {
        None => Ok(value.map(|value| value.as_str())),
        Some(_) => Err(Error::Header(shown)),
    }
}

fn all(headers: &Headers, name: &Name) -> Vec<String> {
    let values = headers.get_raw(name);
    values.map(|value| value.as_str().to_owned()).collect()
}

/// Reads addresses without their display names, which the library cannot read if they hold a
/// quoted quotation mark, and which matter to nobody here.
fn address<H: DecodeValues>(headers: &Headers, name: Name) -> Option<H> {
    let mut plain = Headers::new();
    for value in headers.get_raw(&name) {
        plain.insert(name.clone(), without_display_name(value));
    }
    plain.get(name).ok()
}

/// What follows a leading quoted string (RFC 3261 25.1).
fn without_display_name(value: &str) -> &str {
    let Some(quoted) = value.strip_prefix('"') else {
        return value;
    };
    let mut escaped = false;
    for (place, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return quoted.get(place + 1..).unwrap_or_default().trim_start(),
            _ => {}
        }
    }
    value
}

fn named<H: ConstNamed + DecodeValues>(headers: &Headers) -> Option<H> {
    headers.get_named().ok()
}

/// `4711 INVITE`; the number is below 2^31 (RFC 3261 8.1.1.5).
fn cseq(value: &str) -> Option<(u32, Method)> {
    let mut words = value.split_ascii_whitespace();
    let number = number(words.next()?).filter(|number| *number < 1 << 31)?;
    let method = words.next().filter(|word| word.len() <= MAX_METHOD)?;
    words.next().is_none().then(|| (number, Method::of(method)))
}

/// A decimal number without a sign.
fn number(digits: &str) -> Option<u32> {
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| digits.parse().ok()).flatten()
}

fn media_type(value: &str) -> String {
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

const MAX_METHOD: usize = 32;
const MAX_REASON: usize = 128;
const MAX_CALL_ID: usize = 256;
