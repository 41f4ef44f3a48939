//! The one object that `homeward demo --json` prints. Its keys are a contract with whoever runs
//! the demo in a pipeline: they are neither renamed nor taken away.

use std::path::PathBuf;

use serde::Serialize;

use super::recordings::Found;
use super::report::Report;

/// The object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoReport {
    /// Calls that were set up.
    pub calls: u32,
    /// RTP packets; nothing else is counted.
    pub packets: DemoPackets,
    /// From one party to the other, in microseconds.
    pub latency_us: DemoLatency,
    /// The recordings that were read back.
    pub recordings: Vec<PathBuf>,
    /// Certificates of the calls.
    pub certificates: DemoCertificates,
}

/// RTP packets on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoPackets {
    /// Sent by the parties, as they counted.
    pub sent: u64,
    /// Arrived unchanged and for the first time at the other party, as it counted.
    pub forwarded: u64,
    /// Handed to the mirror, as the relay counted.
    pub mirrored: u64,
    /// Found unchanged in the closed recordings.
    pub stored: u64,
    /// Sent, and in no recording unchanged.
    pub missing: u64,
}

/// Latency from party to party, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoLatency {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// Certificates by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DemoCertificates {
    /// Every packet is stored.
    pub complete: u64,
    /// There are gaps, declared or not.
    pub incomplete: u64,
}

impl DemoReport {
    /// From what the parties counted and what the recordings hold; `mirrored` is what the relay
    /// counted.
    pub fn new(
        report: &Report,
        found: &Found,
        mirrored: u64,
        certificates: DemoCertificates,
    ) -> Self {
        let latency = report.latency_us;
        Self {
            calls: report.calls.ok + report.calls.failed,
            packets: DemoPackets {
                sent: report.packets.sent,
                forwarded: report.packets.received - report.packets.altered,
                mirrored,
                stored: found.stored,
                missing: found.missing + found.altered,
            },
            latency_us: DemoLatency {
                p50: latency.p50,
                p99: latency.p99,
                p999: latency.p999,
                max: latency.max,
            },
            recordings: found.files.clone(),
            certificates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_contract() {
        let text = serde_json::to_string(&DemoReport::default()).unwrap();
        let expected = concat!(
            r#"{"calls":0,"#,
            r#""packets":{"sent":0,"forwarded":0,"mirrored":0,"stored":0,"missing":0},"#,
            r#""latency_us":{"p50":0,"p99":0,"p999":0,"max":0},"#,
            r#""recordings":[],"certificates":{"complete":0,"incomplete":0}}"#,
        );
        assert_eq!(text, expected);
    }
}
