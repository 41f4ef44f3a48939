//! Rules of the rewriting.

use super::*;

const MCPTT: &str = "v=0\r\no=mcas 88210 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\n\
    t=0 0\r\nm=audio 41000 RTP/AVP 96\r\na=rtpmap:96 AMR-WB/16000\r\na=ptime:20\r\n\
    m=application 41002 udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";

/// NG reference 17.2, byte for byte.
#[test]
fn worked_example() {
    let options = Options {
        replace: replace(|r| r.origin = true),
        ..Options::default()
    };
    let session = parse(MCPTT.as_bytes()).unwrap();
    let medias = [MediaPlan::relay(US, 30120), MediaPlan::relay(US, 30122)];
    let sdp = write(&session, &plan(&options, &medias), &mut Memory::default()).unwrap();
    let expected = "v=0\r\no=mcas 88210 1 IN IP4 203.0.113.5\r\ns=-\r\nt=0 0\r\n\
        m=audio 30120 RTP/AVP 96\r\nc=IN IP4 203.0.113.5\r\na=rtpmap:96 AMR-WB/16000\r\n\
        a=sendrecv\r\na=rtcp:30121\r\na=ptime:20\r\nm=application 30122 udp MCPTT\r\n\
        c=IN IP4 203.0.113.5\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";
    assert_eq!(String::from_utf8(sdp).unwrap(), expected);
    assert_eq!(expected.len(), 257);
}

const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

fn plan<'a>(options: &'a Options, medias: &'a [MediaPlan<'a>]) -> Plan<'a> {
    Plan {
        options,
        instance: "relay-1",
        origin_address: US,
        session_id: 7,
        medias,
    }
}

fn replace(
    set: impl Fn(&mut crate::session::options::Replace),
) -> crate::session::options::Replace {
    let mut replace = crate::session::options::Replace::default();
    set(&mut replace);
    replace
}
