//! How a logger is told what its ports are used for: directly when it is in this process, over
//! HTTP when it has a door elsewhere, or not at all.

use std::net::SocketAddr;

use super::announcer::{Announcer, Door};
use crate::logger::service::{Handle, LoggerError, MirrorKey};
use crate::mirror::announce::{Announcement, Counts};
use crate::wire::block::{CallInfo, StreamInfo};

/// The way to a logger.
#[derive(Debug)]
pub(super) enum Contact {
    /// It runs in this process.
    Here(Handle),
    /// It is told over HTTP, some time.
    There(Announcer),
    /// It takes media and asks nothing.
    Silent,
}

impl Contact {
    /// A mirror is open, or its call has changed.
    pub(super) fn open(&self, key: &MirrorKey, info: CallInfo) {
        match self {
            Self::Here(handle) => handle.open(key.clone(), info),
            Self::There(announcer) => announcer.say(Announcement::Open {
                mirror: key.mirror,
                info: Box::new(info),
            }),
            Self::Silent => {}
        }
    }

    /// A stream is copied to this address of the logger. Gives where it is to be copied to.
    ///
    /// # Errors
    /// The logger in this process cannot take it there.
    pub(super) fn attach(
        &self,
        key: &MirrorKey,
        info: &StreamInfo,
        target: SocketAddr,
    ) -> Result<SocketAddr, LoggerError> {
        match self {
            Self::Here(handle) => handle.attach(key, info.clone(), target.port()),
            Self::There(announcer) => {
                announcer.say(attachment(key, info.clone(), target.port()));
                Ok(target)
            }
            Self::Silent => Ok(target),
        }
    }

    /// What is known of a stream that goes to this address has changed.
    pub(super) fn update_stream(&self, key: &MirrorKey, info: StreamInfo, port: u16) {
        match self {
            Self::Here(handle) => handle.update_stream(key, info),
            Self::There(announcer) => announcer.say(attachment(key, info, port)),
            Self::Silent => {}
        }
    }

    /// A stream is not copied any more.
    pub(super) fn detach(&self, key: &MirrorKey, stream: u64) {
        match self {
            Self::Here(handle) => handle.detach(key, stream),
            Self::There(announcer) => announcer.say(Announcement::Detach {
                mirror: key.mirror,
                stream,
            }),
            Self::Silent => {}
        }
    }

    /// A mirror has ended.
    pub(super) fn close(&self, key: &MirrorKey) {
        match self {
            Self::Here(handle) => handle.close(key),
            Self::There(announcer) => announcer.say(Announcement::Close { mirror: key.mirror }),
            Self::Silent => {}
        }
    }

    /// All mirrors of an earlier process that go on are open again: others have ended.
    pub(super) fn settle(&self) {
        match self {
            Self::There(announcer) => announcer.settle(),
            Self::Here(_) | Self::Silent => {}
        }
    }

    /// Tells it through this door from now on; whether that is another one.
    pub(super) fn retarget(&self, door: Door) -> bool {
        match self {
            Self::There(announcer) => announcer.retarget(door),
            Self::Here(_) | Self::Silent => false,
        }
    }

    /// No mirror goes there any more, nor will.
    pub(super) fn retire(&self) {
        match self {
            Self::There(announcer) => announcer.retire(),
            Self::Here(_) | Self::Silent => {}
        }
    }

    /// The logger itself, if it is in this process.
    pub(super) const fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Here(handle) => Some(handle),
            Self::There(_) | Self::Silent => None,
        }
    }

    /// What became of announcements, if there are any.
    pub(super) fn counts(&self) -> Option<Counts> {
        match self {
            Self::There(announcer) => Some(announcer.counts()),
            Self::Here(_) | Self::Silent => None,
        }
    }
}

fn attachment(key: &MirrorKey, info: StreamInfo, port: u16) -> Announcement {
    Announcement::Attach {
        mirror: key.mirror,
        port,
        info: Box::new(info),
    }
}
