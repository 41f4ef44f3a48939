//! Agreements between a pair of MC systems: what is mirrored, how, and to which loggers.

use serde::{Deserialize, Serialize};

use super::context::SessionType;
use super::identity::{Service, SystemName};
use crate::wire::block::MediaKind;

/// What our system and one primary have agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// The other system: the primary of the users who migrate to us.
    pub primary: SystemName,
    /// Which way users may migrate under it.
    pub kind: Kind,
    /// Services that it covers.
    pub services: Vec<Service>,
    /// How media gets home.
    pub mode: Mode,
    /// Media kinds that are sent home.
    pub media: Vec<MediaKind>,
    /// Session types that must not be sent home.
    pub deny_session_types: Vec<SessionType>,
    /// Names of loggers, in order of preference.
    pub loggers: Vec<String>,
    /// Whether a stop or pause by signalling is ignored.
    pub mandatory: bool,
    /// What a call gets when no logger takes it.
    pub on_logger_loss: OnLoggerLoss,
    /// Whether a user whose migration failed is served.
    pub on_failed_migration: OnFailedMigration,
}

/// Direction of an agreement (TS 23.280 5.2.9.1: one way or two way is a business matter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Users of both systems may migrate to the other.
    Bilateral,
    /// Only the other system's users may migrate, to us.
    UnilateralIn,
    /// Only our users may migrate, to the other system: their users are not served as migrated.
    UnilateralOut,
}

/// How media gets to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The call goes on as it is, and a copy goes home.
    Duplicate,
    /// The call goes through the primary.
    Redirect,
}

/// What becomes of a call that no logger takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoggerLoss {
    /// It goes on, and its mirror is kept on disk until a logger is back.
    #[default]
    Spool,
    /// It goes on without a mirror.
    Continue,
    /// New calls are refused.
    Refuse,
}

/// What becomes of a user whose migration failed (TS 23.280 5.2.9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailedMigration {
    /// Calls are served.
    Serve,
    /// Calls are refused.
    #[default]
    Reject,
}
