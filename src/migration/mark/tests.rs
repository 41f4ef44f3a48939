use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::migration::agreement::Kind;
use crate::migration::identity::{McId, Service};
use crate::migration::profile::{PartnerAccess, Profile};
use crate::migration::record::Trigger;

const SYSTEMS: [&str; 2] = ["q.example", "r.example"];

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn partner(system: &str) -> Partner {
    Partner {
        system: system.parse().unwrap(),
        kind: Kind::Bilateral,
        services: vec![Service::Mcptt],
        interconnected: true,
    }
}

fn user(name: &str) -> User {
    let listed = |system: &&str| PartnerAccess {
        system: system.parse().unwrap(),
        access: None,
    };
    User {
        id: name.parse().unwrap(),
        ids: [(Service::Mcptt, format!("{name}@p.example").parse().unwrap())].into(),
        profiles: vec![Profile {
            index: 1,
            partners: SYSTEMS.iter().map(listed).collect(),
        }],
    }
}

fn telling(name: &str, system: &str, record: u64, since: u64) -> Telling {
    Telling {
        record,
        sequence: 1,
        service: Service::Mcptt,
        primary_system: "p.example".parse().unwrap(),
        primary_id: format!("{name}@p.example").parse().unwrap(),
        partner_system: system.parse().unwrap(),
        partner_id: format!("{name}-{record}@{system}").parse().unwrap(),
        profile_index: Some(1),
        trigger: Trigger::Client,
        since: at(since),
        until: None,
    }
}

/// The primary's marks and refusals, without a disk.
#[derive(Default)]
struct Book {
    marks: Vec<Mark>,
    refusals: BTreeMap<(SystemName, McId, u64), (u64, Reason)>,
}

impl Book {
    fn tell(&mut self, telling: &Telling, now: u64) -> Outcome {
        let name = telling.primary_id.as_str();
        let name = name["sip:".len()..].split('@').next().unwrap();
        let (user, partner) = (user(name), partner(telling.partner_system.as_str()));
        let of_user = |mark: &&Mark| mark.told.primary_id == telling.primary_id;
        let key = (
            telling.partner_system.clone(),
            telling.primary_id.clone(),
            telling.record,
        );
        let taken = |mark: &Mark| {
            mark.told.primary_id != telling.primary_id
                && mark.told.partner_id == telling.partner_id
                && mark.state(at(now)) != MarkState::Ended
        };
        let known = Known {
            partner: Some(&partner),
            user: Some(&user),
            marks: self.marks.iter().filter(of_user).cloned().collect(),
            partner_id_taken: self.marks.iter().any(taken),
            refusal: self.refusals.get(&key).copied(),
        };
        let outcome = tell(known, telling, at(now));
        match &outcome {
            Outcome::Stale { .. } => {}
            Outcome::Accepted { mark, changed, .. } => {
                changed.iter().chain([mark]).for_each(|mark| self.put(mark));
            }
            Outcome::Refused { reason, changed } => {
                changed.iter().for_each(|mark| self.put(mark));
                self.refusals.insert(key, (telling.sequence, *reason));
            }
        }
        outcome
    }

    fn put(&mut self, mark: &Mark) {
        self.marks.retain(|former| !former.is_of(&mark.told));
        let id = mark.told.record;
        self.marks.push(Mark { id, ..mark.clone() });
    }

    /// Systems and records by which a user is migrated.
    fn migrated(&self, name: &str, now: u64) -> Vec<(String, u64)> {
        let id: McId = format!("{name}@p.example").parse().unwrap();
        let mut marks: Vec<Mark> = self.marks.clone();
        marks.retain(|mark| mark.told.primary_id == id);
        settle(&mut marks, at(now));
        let by = |mark: &Mark| (mark.told.partner_system.to_string(), mark.told.record);
        let migrated = |mark: &&Mark| mark.state(at(now)) == MarkState::Migrated;
        marks.iter().filter(migrated).map(by).collect()
    }
}

fn refused(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused { reason, .. } => Some(*reason),
        Outcome::Accepted { .. } | Outcome::Stale { .. } => None,
    }
}

