//! What signalling may do with mirrors: stop, pause and start them, within the agreements (design
//! section 8, NG reference 9.4).
//!
//! A mirror that its agreement makes mandatory is never touched; one that no agreement asks for
//! cannot be started. What signalling wants is remembered for each primary system, so that a later
//! change of the call, of records or of agreements neither resumes nor stops anything by itself.

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::command::{Command, Notice};
use super::core::{Core, World};
use super::host::Host;
use super::ids::CallId;
use super::reply::{Error, Recording, RecordingState, Reply};
use crate::migration::decision::MirrorRule;
use crate::migration::identity::SystemName;
use crate::wire::time::Timestamp;

/// What signalling wants of a mirror.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Media is copied.
    #[default]
    On,
    /// Nothing is copied; the recording stays open.
    Paused,
    /// Nothing is copied, and the recording is closed.
    Stopped,
}

/// What signalling wants of the mirrors of a call: primaries that are not named are on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Switches(Vec<(SystemName, Switch)>);

impl Switches {
    /// What signalling wants of the mirror for this primary.
    pub(super) fn of(&self, primary: &SystemName) -> Switch {
        let found = self.0.iter().find(|(of, _)| of == primary);
        found.map_or(Switch::On, |(_, switch)| *switch)
    }

    fn set(&mut self, primary: &SystemName, switch: Switch) {
        self.0.retain(|(of, _)| of != primary);
        if switch != Switch::On {
            self.0.push((primary.clone(), switch));
        }
    }
}

impl Core {
    /// Does with the mirrors of a call what signalling wants, as far as agreements let it.
    pub(super) fn recording(
        &mut self,
        call_id: &CallId,
        switch: Switch,
        primary: Option<&SystemName>,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let key = self.ids.get(call_id).copied().ok_or(Error::UnknownCall)?;
        let mut draft = self.calls[key].clone();
        draft.last_signal = now;
        let meant = |(of, _): &(SystemName, bool)| primary.is_none_or(|wanted| wanted == of);
        let agreed: Vec<(SystemName, bool)> = agreed(&draft).filter(meant).collect();
        let mut warning = agreed.is_empty().then_some(NOT_AGREED);
        for (of, mandatory) in &agreed {
            if *mandatory && switch != Switch::On {
                warning = Some(MANDATORY);
                self.totals.recording_not_obeyed_total += 1;
                let notice = Notice::NotObeyed(call_id.clone(), of.clone());
                self.queue.push_back(Command::Notice(notice));
            } else {
                draft.switches.set(of, switch);
            }
        }
        let recordings = of(&draft);
        self.commit(Some(key), draft, &[], world, host, now);
        let state = RecordingState {
            recordings,
            warning,
        };
        Ok(Reply::Recording(Box::new(state)))
    }
}

/// Whether, and how, media goes home under this rule.
pub(super) fn switch(call: &Call, rule: &MirrorRule) -> Switch {
    match rule.mandatory {
        true => Switch::On,
        false => call.switches.of(&rule.primary_system),
    }
}

/// The mirrors of a call that agreements ask for, and what signalling wants of them.
pub(super) fn of(call: &Call) -> Vec<Recording> {
    let entry = |(primary, mandatory): (SystemName, bool)| Recording {
        switch: match mandatory {
            true => Switch::On,
            false => call.switches.of(&primary),
        },
        primary_system: primary.to_string(),
        mandatory,
    };
    agreed(call).map(entry).collect()
}

/// Primaries that an agreement sends media of the call to, and whether it is mandatory.
fn agreed(call: &Call) -> impl Iterator<Item = (SystemName, bool)> {
    let mut found: Vec<(SystemName, bool)> = Vec::new();
    for rule in call.parties.iter().filter_map(|party| party.rule()) {
        if found.iter().all(|(of, _)| *of != rule.primary_system) {
            found.push((rule.primary_system.clone(), rule.mandatory));
        }
    }
    found.into_iter()
}

const NOT_AGREED: &str = "no agreement has this call mirrored: nothing was changed";
const MANDATORY: &str = "the agreement makes the mirror mandatory: it goes on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_is_not_remembered() {
        let name = |text: &str| text.parse::<SystemName>().unwrap();
        let mut switches = Switches::default();
        switches.set(&name("a.example"), Switch::Paused);
        switches.set(&name("b.example"), Switch::Stopped);
        switches.set(&name("a.example"), Switch::Stopped);
        assert_eq!(switches.of(&name("a.example")), Switch::Stopped);
        switches.set(&name("a.example"), Switch::On);
        switches.set(&name("b.example"), Switch::On);
        assert_eq!(switches, Switches::default());
        assert_eq!(switches.of(&name("c.example")), Switch::On);
    }
}
