//! Where the files of a logger lie, and the lock that keeps a second logger away.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::logger::service::LoggerError;

/// The directories of a logger; holds the lock while it lives.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Layout {
    /// Makes what is absent, and takes the lock.
    ///
    /// # Errors
    /// [`LoggerError::Archive`] when the directory cannot be written, another process uses it, or
    /// a later version of this program has made it.
    pub fn prepare(dir: &Path) -> Result<Self, LoggerError> {
        let error = |reason: String| LoggerError::Archive {
            dir: dir.to_owned(),
            reason,
        };
        let made = |what: &str, result: io::Result<()>| {
            result.map_err(|cause| error(format!("{what}: {cause}")))
        };
        made("it cannot be made", private_dir(dir))?;
        for sub in ["archive", "recordings"] {
            made(
                &format!("{sub} cannot be made"),
                private_dir(&dir.join(sub)),
            )?;
        }
        let lock = private_file(&dir.join("lock"), false)
            .map_err(|cause| error(format!("it cannot be written: {cause}")))?;
        if lock.try_lock().is_err() {
            return Err(error("another process uses it".into()));
        }
        check_version(&dir.join("VERSION")).map_err(error)?;
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Path of a segment.
    pub fn segment(&self, number: u64) -> PathBuf {
        self.archive().join(format!("{number:08}.seg"))
    }

    /// Directory of the segments.
    pub fn archive(&self) -> PathBuf {
        self.dir.join("archive")
    }

    /// Directory of the recordings.
    pub fn recordings(&self) -> PathBuf {
        self.dir.join("recordings")
    }

    /// Path of the index.
    pub fn index(&self) -> PathBuf {
        self.dir.join("index.sqlite")
    }

    /// Numbers of the segments that exist, ascending.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.archive())? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Makes a directory that only its owner can enter, with its parents.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file for reading and writing that only its owner can read.
pub(crate) fn private_file(path: &Path, must_be_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600);
    if must_be_new {
        options.create_new(true);
    } else {
        options.create(true);
    }
    options.open(path)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn check_version(path: &Path) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(LAYOUT_VERSION) => Ok(()),
            Ok(newer) if newer > LAYOUT_VERSION => Err(format!(
                "it has version {newer}, this program knows {LAYOUT_VERSION}"
            )),
            _ => Err("its VERSION file is not a version".into()),
        },
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            fs::write(path, format!("{LAYOUT_VERSION}\n")).map_err(|error| error.to_string())
        }
        Err(other) => Err(other.to_string()),
    }
}

/// Version of the arrangement of files.
const LAYOUT_VERSION: u32 = 1;
