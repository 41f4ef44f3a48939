//! Text that must not be seen: shown as `[redacted]` whoever prints it, and wiped from memory when
//! it is dropped.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret: 1 to 4,096 octets of text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; `None` if it is empty or too long.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        (1..=MAX_LEN).contains(&text.len()).then_some(Self(text))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";
const MAX_LEN: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_it() {
        let secret = Secret::new("hunter2".into()).unwrap();
        let shown = [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{:#?}", Some(&secret)),
            serde_json::to_string(&secret).unwrap(),
        ];
        for text in shown {
            assert!(
                text.contains(REDACTED) && !text.contains("hunter"),
                "{text}"
            );
        }
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(Secret::new(String::new()), None);
        assert_eq!(Secret::new("x".repeat(4_097)), None);
    }
}
