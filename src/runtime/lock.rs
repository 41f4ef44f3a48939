//! One relay for a data directory: two would write the same journal and take the same ports.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Holds the data directory until it is dropped, or the process ends however it ends.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the directory.
    ///
    /// # Errors
    /// Another process has it, named by its number; or the directory cannot be written.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let opened = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to name it: what stands there may be of a moment ago.
                let _ = file.read_to_string(&mut holder);
                bail!(
                    "{} is in use by another homeward (process {}): stop that one, or start this \
                     one with --take-over to replace it without losing a packet",
                    dir.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::take(dir.path()).unwrap();
        let refused = DirLock::take(dir.path()).unwrap_err().to_string();
        let own = std::process::id().to_string();
        assert!(
            refused.contains(&own) && refused.contains("--take-over"),
            "{refused}"
        );
        drop(first);
        drop(DirLock::take(dir.path()).unwrap());
    }
}
