//! The MC info XML of call signalling: who calls whom, in which kind of session.
//!
//! `application/vnd.3gpp.mcptt-info+xml` (TS 24.379 F.1), `mcvideo-info` (TS 24.281 F.1) and
//! `mcdata-info` (TS 24.282 D.1). Read by local names below the known root, so that elements of
//! later releases are passed over. DOCTYPE and entities are refused, only UTF-8 is taken, depth
//! and size are bounded. Encrypted elements are unknown, never guessed.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use thiserror::Error;

/// What the document says. An absent or encrypted element is `None`; URIs are as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McInfo {
    /// From the namespace of the root.
    pub service: InfoService,
    /// `session-type`; `request-type` of MCData is another thing and left out.
    pub session_type: Option<String>,
    /// `mcptt-request-uri`.
    pub request_uri: Option<String>,
    /// `mcptt-calling-user-id`.
    pub calling_user_id: Option<String>,
    /// `mcptt-called-party-id`.
    pub called_party_id: Option<String>,
    /// `mcptt-calling-group-id`.
    pub calling_group_id: Option<String>,
    /// `functional-alias-URI`: the alias that the calling user is using.
    pub functional_alias: Option<String>,
    /// `called-functional-alias-URI`.
    pub called_functional_alias: Option<String>,
    /// Any of emergency, alert, imminent peril, or ad hoc emergency is indicated.
    pub emergency: bool,
    /// Number of elements that are encrypted and thus unknown (TS 24.379 F.1, type `Encrypted`).
    pub encrypted: usize,
}

/// The service that the document's namespace belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InfoService {
    /// `urn:3gpp:ns:mcpttInfo:1.0`.
    Mcptt,
    /// `urn:3gpp:ns:mcvideoInfo:1.0`.
    Mcvideo,
    /// `urn:3gpp:ns:mcdataInfo:1.0`.
    Mcdata,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Longer than [`MAX_LEN`].
    #[error("the XML is longer than {MAX_LEN} octets")]
    Size,
    /// Not UTF-8, or declared as something else.
    #[error("the XML is not in UTF-8")]
    Encoding,
    /// Not well-formed.
    #[error("the XML is not well-formed at octet {0}")]
    Syntax(u64),
    /// A DOCTYPE, or a reference to an entity that XML itself does not define.
    #[error("the XML has a DOCTYPE or entities")]
    Entities,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the XML is nested too deeply")]
    Depth,
    /// The root is none of the three, or not in its namespace.
    #[error("the XML is no mcptt-info, mcvideo-info or mcdata-info")]
    Root,
}

/// Reads a document.
pub fn parse(xml: &[u8]) -> Result<McInfo, Error> {
    if xml.len() > MAX_LEN {
        return Err(Error::Size);
    }
    let text = std::str::from_utf8(xml).map_err(|_| Error::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::default();
    loop {
        let event = reader
            .read_event()
            .map_err(|_| Error::Syntax(reader.error_position()))?;
        let syntax = || Error::Syntax(reader.buffer_position());
        match event {
            Event::Start(start) => document.open(&start, syntax)?,
            Event::End(_) => document.close(),
            Event::Text(text) => document.text(&text.xml10_content(), syntax)?,
            Event::CData(text) => document.text(&text.xml10_content(), syntax)?,
            Event::GeneralRef(reference) => {
                let mut buffer = [0; 4];
                document.text(resolved(&reference)?.encode_utf8(&mut buffer), syntax)?;
            }
            Event::DocType(_) => return Err(Error::Entities),
            Event::Decl(declaration) => check_encoding(&declaration)?,
            Event::Eof if !document.path.is_empty() => return Err(syntax()),
            Event::Eof => return document.info.ok_or(Error::Root),
            Event::Comment(_) | Event::PI(_) | Event::Empty(_) => {}
        }
    }
}

/// The document as read so far.
#[derive(Default)]
struct Document {
    path: Vec<Element>,
    info: Option<McInfo>,
}

/// An open element.
struct Element {
    /// Local name.
    name: String,
    /// Text in it so far.
    text: String,
    /// Whether it, or one around it, is encrypted.
    encrypted: bool,
}

impl Document {
    fn open(&mut self, start: &BytesStart<'_>, syntax: impl Fn() -> Error) -> Result<(), Error> {
        if self.path.len() >= MAX_DEPTH {
            return Err(Error::Depth);
        }
        let name = start.local_name().as_ref().to_owned();
        let mut encrypted = self.path.last().is_some_and(|outer| outer.encrypted);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| syntax())?;
            let is_type = attribute.key.local_name().as_ref() == "type";
            if is_type && attribute.value.as_ref() == "Encrypted" && !encrypted {
                encrypted = true;
                if let Some(info) = &mut self.info {
                    info.encrypted += 1;
                }
            }
        }
        if self.path.is_empty() {
            if self.info.is_some() {
                return Err(syntax());
            }
            self.info = Some(McInfo::new(service_of(start)?));
        }
        self.path.push(Element {
            name,
            text: String::new(),
            encrypted,
        });
        Ok(())
    }

    fn text(&mut self, text: &str, syntax: impl Fn() -> Error) -> Result<(), Error> {
        match self.path.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(syntax()),
        }
        Ok(())
    }

    /// The reader has checked that the names of start and end agree.
    fn close(&mut self) {
        let Some(element) = self.path.pop() else {
            return;
        };
        let (Some(info), false) = (&mut self.info, element.encrypted) else {
            return;
        };
        // Root, Params, and for elements of `anyExt` one more.
        let outer: Vec<&str> = self.path.iter().map(|outer| outer.name.as_str()).collect();
        let field = match outer.as_slice() {
            // Plain, or directly given by an implementation that leaves out the inner element.
            [_, _] | [_, _, "anyExt"] => element.name.as_str(),
            [_, _, "anyExt", field] | [_, _, field] if is_leaf(&element.name) => field,
            _ => return,
        };
        info.set(field, element.text.trim());
    }
}

