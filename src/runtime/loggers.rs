//! Loggers for mirrors: what is wanted of the configuration, and how it is made.

use std::collections::BTreeMap;

use super::announcer::{Announcers, Door, Target};
use super::contact::Contact;
use super::mirrors::Logger as MirrorLogger;
use crate::config::{Archive, Logger, Transport};
use crate::logger::service::Handle;
use crate::mirror::rtp::PortBook;

/// Tokens for the doors of loggers, by their names; only those that have one.
pub(super) type Tokens = BTreeMap<String, String>;

/// A logger that is wanted, with the token for its door.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// As it is configured.
    pub(super) logger: Logger,
    token: Option<String>,
}

/// Reads the token files of all loggers.
///
/// # Errors
/// Every file that is not good: key and reason.
pub(super) fn tokens(loggers: &[Logger]) -> Result<Tokens, Vec<(String, String)>> {
    let (mut tokens, mut wrong) = (Tokens::new(), Vec::new());
    for (place, logger) in loggers.iter().enumerate() {
        let Transport::Rtp {
            announce: Some(door),
            ..
        } = &logger.transport
        else {
            continue;
        };
        match door.token() {
            Ok(Some(token)) => drop(tokens.insert(logger.name.clone(), token)),
            Ok(None) => {}
            Err(text) => wrong.push((format!("logger[{place}].announce_token_file"), text)),
        }
    }
    match wrong.is_empty() {
        true => Ok(tokens),
        false => Err(wrong),
    }
}

/// These loggers with their tokens.
pub(super) fn wanted(loggers: &[Logger], tokens: &Tokens) -> Vec<Wanted> {
    let wanted = |logger: &Logger| Wanted {
        logger: logger.clone(),
        token: tokens.get(&logger.name).cloned(),
    };
    loggers.iter().map(wanted).collect()
}

impl Wanted {
    /// Its door, if it is told anything.
    pub(super) fn door(&self) -> Option<Door> {
        match &self.logger.transport {
            Transport::Embedded | Transport::Rtp { announce: None, .. } => None,
            Transport::Rtp {
                announce: Some(announce),
                ..
            } => Some(Door {
                address: announce.address,
                token: self.token.clone(),
            }),
        }
    }
}

/// Makes loggers; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    /// Instance of this relay.
    pub(super) instance: String,
    /// Tells those that have a door.
    pub(super) announcers: Announcers,
    /// The logger in this process.
    pub(super) embedded: Option<Handle>,
    /// Its addresses and ports.
    pub(super) archive: Archive,
}

impl Maker {
    /// A logger that no mirror goes to yet. Must be called within a tokio runtime.
    pub(super) fn make(&self, wanted: &Wanted) -> MirrorLogger {
        let name = wanted.logger.name.clone();
        let (contact, ports) = match &wanted.logger.transport {
            Transport::Embedded => {
                let contact = self.embedded.clone().map_or(Contact::Silent, Contact::Here);
                let archive = &self.archive;
                (contact, PortBook::new(vec![archive.bind], archive.ports))
            }
            Transport::Rtp {
                addresses, ports, ..
            } => {
                let target = |door| Target {
                    name: name.clone(),
                    door,
                    relay: self.instance.clone(),
                };
                let contact = match wanted.door() {
                    Some(door) => Contact::There(self.announcers.start(target(door))),
                    None => Contact::Silent,
                };
                (contact, PortBook::new(addresses.clone(), *ports))
            }
        };
        MirrorLogger {
            name,
            way: wanted.logger.transport.clone(),
            ports,
            contact,
            retired: false,
        }
    }
}