#[test]
fn a_migration_is_marked_updated_and_ended() {
    let mut book = Book::default();
    let told = telling("a", SYSTEMS[0], 1, 10);
    assert!(matches!(
        book.tell(&told, 11),
        Outcome::Accepted { new: true, .. }
    ));
    // Once more, and with another sequence: nothing new.
    for sequence in [1, 2] {
        let again = Telling {
            sequence,
            ..told.clone()
        };
        assert!(matches!(
            book.tell(&again, 12),
            Outcome::Accepted { new: false, .. }
        ));
    }
    assert_eq!(book.tell(&told, 13), Outcome::Stale { last: 2 });
    let changed = Telling {
        sequence: 3,
        partner_id: "other@q.example".parse().unwrap(),
        ..told.clone()
    };
    let Outcome::Accepted { mark, .. } = book.tell(&changed, 14) else {
        panic!("accepted");
    };
    assert_eq!(
        (mark.told.partner_id, mark.accepted),
        (changed.partner_id.clone(), at(11))
    );
    let ended = Telling {
        sequence: 4,
        until: Some(at(20)),
        ..changed
    };
    assert!(matches!(book.tell(&ended, 21), Outcome::Accepted { .. }));
    assert_eq!(book.migrated("a", 21), []);
    assert_eq!(book.marks[0].ended_by, None);
}

#[test]
fn a_user_who_moves_on_is_migrated_by_the_later_migration_alone() {
    let mut book = Book::default();
    let (q, r) = (
        telling("a", SYSTEMS[0], 1, 10),
        telling("a", SYSTEMS[1], 1, 20),
    );
    book.tell(&q, 11);
    book.tell(&r, 21);
    assert_eq!(book.migrated("a", 22), [("r.example".to_owned(), 1)]);
    let superseded = book.marks.iter().find(|mark| mark.is_of(&q)).unwrap();
    assert_eq!(superseded.until, Some(at(20)));
    assert_eq!(superseded.ended_by, Some(EndedBy::LaterMigration));
    // The first partner has not noticed; it cannot take the user back by telling it again.
    let again = Telling {
        sequence: 2,
        ..q.clone()
    };
    let reason = Some(Reason::AlreadyMigratedElsewhere);
    assert_eq!(refused(&book.tell(&again, 23)), reason);
    assert_eq!(book.migrated("a", 23), [("r.example".to_owned(), 1)]);
    // That it is over there it may say.
    let over = Telling {
        sequence: 3,
        until: Some(at(22)),
        ..q
    };
    assert!(matches!(book.tell(&over, 24), Outcome::Accepted { .. }));
    assert_eq!(book.migrated("a", 24), [("r.example".to_owned(), 1)]);
}

#[test]
fn a_migration_to_come_ends_the_former_one_when_it_begins() {
    let mut book = Book::default();
    book.tell(&telling("a", SYSTEMS[0], 1, 10), 11);
    book.tell(&telling("a", SYSTEMS[1], 1, 100), 12);
    assert_eq!(book.migrated("a", 99), [("q.example".to_owned(), 1)]);
    assert_eq!(book.migrated("a", 100), [("r.example".to_owned(), 1)]);
    // So many and no more.
    for record in 2..=MAX_PENDING as u64 {
        let told = telling("a", SYSTEMS[1], record, 100 + record);
        assert_eq!(refused(&book.tell(&told, 13)), None, "{record}");
    }
    let told = telling("a", SYSTEMS[1], 99, 500);
    assert_eq!(refused(&book.tell(&told, 13)), Some(Reason::TooManyPending));
}

#[test]
fn a_partner_id_belongs_to_one_user_at_a_time() {
    let mut book = Book::default();
    let a = telling("a", SYSTEMS[0], 1, 10);
    let b = Telling {
        partner_id: a.partner_id.clone(),
        ..telling("b", SYSTEMS[0], 2, 20)
    };
    book.tell(&a, 11);
    assert_eq!(refused(&book.tell(&b, 21)), Some(Reason::PartnerIdInUse));
    let over = Telling {
        sequence: 2,
        until: Some(at(22)),
        ..a
    };
    book.tell(&over, 23);
    // The same words get the same answer; a new telling is looked at anew.
    assert_eq!(refused(&book.tell(&b, 24)), Some(Reason::PartnerIdInUse));
    let again = Telling { sequence: 2, ..b };
    assert_eq!(refused(&book.tell(&again, 25)), None);
}

