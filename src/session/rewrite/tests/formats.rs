//! Which formats are handed on.

use super::*;

fn answered(offer: &str, answer: &str) -> (Kept, String) {
    let offer_session = parse(offer.as_bytes()).unwrap();
    let answer_session = parse(answer.as_bytes()).unwrap();
    let kept = intersect(&offer_session.medias[0], &answer_session.medias[0]);
    let written = planned(answer, &Options::default(), |m| m.kept = kept.clone()).unwrap();
    (kept, written)
}

/// NG reference 9.1, pitfall 25.
#[test]
fn answer_holds_only_what_was_offered() {
    let offer = codecs(
        "96 8 101",
        "a=rtpmap:96 AMR-WB/16000\na=rtpmap:101 telephone-event/8000\n",
    );
    let answer = codecs(
        "100 8 97 96",
        "a=rtpmap:97 EVS/16000\na=fmtp:97 br=5\na=rtpmap:96 amr-wb/16000/1\n\
         a=fmtp:96 octet-align=1\na=rtpmap:100 telephone-event/8000\na=rtcp-fb:97 nack\n",
    );
    let (kept, written) = answered(&offer, &answer);
    assert_eq!(kept, Kept::Only([8, 96].into_iter().collect()));
    let expected = "m=audio 30000 RTP/AVP 8 96\r\nc=IN IP4 203.0.113.5\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 amr-wb/16000/1\r\na=fmtp:96 octet-align=1\r\n\
        a=sendrecv\r\na=rtcp:30001\r\n";
    assert!(written.ends_with(expected), "{written}");
    // The same number for another encoding is not what was offered.
    let other = codecs("96", "a=rtpmap:96 EVS/16000\n");
    let (kept, written) = answered(&offer, &other);
    assert!(kept.is_empty());
    assert_has(&written, "m=audio 0 RTP/AVP 96");
    // An answer that does not repeat what a number means, means what was offered.
    assert_eq!(answered(&offer, &codecs("96", "")).0, Kept::All);
    assert_eq!(answered(&offer, &offer).0, Kept::All);
}

#[test]
fn stripped_codecs_take_their_attributes_along() {
    let sdp = codecs(
        "96 0 97 98",
        "a=rtpmap:96 EVS/16000\na=fmtp:96 br=5\na=rtpmap:97 rtx/16000\na=fmtp:97 apt=96\n\
         a=rtpmap:98 rtx/8000\na=fmtp:98 rtx-time=9; apt=0\n",
    );
    let strip = |names: &[&str]| Options {
        codec_strip: names.iter().map(|n| (*n).into()).collect(),
        ..Options::default()
    };
    let written = rewrite(&sdp, &strip(&["evs"]));
    assert_has(&written, "m=audio 30000 RTP/AVP 0 98");
    assert_lacks(&written, ":96");
    assert_lacks(&written, ":97");
    let written = rewrite(&sdp, &strip(&["EVS/8000", "PCMU/8000/1"]));
    assert_has(&written, "m=audio 30000 RTP/AVP 96 97");
    // Nothing would be left: not obeyed.
    let all = rewrite(&sdp, &strip(&["EVS", "PCMU", "rtx"]));
    assert_has(&all, "m=audio 30000 RTP/AVP 96 0 97 98");
}

#[test]
fn offered_formats_are_small() {
    let sdp = codecs(
        "96 97 0",
        "a=rtpmap:96 AMR-WB/16000\na=rtpmap:97 AMR/8000\n",
    );
    let session = parse(sdp.as_bytes()).unwrap();
    let offered = Offered::of(&session.medias[0]);
    assert_eq!(size_of_val(&offered), 16);
    assert_ne!(offered, Offered::default());
    let floor = parse(MCPTT.as_bytes()).unwrap();
    assert_eq!(Offered::of(&floor.medias[1]), Offered::default());
    assert_eq!(intersect(&floor.medias[1], &floor.medias[1]), Kept::All);
}

/// A line repeated in the m-line does not multiply what follows it.
#[test]
fn output_is_bounded_by_input() {
    let long = "x".repeat(30_000);
    let sdp = codecs(
        &"96 ".repeat(128),
        &format!("a=rtpmap:96 X/1\na=fmtp:96 {long}\n"),
    );
    assert!(rewrite(&sdp, &Options::default()).len() < sdp.len() + 200);
}
