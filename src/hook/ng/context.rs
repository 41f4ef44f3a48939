//! The call context in NG keys: `mc-service`, `mc-calling-id`, ..., and `mc-info64`.
//!
//! A value that cannot be read is refused with its key and the reason: a call whose context were
//! dropped silently would not be recorded, and nobody would know. What the keys say themselves
//! goes before what the XML says.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::command::Refusal;
use super::fields::{Folded, single, switch};
use super::options::shortened;
use crate::migration::context::{CallContext, SessionType};
use crate::migration::identity::{McId, Service};
use crate::wire::bencode::Value;
use crate::wire::mcinfo::{self, McInfo};

/// What the context keys of a request say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContextKeys {
    direct: CallContext,
    from_xml: CallContext,
    refusal: Option<Refusal>,
}

impl ContextKeys {
    /// Takes a key in its folded spelling; `false` if it is none of ours. An empty value is as
    /// good as none, since scripts fill in variables that may be empty.
    pub(super) fn key(&mut self, key: &str, value: &Value<'_>) -> bool {
        let Some(&name) = KEYS.iter().find(|name| **name == key) else {
            return false;
        };
        let taken = match single(value) {
            Some(text) => match text.trim() {
                "" => Ok(()),
                text => self.take(name, text, value),
            },
            None => Err("expected a text".to_owned()),
        };
        if let Err(reason) = taken {
            self.refusal
                .get_or_insert_with(|| Refusal::bad(name, reason));
        }
        true
    }

    /// The context, or the first key that cannot be read.
    pub(super) fn finish(self) -> Result<CallContext, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let mut context = self.from_xml;
        context.merge(self.direct);
        Ok(context)
    }

    fn take(&mut self, key: &str, text: &str, value: &Value<'_>) -> Result<(), String> {
        let context = &mut self.direct;
        match key {
            "mc-service" => context.service = Some(service(text)?),
            "mc-session-type" => context.session_type = Some(session_type(text)?),
            "mc-calling-id" => context.calling_id = Some(id(text)?),
            "mc-called-id" => context.called_id = Some(id(text)?),
            "mc-group-id" => context.group_id = Some(id(text)?),
            "mc-functional-alias" => context.functional_alias = Some(id(text)?),
            "mc-called-functional-alias" => {
                context.called_functional_alias = Some(id(text)?);
            }
            "mc-emergency" => {
                context.emergency = switch(value)
                    .ok_or_else(|| format!("{:?} is neither yes nor no", shortened(text)))?;
            }
            _ => self.from_xml = from_base64(text)?,
        }
        Ok(())
    }
}

fn service(text: &str) -> Result<Service, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn id(text: &str) -> Result<McId, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn session_type(text: &str) -> Result<SessionType, String> {
    let folded = Folded::new(text.as_bytes());
    let name = folded.as_ref().map_or("", Folded::as_str);
    SESSION_TYPES
        .into_iter()
        .find(|known| known.as_str() == name)
        .ok_or_else(|| {
            let known = SESSION_TYPES.map(SessionType::as_str).join(", ");
            format!(
                "unknown session type {:?}: expected one of {known}",
                shortened(text)
            )
        })
}

/// The MC info body of the SIP message (TS 24.379 F.1, TS 24.281 F.1, TS 24.282 D.1).
fn from_base64(text: &str) -> Result<CallContext, String> {
    // Mail-style encoders break lines.
    let packed: String = text.split_ascii_whitespace().collect();
    let xml = BASE64
        .decode(packed)
        .map_err(|error| format!("not base64: {error}"))?;
    let info = mcinfo::parse(&xml).map_err(|error| error.to_string())?;
    from_info(info)
}

/// `mcptt-request-uri` is the group where nothing else names the group and the session is a group
/// session (client to server); in all other messages it is the called user (TS 24.379 10.1, 11.1).
fn from_info(info: McInfo) -> Result<CallContext, String> {
    let parsed = |field: &str, text: Option<String>| match text {
        Some(text) => id(&text)
            .map(Some)
            .map_err(|reason| format!("{field}: {reason}")),
        None => Ok(None),
    };
    let session_type = info.session_type.as_deref().map(session_type).transpose()?;
    let is_group_session = matches!(
        session_type,
        Some(SessionType::Prearranged | SessionType::Chat | SessionType::Adhoc)
    );
    let group_id = parsed("calling-group-id", info.calling_group_id)?;
    let called_id = parsed("called-party-id", info.called_party_id)?;
    let request_uri = parsed("request-uri", info.request_uri)?;
    let names_group = is_group_session && group_id.is_none();
    let (group_id, called_id) = if names_group {
        (request_uri, called_id)
    } else {
        (group_id, called_id.or(request_uri))
    };
    Ok(CallContext {
        service: Some(match info.service {
            mcinfo::InfoService::Mcptt => Service::Mcptt,
            mcinfo::InfoService::Mcvideo => Service::Mcvideo,
            mcinfo::InfoService::Mcdata => Service::Mcdata,
        }),
        session_type,
        calling_id: parsed("calling-user-id", info.calling_user_id)?,
        called_id,
        group_id,
        functional_alias: parsed("functional-alias-URI", info.functional_alias)?,
        called_functional_alias: parsed(
            "called-functional-alias-URI",
            info.called_functional_alias,
        )?,
        emergency: info.emergency,
    })
}

