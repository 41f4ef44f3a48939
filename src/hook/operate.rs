//! What hooks ask of a running service on behalf of its operators.

use std::fmt;
use std::future::Future;

use crate::wire::time::Timestamp;

/// A service that can read its configuration again. Cheap to clone.
pub trait Reload: Clone + Send + Sync + 'static {
    /// Reads the configuration file and applies what can be applied; a bad file changes nothing.
    fn reload(&self) -> impl Future<Output = Result<Reloaded, ReloadFailure>> + Send;
}

/// What a configuration that was read again has changed, each as `key: what happened`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force now.
    pub applied: Vec<String>,
    /// In force from the next start on.
    pub restart: Vec<String>,
}

/// Why a configuration was not read again. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadFailure {
    /// The process was started without a file.
    NoFile,
    /// The file, or a file that it refers to, cannot be used.
    Mistakes {
        /// The file.
        file: String,
        /// All that is wrong.
        faults: Vec<Fault>,
    },
    /// The service is stopping.
    Busy,
}

/// One mistake of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the file, from 1.
    pub line: Option<usize>,
    /// The key; empty if the file is not TOML there, or cannot be read.
    pub key: String,
    /// What is wrong, and what is expected.
    pub text: String,
}

impl fmt::Display for ReloadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("started without --config: there is no file to read again"),
            Self::Mistakes { file, faults } => {
                let s = if faults.len() == 1 { "" } else { "s" };
                write!(
                    f,
                    "{} mistake{s} in {file}; nothing was changed",
                    faults.len()
                )?;
                for fault in faults {
                    write!(f, "; {fault}")?;
                }
                Ok(())
            }
            Self::Busy => f.write_str("the service is stopping"),
        }
    }
}

impl fmt::Display for Fault {
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

/// A relay that can be drained. Cheap to clone. Every answer is `None` if the relay stops.
pub trait Drain: Clone + Send + Sync + 'static {
    /// Takes no new calls from now on; `exit_when_empty` ends the process with the last call.
    /// Asked for again, only the latter changes.
    fn drain(&self, exit_when_empty: bool) -> impl Future<Output = Option<Draining>> + Send;

    /// Takes calls again.
    fn undrain(&self) -> impl Future<Output = Option<Draining>> + Send;

    /// How far it is.
    fn draining(&self) -> impl Future<Output = Option<Draining>> + Send;
}

/// Whether a relay drains, and how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    /// Since when it does; `None`: it takes calls.
    pub since: Option<Timestamp>,
    /// The process ends with the last call.
    pub exit_when_empty: bool,
    /// Calls that are up.
    pub calls: u64,
}
