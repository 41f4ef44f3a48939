//! What parties say to each other.

use std::sync::OnceLock;

use crate::party::packets;
use crate::speech::Speech;

/// A speech and its packets.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// What is heard.
    pub(crate) speech: Speech,
    /// What is sent.
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Said {
    /// A speech as packets, with the given pauses (see [`packets`]).
    pub(crate) fn of(speech: Speech, ssrc: u32, pauses: &[(usize, u32)]) -> Self {
        let packets = packets(&speech, ssrc, pauses);
        Self { speech, packets }
    }
}

/// Sources of the caller and the callee.
pub(crate) const SSRC: [u32; 2] = [0xA11C_E001, 0xB0B0_0002];

/// What the caller and the callee say in so many seconds, at most [`LONGEST`].
pub(crate) fn said(seconds: usize) -> [Said; 2] {
    let [alice, bob, _] = voices();
    [
        Said::of(alice.cut(seconds), SSRC[0], &[]),
        Said::of(bob.cut(seconds), SSRC[1], &[]),
    ]
}

/// Three people who speak without a pause for [`LONGEST`]; made once, since synthesis takes its
/// time.
pub(crate) fn voices() -> &'static [Speech; 3] {
    static VOICES: OnceLock<[Speech; 3]> = OnceLock::new();
    VOICES.get_or_init(|| TEXTS.map(|(voice, text)| Speech::of(text, voice, LONGEST)))
}

/// Seconds of speech that there are.
pub(crate) const LONGEST: usize = 14;

const TEXTS: [(&str, &str); 3] = [
    (
        "en-gb",
        "Control, this is unit seven. We have crossed the border with two ambulances, and ask for \
         the landing site at the northern hospital. One of the injured cannot wait for the road to \
         be cleared. We have a doctor with us, who asks for blood of group zero at the landing \
         site, and for a second crew that relieves ours.",
    ),
    (
        "en-us+f3",
        "Unit seven, good evening. The helicopter waits behind the fire station; take the second \
         exit and follow the blue lights from there. Tell the doctor that the hospital has been \
         called, and that somebody brings what is needed. The crew of unit nine is on its way to \
         you, and should be there within a quarter of an hour.",
    ),
    (
        "en-gb+m5",
        "All units, here is the fire brigade on the bridge. The eastern lane is open again for \
         rescue vehicles only, the western one stays closed until the crane has arrived. Keep to \
         walking pace please, since there are hoses across the road and people who walk between \
         them. We report again as soon as the second lane is free.",
    ),
];