const KEYS: [&str; 9] = [
    "mc-service",
    "mc-calling-id",
    "mc-called-id",
    "mc-group-id",
    "mc-session-type",
    "mc-functional-alias",
    "mc-called-functional-alias",
    "mc-emergency",
    "mc-info64",
];
const SESSION_TYPES: [SessionType; 6] = [
    SessionType::Private,
    SessionType::Prearranged,
    SessionType::Chat,
    SessionType::FirstToAnswer,
    SessionType::AmbientListening,
    SessionType::Adhoc,
];
/// Encoders of scripts disagree about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<CallContext, Refusal> {
        let mut keys = ContextKeys::default();
        for (key, value) in pairs {
            assert!(keys.key(key, &Value::from(*value)), "{key}");
        }
        keys.finish()
    }

    fn info64(xml: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(xml)
    }

    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <mcpttinfo xmlns="urn:3gpp:ns:mcpttInfo:1.0"><mcptt-Params>
        <session-type>prearranged</session-type>
        <mcptt-request-uri type="Normal"><mcpttURI>sip:bob@partner.example</mcpttURI></mcptt-request-uri>
        <mcptt-calling-user-id type="Normal"><mcpttURI>sip:alice@partner.example</mcpttURI></mcptt-calling-user-id>
        <mcptt-calling-group-id type="Normal"><mcpttURI>sip:fire@partner.example</mcpttURI></mcptt-calling-group-id>
        <emergency-ind type="Normal"><mcpttBoolean>true</mcpttBoolean></emergency-ind>
        </mcptt-Params></mcpttinfo>"#;

    #[test]
    fn keys_one_by_one() {
        let context = context(&[
            ("mc-service", "MCPTT"),
            ("mc-calling-id", "sip:alice@partner.example"),
            ("mc-called-id", "bob@partner.example"),
            ("mc-group-id", ""),
            ("mc-session-type", "first to answer"),
            ("mc-functional-alias", "sip:chief@partner.example"),
            ("mc-emergency", "yes"),
        ])
        .unwrap();
        assert_eq!(context.service, Some(Service::Mcptt));
        assert_eq!(context.session_type, Some(SessionType::FirstToAnswer));
        assert_eq!(
            context.called_id.unwrap().as_str(),
            "sip:bob@partner.example"
        );
        assert_eq!(context.group_id, None);
        assert!(context.emergency);
    }

    #[test]
    fn xml_in_base64_and_keys_over_it() {
        let packed = info64(XML);
        let context = context(&[
            ("mc-calling-id", "sip:carol@partner.example"),
            ("mc-info64", packed.trim_end_matches('=')),
        ])
        .unwrap();
        assert_eq!(context.service, Some(Service::Mcptt));
        assert_eq!(context.session_type, Some(SessionType::Prearranged));
        let text = |id: Option<McId>| id.unwrap().to_string();
        assert_eq!(text(context.calling_id), "sip:carol@partner.example");
        assert_eq!(text(context.called_id), "sip:bob@partner.example");
        assert_eq!(text(context.group_id), "sip:fire@partner.example");
        assert!(context.emergency);
    }

    #[test]
    fn the_request_uri_of_a_group_call_from_the_client_is_the_group() {
        let xml = r#"<mcpttinfo xmlns="urn:3gpp:ns:mcpttInfo:1.0"><mcptt-Params>
            <session-type>chat</session-type>
            <mcptt-request-uri><mcpttURI>sip:fire@p.example</mcpttURI></mcptt-request-uri>
            </mcptt-Params></mcpttinfo>"#;
        let context = context(&[("mc-info64", &info64(xml))]).unwrap();
        assert_eq!(context.group_id.unwrap().as_str(), "sip:fire@p.example");
        assert_eq!(context.called_id, None);
    }

    #[test]
    fn bad_values_name_their_key() {
        for (key, value, reason) in [
            ("mc-service", "voip", "mc-service: unknown service"),
            ("mc-calling-id", "a b", "mc-calling-id: \"a b\" is not"),
            ("mc-session-type", "party", "mc-session-type: unknown"),
            ("mc-emergency", "maybe", "mc-emergency: \"maybe\""),
            ("mc-info64", "***", "mc-info64: not base64"),
            ("mc-info64", "PGE+", "mc-info64: "),
        ] {
            let refusal = context(&[(key, value)]).unwrap_err().to_string();
            assert!(refusal.starts_with(reason), "{refusal}");
        }
        let mut keys = ContextKeys::default();
        assert!(keys.key("mc-service", &Value::List(Vec::new())));
        assert!(keys.finish().is_err());
    }

    #[test]
    fn ids_within_the_xml_are_checked() {
        let packed = info64(&XML.replace("sip:alice@partner.example", "not an id"));
        let refusal = context(&[("mc-info64", &packed)]).unwrap_err().to_string();
        assert!(
            refusal.starts_with("mc-info64: calling-user-id: "),
            "{refusal}"
        );
    }
}
