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
    /// Names of the primary's media anchors, in order of preference; for `Mode::Redirect`.
    pub anchors: Vec<String>,
    /// Whether a stop or pause by signalling is ignored.
    pub mandatory: bool,
    /// What a call gets when no logger takes it.
    pub on_logger_loss: OnLoggerLoss,
    /// Whether a user whose migration failed is served.
    pub on_failed_migration: OnFailedMigration,
}

impl Agreement {
    /// An agreement with everything at its default: both ways, all services, audio, video and
    /// floor control duplicated to these loggers, a loss of which does not touch the call.
    pub fn new(primary: SystemName, loggers: Vec<String>) -> Self {
        Self {
            primary,
            kind: Kind::Bilateral,
            services: vec![Service::Mcptt, Service::Mcvideo, Service::Mcdata],
            mode: Mode::Duplicate,
            media: vec![MediaKind::Audio, MediaKind::Video, MediaKind::Floor],
            deny_session_types: Vec::new(),
            loggers,
            anchors: Vec::new(),
            mandatory: false,
            on_logger_loss: OnLoggerLoss::Continue,
            on_failed_migration: OnFailedMigration::Reject,
        }
    }

    /// The same agreement with every list free of repetitions; the order stays, since that of
    /// loggers has a meaning.
    #[must_use]
    pub fn normalise(mut self) -> Self {
        unique(&mut self.services);
        unique(&mut self.media);
        unique(&mut self.deny_session_types);
        unique(&mut self.loggers);
        unique(&mut self.anchors);
        self
    }

    /// What makes the agreement useless, as (member, reason); empty for a good one.
    pub fn faults(&self, own: &SystemName) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        if self.primary == *own {
            faults.push(("primary", "is this system itself"));
        }
        if self.services.is_empty() {
            faults.push(("services", "must name at least one service"));
        }
        if self.media.is_empty() {
            faults.push(("media", "must name at least one kind of media"));
        }
        match self.mode {
            Mode::Duplicate => {
                if self.loggers.is_empty() {
                    faults.push(("loggers", "must name at least one logger"));
                }
                if !self.anchors.is_empty() {
                    faults.push(("anchors", "are of no use without mode = \"redirect\""));
                }
            }
            // Loggers get what does not go through home; without any it is not recorded.
            Mode::Redirect => {
                if self.anchors.is_empty() {
                    faults.push(("anchors", "must name at least one anchor for mode redirect"));
                }
                if self.loggers.is_empty() && self.on_logger_loss == OnLoggerLoss::Refuse {
                    faults.push(("on_logger_loss", "cannot be refuse without a logger"));
                }
            }
        }
        faults
    }

    /// Whether the primary's users may be served here as migrated.
    pub fn lets_in(&self) -> bool {
        match self.kind {
            Kind::Bilateral | Kind::UnilateralIn => true,
            Kind::UnilateralOut => false,
        }
    }

    /// Whether it covers the service.
    pub fn covers(&self, service: Service) -> bool {
        self.services.contains(&service)
    }

    /// Whether it forbids to send this session type home. A type that signalling did not tell is
    /// not forbidden: it may become so once it is told.
    pub fn denies(&self, session_type: Option<SessionType>) -> bool {
        session_type.is_some_and(|given| self.deny_session_types.contains(&given))
    }
}

fn unique<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let all = std::mem::take(list);
    for item in all {
        if !list.contains(&item) {
            list.push(item);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_members() {
        let own: SystemName = "partner.example".parse().unwrap();
        let good = Agreement::new("primary.example".parse().unwrap(), vec!["hq".into()]);
        assert!(good.faults(&own).is_empty());
        let bad = Agreement {
            services: Vec::new(),
            media: Vec::new(),
            mode: Mode::Redirect,
            ..Agreement::new(own.clone(), Vec::new())
        };
        let members: Vec<&str> = bad.faults(&own).iter().map(|(member, _)| *member).collect();
        assert_eq!(members, ["primary", "services", "media", "anchors"]);
        let none = Agreement {
            mode: Mode::Duplicate,
            anchors: vec!["gate".into()],
            ..bad
        };
        let members: Vec<&str> = none
            .faults(&own)
            .iter()
            .map(|(member, _)| *member)
            .collect();
        let all = ["primary", "services", "media", "loggers", "anchors"];
        assert_eq!(members, all);
    }

    #[test]
    fn redirect_needs_an_anchor_and_can_do_without_loggers() {
        let own: SystemName = "partner.example".parse().unwrap();
        let mut agreement = Agreement {
            mode: Mode::Redirect,
            anchors: vec!["gate".into()],
            ..Agreement::new("primary.example".parse().unwrap(), Vec::new())
        };
        assert!(agreement.faults(&own).is_empty());
        agreement.on_logger_loss = OnLoggerLoss::Refuse;
        assert_eq!(agreement.faults(&own)[0].0, "on_logger_loss");
    }

    #[test]
    fn repetitions_go_and_the_order_stays() {
        let mut agreement = Agreement::new("p.example".parse().unwrap(), Vec::new());
        agreement.loggers = vec!["b".into(), "a".into(), "b".into()];
        assert_eq!(agreement.normalise().loggers, ["b", "a"]);
    }
}
