//! What a party sends, as a pure function of (seed, call, party, number of the packet): so the
//! receiving side, and later the checker of recordings, recompute what must come.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use audio_codec_algorithms::encode_ulaw;
use bytes::Bytes;
use rtp::header::Header;
use rtp::packet::Packet;
use webrtc_util::Marshal;

use super::plan::{Codec, Mode, PACKETS_PER_SECOND, Plan};

/// One of the two parties of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The party that offers.
    Caller,
    /// The party that answers.
    Callee,
}

impl Side {
    /// Both, in the order in which arrays hold them.
    pub const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    /// Place in arrays that hold one item a party.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other party.
    pub const fn peer(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// What all calls of a run have in common.
pub struct Media {
    seed: u64,
    ticks: u32,
    burst: Option<u32>,
    sound: Sound,
}

enum Sound {
    Pcmu,
    AmrWb,
    /// µ-law samples, whole packets, not empty.
    Wav(Box<[u8]>),
}

/// Why a WAV file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It cannot be read, or is not WAV.
    #[error("cannot read the WAV file: {0}")]
    Read(#[from] hound::Error),
    /// It is not 8 kHz, mono, 16-bit PCM.
    #[error("the WAV file must be 8000 Hz, 1 channel, 16 bit PCM, and is {0}")]
    Format(String),
    /// There is no sound in it.
    #[error("the WAV file is empty")]
    Empty,
}

impl Media {
    /// Takes from a plan what decides about packets, and loads its sound.
    ///
    /// # Errors
    ///
    /// [`WavError`] if the codec is a file that cannot be played.
    pub fn new(plan: &Plan) -> Result<Self, WavError> {
        let ticks = plan.seconds * PACKETS_PER_SECOND;
        let burst = match plan.mode {
            Mode::FullDuplex => None,
            Mode::PushToTalk => Some(LONGEST_BURST.min(ticks / 2)),
        };
        let sound = match &plan.codec {
            Codec::Pcmu => Sound::Pcmu,
            Codec::AmrWb => Sound::AmrWb,
            Codec::Wav(path) => Sound::Wav(load_wav(path)?),
        };
        Ok(Self {
            seed: plan.seed,
            ticks,
            burst,
            sound,
        })
    }

    /// Length of a call in packet intervals.
    pub const fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Length of a talk burst in packet intervals; `None` in full duplex.
    pub const fn burst(&self) -> Option<u32> {
        self.burst
    }

    /// Payload type and what SDP says of it.
    pub const fn format(&self) -> Format {
        match self.sound {
            Sound::Pcmu | Sound::Wav(_) => Format {
                payload_type: 0,
                encoding: "PCMU/8000",
                fmtp: None,
                step: 160,
            },
            Sound::AmrWb => Format {
                payload_type: 96,
                encoding: "AMR-WB/16000",
                fmtp: Some("octet-align=1"),
                step: 320,
            },
        }
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media")
            .field("seed", &self.seed)
            .field("ticks", &self.ticks)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

/// An RTP payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding name and clock rate, as in `a=rtpmap`.
    pub encoding: &'static str,
    /// Parameters, as in `a=fmtp`.
    pub fmtp: Option<&'static str>,
    /// Timestamp units of a packet.
    pub step: u32,
}

/// The RTP stream that one party sends.
#[derive(Clone, Debug)]
pub struct Stream {
    media: Arc<Media>,
    call: u32,
    side: Side,
}

impl Stream {
    /// The stream of a party; calls are counted from 0.
    pub const fn new(media: Arc<Media>, call: u32, side: Side) -> Self {
        Self { media, call, side }
    }

    /// What it has in common with the other streams of the run.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// Number of the call, from 0.
    pub const fn call(&self) -> u32 {
        self.call
    }

    /// Which party sends it.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// The stream of a party of the same call.
    #[must_use]
    pub fn of(&self, side: Side) -> Self {
        Self {
            media: Arc::clone(&self.media),
            call: self.call,
            side,
        }
    }

    /// SSRC: differs for all streams of a run.
    pub fn ssrc(&self) -> u32 {
        // Odd factor and a shift by a constant: one to one on 32 bits.
        low32(self.number())
            .wrapping_mul(0x9E37_79B1)
            .wrapping_add(low32(mix(self.media.seed)))
    }

    /// Packets of the whole call.
    pub fn packets(&self) -> u32 {
        self.index_from(self.media.ticks)
    }

    /// Number of the first packet that belongs to `tick` or a later one.
    pub fn index_from(&self, tick: u32) -> u32 {
        let Some(burst) = self.media.burst else {
            return tick.min(self.media.ticks);
        };
        let tick = tick.min(self.media.ticks);
        let (round, within) = (tick / (2 * burst), tick % (2 * burst));
        let begin = burst * self.side as u32;
        round * burst + within.saturating_sub(begin).min(burst)
    }

    /// Packet interval in which a packet is due.
    pub fn tick_of(&self, index: u32) -> u32 {
        match self.media.burst {
            None => index,
            Some(burst) => (2 * (index / burst) + self.side as u32) * burst + index % burst,
        }
    }

    /// The packet that is due at a tick, if the party speaks then.
    pub fn index_at(&self, tick: u32) -> Option<u32> {
        let index = self.index_from(tick);
        (tick < self.media.ticks && self.tick_of(index) == tick).then_some(index)
    }

    /// RTP timestamp of a tick.
    pub fn timestamp(&self, tick: u32) -> u32 {
        let base = low32(mix(self.key() ^ TIMESTAMP));
        base.wrapping_add(tick.wrapping_mul(self.media.format().step))
    }

    /// Sequence number of a packet.
    pub fn sequence(&self, index: u32) -> u16 {
        low16(u64::from(index).wrapping_add(mix(self.key() ^ SEQUENCE)))
    }

    /// The packet with this number, as it must arrive.
    pub fn packet(&self, index: u32) -> Bytes {
        let tick = self.tick_of(index);
        let first_of_burst = match self.media.burst {
            None => index == 0,
            Some(burst) => index.is_multiple_of(burst),
        };
        let packet = Packet {
            header: Header {
                version: 2,
                marker: first_of_burst,
                payload_type: self.media.format().payload_type,
                sequence_number: self.sequence(index),
                timestamp: self.timestamp(tick),
                ssrc: self.ssrc(),
                ..Header::default()
            },
            payload: self.payload(index),
        };
        // A header without CSRCs and extensions has no way to fail.
        packet.marshal().unwrap_or_default()
    }

    /// Which packet these octets are or were, judged by timestamp, else by sequence number.
    /// `None` if neither is of this stream.
    pub fn locate(&self, timestamp: u32, sequence: u16) -> Option<u32> {
        let since = timestamp.wrapping_sub(self.timestamp(0));
        let step = self.media.format().step;
        if since.is_multiple_of(step)
            && let Some(index) = self.index_at(since / step)
        {
            return Some(index);
        }
        let index = u32::from(sequence.wrapping_sub(self.sequence(0)));
        (index < self.packets()).then_some(index)
    }

    fn payload(&self, index: u32) -> Bytes {
        match &self.media.sound {
            Sound::Pcmu => self.noise(index, &[], PCMU_OCTETS),
            Sound::AmrWb => self.noise(index, &AMR_WB_HEAD, AMR_WB_OCTETS),
            Sound::Wav(samples) => {
                let packets = samples.len() / PCMU_OCTETS;
                let place = usize::try_from(index).unwrap_or(0) % packets * PCMU_OCTETS;
                Bytes::copy_from_slice(&samples[place..place + PCMU_OCTETS])
            }
        }
    }

    fn noise(&self, index: u32, head: &[u8], octets: usize) -> Bytes {
        let mut state = mix(self.key() ^ (u64::from(index) << 20));
        let mut payload = Vec::with_capacity(head.len() + octets + 8);
        payload.extend_from_slice(head);
        while payload.len() < head.len() + octets {
            state = state.wrapping_add(GOLDEN);
            payload.extend_from_slice(&mix(state).to_le_bytes());
        }
        payload.truncate(head.len() + octets);
        payload.into()
    }

    fn key(&self) -> u64 {
        mix(self.media.seed ^ mix(self.number()))
    }

    const fn number(&self) -> u64 {
        self.call as u64 * 2 + self.side as u64
    }
}

fn load_wav(path: &Path) -> Result<Box<[u8]>, WavError> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let good = spec.sample_rate == 8_000
        && spec.channels == 1
        && spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int;
    if !good {
        return Err(WavError::Format(format!(
            "{} Hz, {} channels, {} bit {:?}",
            spec.sample_rate, spec.channels, spec.bits_per_sample, spec.sample_format
        )));
    }
    let mut samples = reader
        .samples::<i16>()
        .take(LONGEST_WAV)
        .map(|sample| sample.map(encode_ulaw))
        .collect::<Result<Vec<_>, _>>()?;
    if samples.is_empty() {
        return Err(WavError::Empty);
    }
    samples.resize(samples.len().next_multiple_of(PCMU_OCTETS), encode_ulaw(0));
    Ok(samples.into())
}

/// The output function of splitmix64: each bit of the result depends on all of the input.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
const fn low32(value: u64) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
const fn low16(value: u64) -> u16 {
    value as u16
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const SEQUENCE: u64 = 0x5345_5155;
const TIMESTAMP: u64 = 0x5449_4D45;
/// Two seconds.
const LONGEST_BURST: u32 = 2 * PACKETS_PER_SECOND;
/// 20 ms at 8 kHz.
const PCMU_OCTETS: usize = 160;
/// A frame of 253 bits (12.65 kbit/s, TS 26.201), padded to octets.
const AMR_WB_OCTETS: usize = 32;
/// CMR 15 (no request); one frame, of type 2, of good quality (RFC 4867 4.4).
const AMR_WB_HEAD: [u8; 2] = [0xF0, 0x14];
/// An hour of samples: bounds memory whatever the file says.
const LONGEST_WAV: usize = 3_600 * 8_000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn media(mode: Mode, codec: Codec, seconds: u32) -> Arc<Media> {
        let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
        (plan.mode, plan.codec, plan.seconds) = (mode, codec, seconds);
        Arc::new(Media::new(&plan).unwrap())
    }

    #[test]
    fn packets_are_a_function_of_their_names() {
        let one = media(Mode::FullDuplex, Codec::Pcmu, 5);
        let other = media(Mode::FullDuplex, Codec::Pcmu, 5);
        let stream = Stream::new(one, 3, Side::Callee);
        let again = Stream::new(Arc::clone(&other), 3, Side::Callee);
        let peer = Stream::new(other, 3, Side::Caller);
        assert_eq!(stream.packet(17), again.packet(17));
        assert_ne!(stream.packet(17)[12..], peer.packet(17)[12..]);
        assert_ne!(stream.packet(17)[12..], stream.packet(18)[12..]);
        assert_eq!(stream.packet(17).len(), 172);
        assert_eq!(stream.packets(), 250);
    }

    #[test]
    fn headers_are_those_of_a_live_stream() {
        let stream = Stream::new(media(Mode::FullDuplex, Codec::AmrWb, 5), 0, Side::Caller);
        let (first, second) = (stream.packet(0), stream.packet(1));
        assert_eq!(first.len(), 12 + 34);
        assert_eq!((first[0], first[1], second[1]), (0x80, 0x80 | 96, 96));
        let sequence = |p: &[u8]| u16::from_be_bytes([p[2], p[3]]);
        let stamp = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
        assert_eq!(sequence(&second), sequence(&first).wrapping_add(1));
        assert_eq!(stamp(&second), stamp(&first).wrapping_add(320));
        assert_eq!(first[12..14], AMR_WB_HEAD);
    }

    #[test]
    fn ssrcs_differ_within_a_run() {
        let media = media(Mode::FullDuplex, Codec::Pcmu, 1);
        let ssrcs: HashSet<_> = (0..5_000)
            .flat_map(|call| Side::BOTH.map(|side| (call, side)))
            .map(|(call, side)| Stream::new(Arc::clone(&media), call, side).ssrc())
            .collect();
        assert_eq!(ssrcs.len(), 10_000);
    }

    #[test]
    fn bursts_alternate_and_leave_nobody_out() {
        for seconds in [1, 2, 3, 5, 7, 60] {
            let media = media(Mode::PushToTalk, Codec::Pcmu, seconds);
            let [caller, callee] = Side::BOTH.map(|side| Stream::new(Arc::clone(&media), 0, side));
            let mut counts = [0, 0];
            for tick in 0..media.ticks() {
                let due = [caller.index_at(tick), callee.index_at(tick)];
                assert!(due[0].is_some() != due[1].is_some(), "one speaks at {tick}");
                for (count, index) in counts.iter_mut().zip(due) {
                    if let Some(index) = index {
                        assert_eq!(index, *count);
                        *count += 1;
                    }
                }
            }
            assert_eq!(counts, [caller.packets(), callee.packets()]);
            assert!(counts[0] > 0 && counts[1] > 0);
            assert_eq!(caller.index_at(media.ticks()), None);
        }
    }

    #[test]
    fn a_packet_is_found_by_either_number() {
        let stream = Stream::new(media(Mode::PushToTalk, Codec::Pcmu, 7), 9, Side::Callee);
        for index in 0..stream.packets() {
            let (stamp, sequence) = (
                stream.timestamp(stream.tick_of(index)),
                stream.sequence(index),
            );
            assert_eq!(stream.locate(stamp, sequence), Some(index));
            assert_eq!(stream.locate(stamp, sequence ^ 0x8000), Some(index));
            assert_eq!(stream.locate(stamp.wrapping_add(1), sequence), Some(index));
        }
        let (stamp, sequence) = (stream.timestamp(0), stream.sequence(0));
        assert_eq!(
            stream.locate(stamp.wrapping_sub(160), sequence.wrapping_sub(1)),
            None
        );
    }

    #[test]
    fn wav_is_played_as_mu_law_and_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tone.wav");
        let mut spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..400).for_each(|n| writer.write_sample::<i16>(n * 50).unwrap());
        writer.finalize().unwrap();
        let media = media(Mode::FullDuplex, Codec::Wav(path.clone()), 1);
        let stream = Stream::new(media, 0, Side::Caller);
        assert_eq!(stream.packet(0)[12], encode_ulaw(0));
        assert_eq!(stream.packet(2)[12 + 79], encode_ulaw(399 * 50));
        assert_eq!(stream.packet(2)[12 + 80], encode_ulaw(0));
        assert_eq!(stream.packet(1)[12..], stream.packet(4)[12..]);

        spec.sample_rate = 16_000;
        hound::WavWriter::create(&path, spec)
            .unwrap()
            .finalize()
            .unwrap();
        let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
        plan.codec = Codec::Wav(path);
        let text = Media::new(&plan).unwrap_err().to_string();
        assert!(
            text.contains("and is 16000 Hz, 1 channels, 16 bit Int"),
            "{text}"
        );
    }
}
