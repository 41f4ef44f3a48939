//! Faults that the demo puts on the way to the logger, to show that they are found.

use std::str::FromStr;

use crate::logger::fault::Faults;

/// A fault to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inject {
    /// Lose so many mirrored packets.
    DropMirror(u64),
    /// Change a bit in so many mirrored packets.
    Alter(u64),
}

impl Inject {
    /// As the logger's receiver takes it.
    pub(super) fn faults(self) -> Faults {
        match self {
            Self::DropMirror(drop) => Faults { drop, alter: 0 },
            Self::Alter(alter) => Faults { drop: 0, alter },
        }
    }
}

impl FromStr for Inject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("{text:?} is not drop-mirror=K or alter=K with K of 1 or more");
        let (name, count) = text.split_once('=').ok_or_else(expected)?;
        let count: u64 = count.parse().map_err(|_| expected())?;
        match name {
            "drop-mirror" if count > 0 => Ok(Self::DropMirror(count)),
            "alter" if count > 0 => Ok(Self::Alter(count)),
            _ => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_two_kinds_of_faults() {
        assert_eq!("drop-mirror=3".parse(), Ok(Inject::DropMirror(3)));
        assert_eq!("alter=1".parse(), Ok(Inject::Alter(1)));
        for bad in [
            "",
            "alter",
            "alter=",
            "alter=0",
            "alter=-1",
            "lose=1",
            "drop-mirror=x",
        ] {
            assert!(bad.parse::<Inject>().is_err(), "{bad}");
        }
    }
}
