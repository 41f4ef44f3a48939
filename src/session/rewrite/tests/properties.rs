//! What holds for any description.

use proptest::prelude::*;

use super::*;

/// Options at random, as far as they change the writing.
fn any_options() -> impl Strategy<Value = Options> {
    (any::<[bool; 10]>(), 0..3u8, 0..3u8).prop_map(|(b, rtcp, strip)| Options {
        replace: Replace {
            origin: b[0],
            username: b[1],
            session_name: b[2],
            sdp_version: b[3],
            origin_full: b[4],
            force_increment_sdp_ver: b[5],
            zero_address: b[6],
        },
        loop_protect: b[7],
        original_sendrecv: b[8],
        passthrough: b[9] && b[8],
        rtcp_attribute: match rtcp {
            0 => RtcpAttribute::Port,
            1 => RtcpAttribute::None,
            _ => RtcpAttribute::Full,
        },
        codec_strip: ["PCMU", "rtx"]
            .iter()
            .take(strip.into())
            .map(|n| (*n).into())
            .collect(),
        ..Options::default()
    })
}

/// Lines that are nearly always taken, in any order.
const LINES: &str = "(a=rtpmap:(0|96|97) [A-Za-z]{1,4}/8000\
    |a=fmtp:(0|96|MCPTT) [a-z;=]{0,9}\
    |a=(sendonly|inactive|rtcp-mux|rtcp:9|mid:1|ice-lite|group:BUNDLE 1|[ -~]{0,12})\
    |c=IN (IP4 (0\\.0\\.0\\.0|192\\.0\\.2\\.7)|IP6 ::)\
    |m=(audio|video|message|x) (0|9|4000|4000/2) (RTP/AVP|RTP/SAVPF|udp|TCP/MSRP) (0 96|MCPTT|97)\
    |[bsituepzkx]=[ -~]{0,12}|[ -~]{0,9})";

proptest! {
    /// What is written can be read, has the same medias, and comes out the same when written
    /// again from itself.
    #[test]
    fn written_sessions_are_read_again(
        lines in proptest::collection::vec(LINES, 0..30),
        options in any_options(),
    ) {
        let sdp = format!(
            "v=0\no=u 1 2 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 5 RTP/AVP 96 0\n{}\n",
            lines.join("\n"),
        );
        let Ok(session) = parse(sdp.as_bytes()) else {
            return Ok(());
        };
        let written = rewrite(&sdp, &options);
        let again = parse(written.as_bytes()).unwrap();
        prop_assert_eq!(again.medias.len(), session.medias.len());
        for (a, b) in again.medias.iter().zip(&session.medias) {
            prop_assert_eq!(a.kind, b.kind);
            prop_assert_eq!(a.is_rejected(), b.is_rejected());
            prop_assert_eq!(a.mid(), b.mid());
        }
        let stable = Options { loop_protect: false, replace: Replace::default(), ..options };
        let once = rewrite(&written, &stable);
        prop_assert_eq!(rewrite(&once, &stable), once);
    }

    #[test]
    fn formats_never_panic(offer in "[ 0-9]{0,30}", answer in "[ 0-9]{0,30}") {
        let (offer, answer) = (codecs(&offer, ""), codecs(&answer, ""));
        if let (Ok(offer), Ok(answer)) = (parse(offer.as_bytes()), parse(answer.as_bytes())) {
            let kept = intersect(&offer.medias[0], &answer.medias[0]);
            if let Kept::Only(payloads) = kept {
                let offered: Vec<_> = offer.medias[0].payload_types().collect();
                prop_assert!(payloads.iter().all(|p| offered.contains(p)));
            }
        }
    }
}
