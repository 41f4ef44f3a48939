use proptest::prelude::*;

use super::*;

const FULL: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<mcpttinfo xmlns="urn:3gpp:ns:mcpttInfo:1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <mcptt-Params>
  <session-type>private</session-type>
  <mcptt-request-uri type="Normal"><mcpttURI>sip:bob@partner.example</mcpttURI></mcptt-request-uri>
  <mcptt-calling-user-id type="Normal"><mcpttURI>sip:a&amp;b&#64;partner.example</mcpttURI></mcptt-calling-user-id>
  <mcptt-called-party-id type="Normal"><mcpttURI><![CDATA[sip:carol@partner.example]]></mcpttURI></mcptt-called-party-id>
  <emergency-ind type="Normal"><mcpttBoolean>false</mcpttBoolean></emergency-ind>
  <later-release-element><x><mcpttURI>sip:no@x</mcpttURI></x></later-release-element>
  <anyExt>
   <functional-alias-URI type="Normal"><mcpttURI>sip:chief@partner.example</mcpttURI></functional-alias-URI>
   <adhoc-emergency-ind type="Normal"><mcpttBoolean>1</mcpttBoolean></adhoc-emergency-ind>
  </anyExt>
 </mcptt-Params>
</mcpttinfo>"#;

fn wrapped(inner: &str) -> String {
    format!(
        "<mcpttinfo xmlns=\"urn:3gpp:ns:mcpttInfo:1.0\"><mcptt-Params>{inner}</mcptt-Params></mcpttinfo>"
    )
}

#[test]
fn reads_what_a_logger_needs() {
    let info = parse(FULL.as_bytes()).unwrap();
    assert_eq!(info.service, InfoService::Mcptt);
    assert_eq!(info.session_type.as_deref(), Some("private"));
    assert_eq!(info.request_uri.as_deref(), Some("sip:bob@partner.example"));
    assert_eq!(
        info.calling_user_id.as_deref(),
        Some("sip:a&b@partner.example")
    );
    assert_eq!(
        info.called_party_id.as_deref(),
        Some("sip:carol@partner.example")
    );
    assert_eq!(
        info.functional_alias.as_deref(),
        Some("sip:chief@partner.example")
    );
    assert_eq!(info.calling_group_id, None);
    assert!(info.emergency);
    assert_eq!(info.encrypted, 0);
}

#[test]
fn other_services_and_prefixes() {
    let video = r#"<v:mcvideoinfo xmlns:v="urn:3gpp:ns:mcvideoInfo:1.0"><v:mcvideo-Params>
        <v:mcvideo-calling-group-id><v:mcvideoURI>sip:g@x</v:mcvideoURI></v:mcvideo-calling-group-id>
        </v:mcvideo-Params></v:mcvideoinfo>"#;
    let info = parse(video.as_bytes()).unwrap();
    assert_eq!(info.service, InfoService::Mcvideo);
    assert_eq!(info.calling_group_id.as_deref(), Some("sip:g@x"));
    let data = br#"<mcdatainfo xmlns="urn:3gpp:ns:mcdataInfo:1.0"><mcdata-Params/></mcdatainfo>"#;
    assert_eq!(parse(data).unwrap().service, InfoService::Mcdata);
}

#[test]
fn encrypted_elements_are_unknown() {
    let xml = wrapped(
        r#"<mcptt-calling-user-id type="Encrypted"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">
        <xenc:CipherData><xenc:CipherValue>c2lwOmFAYg==</xenc:CipherValue></xenc:CipherData>
        </xenc:EncryptedData></mcptt-calling-user-id>
        <mcptt-called-party-id type="Encrypted"><mcpttURI>sip:decoy@x</mcpttURI></mcptt-called-party-id>
        <session-type>private</session-type>"#,
    );
    let info = parse(xml.as_bytes()).unwrap();
    assert_eq!(info.calling_user_id, None);
    assert_eq!(info.called_party_id, None);
    assert_eq!(info.session_type.as_deref(), Some("private"));
    assert_eq!(info.encrypted, 2);
}

#[test]
fn hostile_documents_are_refused() {
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><mcpttinfo xmlns="urn:3gpp:ns:mcpttInfo:1.0">&b;</mcpttinfo>"#;
    assert_eq!(parse(bomb.as_bytes()), Err(Error::Entities));
    assert_eq!(
        parse(wrapped("<a>&xxe;</a>").as_bytes()),
        Err(Error::Entities)
    );
    assert_eq!(
        parse(wrapped("<a>&#xD800;</a>").as_bytes()),
        Err(Error::Entities)
    );
    assert_eq!(
        parse(wrapped(&"<a>".repeat(40)).as_bytes()),
        Err(Error::Depth)
    );
    assert_eq!(parse(&vec![b'<'; MAX_LEN + 1]), Err(Error::Size));
    assert_eq!(parse(b"<a>\xff</a>"), Err(Error::Encoding));
    let latin = r#"<?xml version="1.0" encoding="ISO-8859-1"?><a/>"#;
    assert_eq!(parse(latin.as_bytes()), Err(Error::Encoding));
    for root in [
        "",
        "text",
        "<a/>",
        "<mcpttinfo/>",
        r#"<mcpttinfo xmlns="urn:other"/>"#,
        r#"<other xmlns="urn:3gpp:ns:mcpttInfo:1.0"/>"#,
    ] {
        assert!(
            matches!(parse(root.as_bytes()), Err(Error::Root | Error::Syntax(_))),
            "{root}"
        );
    }
    for broken in ["<a></b>", "<a", "<a b=1/>", "</a>", "<a x='1' x='2'/>"] {
        let result = parse(wrapped(broken).as_bytes());
        assert!(
            matches!(result, Err(Error::Syntax(_))),
            "{broken}: {result:?}"
        );
    }
    let open = r#"<mcpttinfo xmlns="urn:3gpp:ns:mcpttInfo:1.0"><mcptt-Params>"#;
    assert!(matches!(parse(open.as_bytes()), Err(Error::Syntax(_))));
    let two = [wrapped(""), wrapped("")].concat();
    assert!(matches!(parse(two.as_bytes()), Err(Error::Syntax(_))));
}

proptest! {
    #[test]
    fn a_damaged_document_is_read_or_refused(at in 0..FULL.len(), byte: u8, cut in 0..FULL.len()) {
        let mut damaged = FULL.as_bytes().to_vec();
        damaged[at] = byte;
        let _ = parse(&damaged);
        let _ = parse(&damaged[..cut]);
    }
}