#[test]
fn a_change_that_is_refused_ends_the_migration_and_a_good_one_revives_it() {
    let mut book = Book::default();
    let told = telling("a", SYSTEMS[0], 1, 10);
    book.tell(&told, 11);
    let bad = Telling {
        sequence: 2,
        profile_index: Some(9),
        ..told.clone()
    };
    assert_eq!(refused(&book.tell(&bad, 12)), Some(Reason::ProfileUnknown));
    assert_eq!(book.migrated("a", 12), []);
    assert_eq!(book.marks[0].ended_by, Some(EndedBy::Refusal));
    assert_eq!(book.tell(&told, 13), Outcome::Stale { last: 2 });
    let good = Telling {
        sequence: 3,
        ..told.clone()
    };
    assert_eq!(refused(&book.tell(&good, 14)), None);
    assert_eq!(book.migrated("a", 14), [("q.example".to_owned(), 1)]);
    // What the primary has ended stays so.
    book.marks[0].end(at(15), Some(EndedBy::Primary));
    let again = Telling {
        sequence: 4,
        ..told
    };
    assert_eq!(
        refused(&book.tell(&again, 16)),
        Some(Reason::EndedByPrimary)
    );
    assert_eq!(book.migrated("a", 16), []);
}

#[test]
fn an_end_that_comes_before_its_beginning_is_kept() {
    let mut book = Book::default();
    let begun = telling("a", SYSTEMS[0], 1, 10);
    let over = Telling {
        sequence: 2,
        until: Some(at(20)),
        ..begun.clone()
    };
    assert!(matches!(
        book.tell(&over, 21),
        Outcome::Accepted { new: true, .. }
    ));
    assert_eq!(book.tell(&begun, 22), Outcome::Stale { last: 2 });
    assert_eq!(book.migrated("a", 22), []);
}

/// Two relays tell of the migrations of some users: each migration's telling may come twice, late,
/// or in any order; in the end the last state of each one counts, and of each user's migrations
/// the one that began last.
#[test]
fn any_order_of_tellings_leads_to_the_same_marks() {
    let names = ["a", "b", "c"];
    let now = 10_000;
    for seed in 0..400 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut tellings: Vec<Telling> = Vec::new();
        let mut latest: Vec<Telling> = Vec::new();
        for record in 1..=rng.random_range(1..12_u64) {
            let name = names[rng.random_range(0..names.len())];
            let system = SYSTEMS[rng.random_range(0..SYSTEMS.len())];
            let since = rng.random_range(1..5_000_u64) * 10 + record % 10;
            let mut told = telling(name, system, record, since);
            let changes = rng.random_range(1..5_u64);
            for sequence in 1..=changes {
                told.sequence = sequence;
                told.partner_id = format!("{name}-{record}-{sequence}@{system}")
                    .parse()
                    .unwrap();
                let over = sequence == changes && rng.random_bool(0.4);
                told.until = over.then(|| at(since + rng.random_range(1..50_u64)));
                let copies = rng.random_range(1..4);
                tellings.extend(std::iter::repeat_n(told.clone(), copies));
            }
            latest.push(told);
        }
        tellings.shuffle(&mut rng);
        let mut book = Book::default();
        for told in &tellings {
            book.tell(told, now);
        }
        for name in names {
            let id: McId = format!("{name}@p.example").parse().unwrap();
            let begun = latest
                .iter()
                .filter(|told| told.primary_id == id && told.since <= at(now));
            let last = begun.max_by_key(|told| told.since);
            let last = last.filter(|told| told.until.is_none_or(|until| until > at(now)));
            let expected: Vec<(String, u64)> = last
                .map(|told| (told.partner_system.to_string(), told.record))
                .into_iter()
                .collect();
            assert_eq!(
                book.migrated(name, now),
                expected,
                "seed {seed}, user {name}"
            );
        }
        // Told once more, nothing changes.
        let before = book.marks.clone();
        for told in &latest {
            book.tell(told, now);
        }
        let same = |mark: &Mark| before.iter().any(|former| former == mark);
        assert!(book.marks.iter().all(same), "seed {seed}");
    }
}
