//! Faults for the demo, which must be able to show that it notices them: packets are dropped or
//! altered before the logger sees them, as if the network had done it.

use super::loss::rtp;

/// How many of the RTP packets after the tenth meet a fault; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many are dropped.
    pub drop: u64,
    /// Of those after that, so many get their last octet changed.
    pub alter: u64,
}

/// Carries the faults out.
#[derive(Debug)]
pub(super) struct Injector {
    faults: Faults,
    seen: u64,
    altered: Vec<u8>,
}

impl Injector {
    /// `None` when there is nothing to do, ever.
    pub(super) fn new(faults: Faults) -> Option<Self> {
        (faults != Faults::default()).then(|| Self {
            faults,
            seen: 0,
            altered: Vec::new(),
        })
    }

    /// What arrives in place of this packet, if anything.
    pub(super) fn pass<'a>(&'a mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if rtp(bytes).is_none() {
            return Some(bytes);
        }
        self.seen += 1;
        let place = self.seen.saturating_sub(UNTOUCHED + 1);
        if self.seen <= UNTOUCHED || place >= self.faults.drop.saturating_add(self.faults.alter) {
            return Some(bytes);
        }
        if place < self.faults.drop {
            return None;
        }
        self.altered.clear();
        self.altered.extend_from_slice(bytes);
        if let Some(last) = self.altered.last_mut() {
            *last ^= 0xFF;
        }
        Some(&self.altered)
    }
}

/// The first packets always pass.
const UNTOUCHED: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_after_the_tenth_and_are_counted() {
        assert!(Injector::new(Faults::default()).is_none());
        let mut injector = Injector::new(Faults { drop: 2, alter: 3 }).unwrap();
        let mut packet = [7; 20];
        packet[0] = 0x80;
        packet[1] = 0;
        let mut fates = Vec::new();
        for _ in 0..20 {
            assert_eq!(injector.pass(b"not RTP"), Some(&b"not RTP"[..]));
            fates.push(injector.pass(&packet).map(|bytes| bytes == packet));
        }
        let expected = [
            &[Some(true); 10][..],
            &[None; 2],
            &[Some(false); 3],
            &[Some(true); 5],
        ];
        assert_eq!(fates, expected.concat());
    }
}