impl McInfo {
    const fn new(service: InfoService) -> Self {
        Self {
            service,
            session_type: None,
            request_uri: None,
            calling_user_id: None,
            called_party_id: None,
            calling_group_id: None,
            functional_alias: None,
            called_functional_alias: None,
            emergency: false,
            encrypted: 0,
        }
    }

    fn set(&mut self, field: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let bare = field
            .strip_prefix("mcptt-")
            .or_else(|| field.strip_prefix("mcvideo-"))
            .or_else(|| field.strip_prefix("mcdata-"))
            .unwrap_or(field);
        let place = match bare {
            "session-type" => &mut self.session_type,
            "request-uri" => &mut self.request_uri,
            "calling-user-id" => &mut self.calling_user_id,
            "called-party-id" => &mut self.called_party_id,
            "calling-group-id" => &mut self.calling_group_id,
            "functional-alias-URI" => &mut self.functional_alias,
            "called-functional-alias-URI" => &mut self.called_functional_alias,
            "emergency-ind"
            | "alert-ind"
            | "imminentperil-ind"
            | "adhoc-emergency-ind"
            | "adhoc-alert-ind" => {
                // xs:boolean.
                self.emergency |= matches!(text, "true" | "1");
                return;
            }
            _ => return,
        };
        *place = Some(text.to_owned());
    }
}

/// The root names its service by its name and its namespace, whatever the prefix.
fn service_of(root: &BytesStart<'_>) -> Result<InfoService, Error> {
    let name = root.name();
    let binding = match name.prefix() {
        Some(prefix) => format!("xmlns:{}", prefix.as_ref()),
        None => "xmlns".to_owned(),
    };
    let namespace = root
        .attributes()
        .filter_map(Result::ok)
        .find(|attribute| attribute.key.as_ref() == binding)
        .ok_or(Error::Root)?;
    match (root.local_name().as_ref(), namespace.value.as_ref()) {
        ("mcpttinfo", "urn:3gpp:ns:mcpttInfo:1.0") => Ok(InfoService::Mcptt),
        ("mcvideoinfo", "urn:3gpp:ns:mcvideoInfo:1.0") => Ok(InfoService::Mcvideo),
        ("mcdatainfo", "urn:3gpp:ns:mcdataInfo:1.0") => Ok(InfoService::Mcdata),
        _ => Err(Error::Root),
    }
}

/// `mcpttURI`, `mcvideoBoolean` and their like.
fn is_leaf(name: &str) -> bool {
    name.strip_prefix("mcptt")
        .or_else(|| name.strip_prefix("mcvideo"))
        .or_else(|| name.strip_prefix("mcdata"))
        .is_some_and(|kind| matches!(kind, "URI" | "String" | "Boolean"))
}

/// Character references and the five names that XML defines; nothing else is expanded.
fn resolved(reference: &BytesRef<'_>) -> Result<char, Error> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| Error::Entities)? {
        return Ok(character);
    }
    match reference.xml10_content().as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(Error::Entities),
    }
}

fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), Error> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(_) => Err(Error::Encoding),
    }
}

/// Longest document taken, in octets.
pub const MAX_LEN: usize = 48 * 1024;
/// Deepest nesting taken.
pub const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
