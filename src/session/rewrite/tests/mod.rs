//! Tests by theme; here is what they share.

mod formats;
mod lines;
mod origin;
mod properties;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::session::options::{Replace, RtcpAttribute};

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
const US6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5));

const MCPTT: &str = "v=0\r\no=mcas 88210 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\n\
    t=0 0\r\nm=audio 41000 RTP/AVP 96\r\na=rtpmap:96 AMR-WB/16000\r\na=ptime:20\r\n\
    m=application 41002 udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";

fn plan<'a>(options: &'a Options, medias: &'a [MediaPlan<'a>]) -> Plan<'a> {
    Plan {
        options,
        instance: "relay-1",
        origin_address: US,
        session_id: 7,
        medias,
    }
}

/// Rewrites with every media relayed (or whatever it calls for), and gives back text.
fn rewrite_with(sdp: &str, options: &Options, memory: &mut Memory) -> String {
    let session = parse(sdp.as_bytes()).unwrap();
    let medias: Vec<_> = session
        .medias
        .iter()
        .map(|m| media_plan(m, options))
        .collect();
    let written = write(&session, &plan(options, &medias), memory).unwrap();
    String::from_utf8(written).unwrap()
}

fn media_plan(media: &Media<'_>, options: &Options) -> MediaPlan<'static> {
    MediaPlan {
        action: Action::of(media, options),
        kept: Kept::of(media, None, &options.codec_strip),
        ..MediaPlan::relay(US, 30000)
    }
}

fn rewrite(sdp: &str, options: &Options) -> String {
    rewrite_with(sdp, options, &mut Memory::default())
}

/// A session around one media.
fn one(session: &str, media: &str) -> String {
    format!("v=0\no=mcas 88 5 IN IP4 192.0.2.10\ns=-\n{session}t=0 0\n{media}")
}

fn audio(lines: &str) -> String {
    one(
        "c=IN IP4 192.0.2.10\n",
        &format!("m=audio 41000 RTP/AVP 0\n{lines}"),
    )
}

/// One audio media written by `change`d plan.
fn planned(
    sdp: &str,
    options: &Options,
    change: impl Fn(&mut MediaPlan<'_>),
) -> Result<String, Error> {
    let session = parse(sdp.as_bytes()).unwrap();
    let mut media = media_plan(&session.medias[0], options);
    change(&mut media);
    let medias = [media];
    let written = write(&session, &plan(options, &medias), &mut Memory::default())?;
    Ok(String::from_utf8(written).unwrap())
}

fn replace(set: impl Fn(&mut Replace)) -> Options {
    let mut options = Options::default();
    set(&mut options.replace);
    options
}

fn origin(sdp: &str) -> &str {
    sdp.lines().nth(1).unwrap()
}

fn assert_has(sdp: &str, line: &str) {
    assert!(sdp.lines().any(|l| l == line), "no {line} in\n{sdp}");
}

fn assert_lacks(sdp: &str, part: &str) {
    assert!(!sdp.contains(part), "{part} in\n{sdp}");
}

/// An audio media with these formats and attributes.
fn codecs(formats: &str, lines: &str) -> String {
    one(
        "c=IN IP4 192.0.2.10\n",
        &format!("m=audio 41000 RTP/AVP {formats}\n{lines}"),
    )
}
