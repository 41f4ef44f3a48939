//! Real speech, as packets and as samples.

use std::fs::{read, write};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::output;

/// Samples in a packet of 20 ms at 8 kHz; octets as well.
pub(crate) const FRAME: usize = 160;

/// Frames in a second.
pub(crate) const FRAMES_A_SECOND: usize = 50;

/// What one party says: mono, 8 kHz, a whole number of frames.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    /// As synthesized, 16 bits linear.
    pub(crate) samples: Vec<i16>,
    /// As PCMU (G.711).
    pub(crate) coded: Vec<u8>,
}

impl Speech {
    /// Lets espeak-ng speak `text`, and cuts or fills it up to `seconds`.
    pub(crate) fn of(text: &str, voice: &str, seconds: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let file = |name: &str| {
            dir.path()
                .join(name)
                .into_os_string()
                .into_string()
                .unwrap()
        };
        let (spoken, linear, coded) = (file("a.wav"), file("a.s16"), file("a.ul"));
        output(Command::new("espeak-ng").args(["-v", voice, "-s", "165", "-w", &spoken, text]));
        let length = seconds.to_string();
        let cut = ["pad", "0", &length, "trim", "0", &length];
        // Without dither (-D) both come from the same samples.
        let mono = ["-r", "8000", "-c", "1"];
        let s16 = [
            "-t",
            "raw",
            "-e",
            "signed-integer",
            "-b",
            "16",
            "-L",
            &linear,
        ];
        output(
            Command::new("sox")
                .args(["-D", &spoken])
                .args(mono)
                .args(s16)
                .args(cut),
        );
        let from = ["-t", "raw", "-e", "signed-integer", "-b", "16", "-L"];
        let ulaw = ["-t", "raw", "-e", "mu-law", "-b", "8", &coded];
        output(
            Command::new("sox")
                .arg("-D")
                .args(from)
                .args(mono)
                .arg(&linear)
                .args(ulaw),
        );
        Self {
            samples: samples(&read(linear).unwrap()),
            coded: read(coded).unwrap(),
        }
    }

    /// Its first seconds.
    pub(crate) fn cut(&self, seconds: usize) -> Self {
        self.part(0, seconds * FRAMES_A_SECOND)
    }

    /// The frames from `first` to before `end`.
    pub(crate) fn part(&self, first: usize, end: usize) -> Self {
        let range = first * FRAME..end * FRAME;
        Self {
            samples: self.samples[range.clone()].to_vec(),
            coded: self.coded[range].to_vec(),
        }
    }

    /// This one, and then the other.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.samples.extend_from_slice(&other.samples);
        self.coded.extend_from_slice(&other.coded);
        self
    }

    /// Its frames.
    pub(crate) fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.coded.chunks_exact(FRAME)
    }
}

/// Decodes PCMU with sox.
pub(crate) fn decode(coded: &[u8], dir: &Path) -> Vec<i16> {
    let file = dir.join("coded.ul");
    write(&file, coded).unwrap();
    let from = [
        "-t", "raw", "-e", "mu-law", "-b", "8", "-r", "8000", "-c", "1",
    ];
    let to = ["-t", "raw", "-e", "signed-integer", "-b", "16", "-L", "-"];
    samples(&output(
        Command::new("sox").arg("-D").args(from).arg(file).args(to),
    ))
}

/// How alike two recordings of speech are: normalised cross-correlation at the best alignment, 1
/// for the same, about 0 for different ones.
pub(crate) fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    let (said, heard) = (floats(said), floats(heard));
    // At a quarter of the rate to find the place, then sample by sample around it.
    let (rough_said, rough_heard) = (decimate(&said), decimate(&heard));
    let range = isize::try_from(rough_heard.len()).unwrap() / 2;
    let rough = best(&rough_said, &rough_heard, -range..=range) * DECIMATION;
    let lag = best(&said, &heard, rough - DECIMATION..=rough + DECIMATION);
    correlation(&said, &heard, lag)
}

fn best(said: &[f64], heard: &[f64], lags: impl Iterator<Item = isize>) -> isize {
    lags.map(|lag| (lag, correlation(said, heard, lag)))
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .map_or(0, |(lag, _)| lag)
}

/// With `said[i]` beside `heard[i + lag]`; 0 if less than half of the speech overlaps.
fn correlation(said: &[f64], heard: &[f64], lag: isize) -> f64 {
    let said_from = lag.min(0).unsigned_abs().min(said.len());
    let heard_from = lag.max(0).unsigned_abs().min(heard.len());
    let (one, other) = (&said[said_from..], &heard[heard_from..]);
    let overlap = one.len().min(other.len());
    if overlap * 2 < said.len() {
        return 0.0;
    }
    let (mut product, mut left, mut right) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other) {
        product += a * b;
        left += a * a;
        right += b * b;
    }
    if left == 0.0 || right == 0.0 {
        0.0
    } else {
        product / f64::sqrt(left * right)
    }
}

const DECIMATION: isize = 4;

fn decimate(samples: &[f64]) -> Vec<f64> {
    samples
        .chunks_exact(DECIMATION.unsigned_abs())
        .map(|four| four.iter().sum())
        .collect()
}

fn floats(samples: &[i16]) -> Vec<f64> {
    samples.iter().copied().map(f64::from).collect()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes
        .chunks_exact(2)
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}
