//! Mistakes in a configuration: where, what, and what would be right.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, from 1; `None` if the mistake is that something is absent altogether.
    pub line: Option<usize>,
    /// The key, `interface[0].ports`; empty if the text is not TOML there.
    pub key: String,
    /// What is wrong, and what is expected.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error("{}", list(path, mistakes))]
    Mistakes {
        /// The file.
        path: std::path::PathBuf,
        /// All of them, in the order of the file.
        mistakes: Vec<Mistake>,
    },
}

fn list(path: &std::path::Path, mistakes: &[Mistake]) -> String {
    let (number, s) = (mistakes.len(), if mistakes.len() == 1 { "" } else { "s" });
    let mut text = format!("{number} mistake{s} in {}:", path.display());
    for mistake in mistakes {
        text.push_str("\n  ");
        text.push_str(&mistake.to_string());
    }
    text
}
