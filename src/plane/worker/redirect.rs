//! What a worker does with packets in redirect: out of the socket that faces home, and on from
//! there; straight while home does not answer (design section 6).

use std::mem;

use super::super::decide::{Decision, Part};
use super::super::flow::SlotId;
use super::super::home::Way;
use super::super::outbox::send_apart;
use super::super::slot::SlotIndex;
use super::Worker;
use crate::wire::time::Timestamp;

impl Worker {
    /// A datagram that was decided on, on a slot that has a part in redirect.
    pub(super) fn redirect(
        &mut self,
        index: u32,
        buffer: usize,
        decision: Decision,
        alone: bool,
        now: Timestamp,
    ) {
        match decision.part {
            Part::Away(home) if decision.taken => {
                self.send_home(index, buffer, (home, decision.to), alone, now);
                self.copy(index, buffer, now);
            }
            Part::Back => {
                // No copies: loggers have got the packet when the party sent it.
                if decision.taken {
                    self.forward(index, buffer, decision.to, alone);
                }
                self.note_news(index);
            }
            Part::Away(_) | Part::None => {}
        }
    }

    /// Sends a party's packet home, or straight if home does not answer or is not there.
    fn send_home(
        &mut self,
        index: u32,
        buffer: usize,
        (home, straight): (SlotIndex, Option<SlotIndex>),
        alone: bool,
        now: Timestamp,
    ) {
        let bytes = self.ring.datagram(buffer).bytes;
        let way = self
            .slots
            .slot_mut(home.get())
            .filter(|slot| slot.peer.is_sendable())
            .and_then(|slot| {
                let (home, counters) = slot.home()?;
                Some(home.send(bytes, now, counters))
            });
        match way {
            None => self.forward(index, buffer, straight, alone),
            Some(Way::Home) => self.forward(index, buffer, Some(home), alone),
            Some(Way::Straight) => {
                self.forward(index, buffer, straight, alone);
                self.probe(buffer, home);
                self.note_news(home.get());
            }
        }
    }

    /// Sends a copy home. Whether that works is seen by whether it comes back.
    fn probe(&self, buffer: usize, home: SlotIndex) {
        if let Some(slot) = self.slots.slot(home.get()) {
            send_apart(
                &self.ring,
                buffer,
                (&slot.socket, &slot.peer),
                &self.metrics,
            );
        }
    }

    fn note_news(&mut self, index: u32) {
        let home = self.slots.slot_mut(index).and_then(|slot| slot.home());
        if home.is_some_and(|(home, _)| home.has_news()) {
            self.news.push(index);
        }
    }

    /// Control decides by these what it shows and mirrors, so that they must not get lost. What
    /// finds no room is told later; a slot that is gone has nothing to tell.
    pub(super) fn report_home(&mut self) {
        let (events, worker) = (&self.events, self.index);
        let mut waiting = mem::take(&mut self.news);
        waiting.retain(|&index| {
            let home = self.slots.slot_mut(index).and_then(|slot| slot.home());
            home.is_some_and(|(home, _)| {
                !home.tell(SlotId(index), |event| events.push(worker, event))
            })
        });
        self.news = waiting;
    }
}
