//! What signalling says to the core, and what it gets back.

use std::net::SocketAddr;

use homeward::migration::agreement::{Agreement, Kind, Mode, OnFailedMigration, OnLoggerLoss};
use homeward::migration::context::CallContext;
use homeward::migration::identity::Service;
use homeward::session::ids::Tag;
use homeward::session::options::Options;
use homeward::session::reply::Reply;
use homeward::session::request::{Delete, Exchange};
use homeward::wire::block::MediaKind;

pub(crate) fn agreement(system: &str) -> Agreement {
    Agreement {
        primary: system.parse().unwrap(),
        kind: Kind::Bilateral,
        services: vec![Service::Mcptt],
        mode: Mode::Duplicate,
        media: vec![MediaKind::Audio, MediaKind::Floor],
        deny_session_types: Vec::new(),
        loggers: vec!["hq".into()],
        anchors: Vec::new(),
        mandatory: true,
        on_logger_loss: OnLoggerLoss::Spool,
        on_failed_migration: OnFailedMigration::Reject,
    }
}

pub(crate) fn context(calling: &str, called: &str) -> CallContext {
    let id = |user: &str| Some(format!("sip:{user}@partner.example").parse().unwrap());
    CallContext {
        service: Some(Service::Mcptt),
        calling_id: id(calling),
        called_id: id(called),
        ..CallContext::default()
    }
}

pub(crate) fn exchange(id: &str, from: &str, to: Option<&str>, sdp: &str) -> Exchange {
    Exchange {
        call_id: id.into(),
        from_tag: from.into(),
        to_tag: to.map(Tag::from),
        via_branch: None,
        sdp: sdp.as_bytes().to_vec(),
        options: Options::default(),
        context: CallContext::default(),
    }
}

pub(crate) fn delete(id: &str) -> Delete {
    Delete {
        call_id: id.into(),
        from_tag: None,
        to_tag: None,
        via_branch: None,
        delay: Some(0),
        fatal: false,
    }
}

pub(crate) fn head(address: &str) -> String {
    let family = if address.contains(':') { "IP6" } else { "IP4" };
    format!("v=0\r\no=- 1 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n")
}

pub(crate) fn audio(address: &str, port: u16) -> String {
    format!(
        "{}m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
        head(address)
    )
}

/// Audio with floor control.
pub(crate) fn mcptt(address: &str, port: u16) -> String {
    let floor = port + 2;
    format!(
        "{}m=application {floor} udp MCPTT\r\na=fmtp:MCPTT mc_queueing\r\n",
        audio(address, port)
    )
}

/// An SDP that the core has written, as its reader would understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sdp {
    pub(crate) text: String,
    pub(crate) rtp: Vec<SocketAddr>,
}

impl Sdp {
    pub(crate) fn of(reply: Reply) -> Self {
        let Reply::Sdp(body) = reply else {
            panic!("{reply:?}");
        };
        let text = String::from_utf8(body).unwrap();
        let session = homeward::wire::sdp::parse(text.as_bytes()).unwrap();
        let rtp = session.medias.iter().map(|media| {
            let address = media.address(&session).unwrap();
            SocketAddr::new(address, media.port)
        });
        let rtp = rtp.collect();
        Self { text, rtp }
    }

    pub(crate) fn rtcp(&self, media: usize) -> SocketAddr {
        let rtp = self.rtp[media];
        SocketAddr::new(rtp.ip(), rtp.port() + 1)
    }
}
