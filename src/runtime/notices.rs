//! What operators are told of what the core notices.

use tracing::{debug, info, warn};

use super::limited::Limited;
use crate::session::command::Notice;

/// Tells operators of notices: limits of log lines, and what is counted of them here.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Calls that were seen to go one way only.
    oneway: u64,
    one_way: Limited,
    home_failed: Limited,
    home_lost: Limited,
    home_back: Limited,
    interface: Limited,
    refused: Limited,
    mandatory: Limited,
}

impl Notices {
    /// Calls that were seen to go one way only.
    pub(super) const fn oneway(&self) -> u64 {
        self.oneway
    }

    /// Logs a notice. What signalling or peers can set off often is held back.
    pub(super) fn tell(&mut self, notice: &Notice) {
        match notice {
            Notice::CallStarted(call) => debug!(%call, "call started"),
            Notice::CallEnded(call, reason) => debug!(%call, ?reason, "call ended"),
            Notice::OneWay(call) => {
                self.oneway += 1;
                debug!(%call, "media goes one way only");
                if let Some(held_back) = self.one_way.permit() {
                    warn!(
                        held_back,
                        "media of a call goes one way only; debug level names it"
                    );
                }
            }
            Notice::HomeUp(call, primary) => {
                debug!(%call, primary, "media goes through home");
            }
            Notice::HomeFailed {
                call,
                primary,
                reason,
            } => {
                debug!(%call, primary, reason, "no anchor takes a home leg");
                if let Some(held_back) = self.home_failed.permit() {
                    warn!(
                        primary,
                        reason,
                        held_back,
                        "no anchor takes the media of a call: it goes straight, and is tried again"
                    );
                }
            }
            Notice::HomeLost {
                call,
                primary,
                unanswered,
            } => {
                debug!(%call, primary, unanswered, "home does not answer, it is bypassed");
                if let Some(held_back) = self.home_lost.permit() {
                    warn!(
                        primary,
                        unanswered,
                        held_back,
                        "an anchor does not send back what goes there: media of a call goes \
                         straight"
                    );
                }
            }
            Notice::HomeBack(call, primary) => {
                debug!(%call, primary, "home answers again, media goes through it");
                if let Some(held_back) = self.home_back.permit() {
                    info!(primary, held_back, "an anchor answers again");
                }
            }
            Notice::MigrationRefused(call, reason) => {
                debug!(%call, "offer refused: the migration of a party failed");
                if let Some(held_back) = self.refused.permit() {
                    warn!(
                        reason,
                        held_back, "offer refused: the migration of a party failed"
                    );
                }
            }
            Notice::NotObeyed(call, primary) => {
                debug!(%call, %primary, "stop or pause of a mandatory mirror not obeyed");
                if let Some(held_back) = self.mandatory.permit() {
                    warn!(
                        %primary,
                        held_back, "stop or pause of a mandatory mirror not obeyed"
                    );
                }
            }
            Notice::UnknownInterface(call, name) => {
                debug!(%call, name, "unknown interface asked for");
                if let Some(held_back) = self.interface.permit() {
                    warn!(
                        name,
                        held_back, "unknown interface asked for, the default is used"
                    );
                }
            }
        }
    }
}
