use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::migration::record::Standing;

mod standing;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn id(text: &str) -> McId {
    text.parse().unwrap()
}

fn new(user: &str, partner: &str, aliases: &[&str]) -> NewRecord {
    NewRecord {
        service: Service::Mcptt,
        primary_id: id(&format!("{user}@primary.example")),
        partner_id: id(&format!("{partner}@partner.example")),
        primary_system: "primary.example".parse().unwrap(),
        functional_aliases: aliases.iter().map(|alias| id(alias)).collect(),
        trigger: Default::default(),
        profile_index: None,
        standing: Default::default(),
        since: None,
        until: None,
    }
}

impl Registry {
    /// Both phases at once.
    pub(crate) fn add(&mut self, new: NewRecord, now: Timestamp) -> Result<Record, RegistryError> {
        let change = self.prepare_add(new, now)?;
        Ok(self.commit(change))
    }

    fn update(
        &mut self,
        id: RecordId,
        update: RecordUpdate,
        now: Timestamp,
    ) -> Result<Record, RegistryError> {
        let change = self.prepare_update(id, update, now)?;
        Ok(self.commit(change))
    }

    fn end(&mut self, id: RecordId, now: Timestamp) -> Result<Record, RegistryError> {
        let change = self.prepare_end(id, now)?;
        Ok(self.commit(change))
    }
}

fn all() -> RecordFilter {
    RecordFilter {
        all: true,
        ..RecordFilter::default()
    }
}

#[test]
fn a_user_who_moves_on_replaces_the_former_record() {
    let mut registry = Registry::default();
    let first = registry
        .add(new("alice", "a1", &["dispatcher@p"]), at(0))
        .unwrap();
    let second = registry
        .add(new("alice", "a2", &["dispatcher@p"]), at(9))
        .unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(registry.record(first.id).unwrap().until, Some(at(9)));
    let open = registry.list(&RecordFilter::default(), at(9));
    assert_eq!(open, [second]);
    assert_eq!(registry.list(&all(), at(9)).len(), 2);
}

#[test]
fn a_repeated_request_changes_nothing() {
    let mut registry = Registry::default();
    let first = registry.add(new("alice", "a1", &[]), at(0)).unwrap();
    let change = registry
        .prepare_add(new("alice", "a1", &[]), at(5))
        .unwrap();
    assert!(change.records().is_empty());
    assert_eq!(registry.commit(change), first);
    assert_eq!(registry.list(&all(), at(5)).len(), 1);
}

#[test]
fn identities_of_others_are_refused_by_name() {
    let mut registry = Registry::default();
    let held = registry
        .add(new("alice", "a1", &["chief@p"]), at(0))
        .unwrap();
    let cases = [
        (new("bob", "a1", &[]), "partner_id"),
        (new("bob", "b1", &["x@p", "chief@p"]), "functional_aliases"),
        (
            new("bob", "b1", &["a1@partner.example"]),
            "functional_aliases",
        ),
        (
            new("bob", "b1", &["alice@primary.example"]),
            "functional_aliases",
        ),
    ];
    for (refused, at_fault) in cases {
        let error = registry.add(refused, at(1)).unwrap_err();
        let RegistryError::InUse { field, holder, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((field, holder), (at_fault, held.id));
    }
    // Another service is another matter, and so is the time after the end.
    let other = NewRecord {
        service: Service::Mcvideo,
        ..new("bob", "a1", &["chief@p"])
    };
    registry.add(other, at(1)).unwrap();
    registry.end(held.id, at(2)).unwrap();
    registry.add(new("bob", "a1", &["chief@p"]), at(2)).unwrap();
}

#[test]
fn intervals_must_make_sense() {
    let mut registry = Registry::default();
    let with = |since, until| NewRecord {
        since,
        until,
        ..new("alice", "a1", &[])
    };
    let mut add = |since, until| registry.add(with(since, until), at(100));
    assert_eq!(
        add(Some(at(200)), Some(at(200))),
        Err(RegistryError::Interval)
    );
    assert_eq!(
        add(Some(at(200)), Some(at(150))),
        Err(RegistryError::Interval)
    );
    assert_eq!(add(Some(at(10)), Some(at(100))), Err(RegistryError::Past));
    assert_eq!(add(None, Some(at(100))), Err(RegistryError::Interval));
    add(Some(at(10)), Some(at(101))).unwrap();
}

#[test]
fn one_record_cannot_name_an_identity_twice() {
    let mut registry = Registry::default();
    let same = NewRecord {
        partner_id: id("alice@primary.example"),
        ..new("alice", "", &[])
    };
    assert_eq!(registry.add(same, at(0)), Err(RegistryError::SameId));
    for aliases in [&["x@p", "X@p", "x@P"][..], &["a1@partner.example"]] {
        let error = registry
            .add(new("alice", "a1", aliases), at(0))
            .unwrap_err();
        assert!(matches!(error, RegistryError::Repeated { .. }), "{error:?}");
    }
    let many: Vec<String> = (0..33).map(|n| format!("f{n}@p")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = registry.add(new("alice", "a1", &many), at(0)).unwrap_err();
    assert_eq!(error, RegistryError::TooManyAliases(32));
}

#[test]
fn known_systems_guard_their_domains() {
    let mut registry = Registry::default();
    let own: SystemName = "partner.example".parse().unwrap();
    let others = vec![
        "primary.example".parse().unwrap(),
        "third.example".parse().unwrap(),
    ];
    registry.know_systems(own.clone(), others);
    let refused = |new: NewRecord, registry: &mut Registry| {
        let error = registry.add(new, at(0)).unwrap_err();
        error.field().unwrap()
    };
    let ours = NewRecord {
        primary_system: own,
        ..new("alice", "a1", &[])
    };
    assert_eq!(refused(ours, &mut registry), "primary_system");
    let swapped = NewRecord {
        partner_id: id("a1@ps.primary.example"),
        ..new("alice", "a1", &[])
    };
    assert_eq!(refused(swapped, &mut registry), "partner_id");
    let of_third = NewRecord {
        primary_id: id("alice@third.example"),
        ..new("alice", "a1", &[])
    };
    assert_eq!(refused(of_third, &mut registry), "primary_id");
    // A domain that is no system's says nothing.
    let elsewhere = NewRecord {
        primary_id: id("alice@fire.town"),
        partner_id: id("tel:+431"),
        ..new("alice", "a1", &[])
    };
    registry.add(elsewhere, at(0)).unwrap();
}

#[test]
fn time_begins_and_ends_records() {
    let mut registry = Registry::default();
    let later = NewRecord {
        since: Some(at(50)),
        until: Some(at(90)),
        ..new("alice", "a1", &[])
    };
    let record = registry.add(later, at(0)).unwrap();
    assert_eq!(registry.next_event(), Some(at(50)));
    assert!(registry.expire(at(49)).is_empty());
    assert_eq!(registry.expire(at(50)), [record.id]);
    assert_eq!(registry.next_event(), Some(at(90)));
    assert_eq!(registry.expire(at(90)), [record.id]);
    assert_eq!(registry.next_event(), None);
    assert_eq!(registry.open_count(), 0);
    assert_eq!(
        registry.prepare_end(record.id, at(90)).unwrap_err(),
        RegistryError::Ended
    );
    assert_eq!(
        registry.prepare_end(RecordId(77), at(90)).unwrap_err(),
        RegistryError::Unknown
    );
}

#[test]
fn a_scheduled_move_ends_the_former_record_when_it_begins() {
    let mut registry = Registry::default();
    let first = registry.add(new("alice", "a1", &[]), at(0)).unwrap();
    let later = NewRecord {
        since: Some(at(50)),
        ..new("alice", "a2", &[])
    };
    let second = registry.add(later, at(1)).unwrap();
    let in_force = |registry: &Registry, now| -> Vec<RecordId> {
        let alice = id("alice@primary.example");
        let found = registry.by_id(&alice);
        let found = found.filter(|(_, record)| record.in_force(now));
        found.map(|(_, record)| record.id).collect()
    };
    assert_eq!(in_force(&registry, at(49)), [first.id]);
    assert_eq!(in_force(&registry, at(50)), [second.id]);
    // Ending it before it begins: never in force.
    registry.end(second.id, at(20)).unwrap();
    assert!(in_force(&registry, at(60)).is_empty());
}

#[test]
fn updates_keep_what_they_leave_out() {
    let mut registry = Registry::default();
    let first = registry.add(new("alice", "a1", &["x@p"]), at(0)).unwrap();
    let update = RecordUpdate {
        partner_id: Some(id("a9@partner.example")),
        until: Some(at(100)),
        ..RecordUpdate::default()
    };
    let record = registry.update(first.id, update, at(1)).unwrap();
    assert_eq!(record.functional_aliases, first.functional_aliases);
    assert_eq!(record.since, first.since);
    assert_eq!(registry.by_id(&id("a1@partner.example")).count(), 0);
    assert_eq!(registry.by_id(&id("a9@partner.example")).count(), 1);
    let past = RecordUpdate {
        until: Some(at(1)),
        ..RecordUpdate::default()
    };
    let error = registry.prepare_update(first.id, past, at(2)).unwrap_err();
    assert_eq!(error, RegistryError::Past);
    assert_eq!(registry.record(first.id), Some(&record));
}

#[test]
fn a_change_that_is_not_stored_leaves_no_trace() {
    let mut registry = Registry::default();
    let first = registry.add(new("alice", "a1", &[]), at(0)).unwrap();
    let change = registry
        .prepare_add(new("alice", "a2", &[]), at(1))
        .unwrap();
    assert_eq!(change.records().len(), 2);
    // Meanwhile the former state answers, and others cannot cut in.
    assert_eq!(registry.by_id(&id("a2@partner.example")).count(), 0);
    assert_eq!(
        registry.prepare_end(first.id, at(1)).unwrap_err(),
        RegistryError::InProgress
    );
    assert_eq!(
        registry
            .prepare_add(new("bob", "a2", &[]), at(1))
            .unwrap_err(),
        RegistryError::InProgress
    );
    let other = registry
        .prepare_add(new("carol", "c1", &[]), at(1))
        .unwrap();
    registry.abort(change);
    registry.commit(other);
    assert_eq!(registry.record(first.id), Some(&first));
    let second = registry.add(new("alice", "a2", &[]), at(2)).unwrap();
    assert!(second.id.0 > first.id.0 + 2, "numbers are never used twice");
}

#[test]
fn bounds_hold() {
    let mut registry = Registry::new(Limits {
        open: 2,
        ended: 1,
        aliases: 1,
    });
    let a = registry.add(new("a", "a", &["x@p"]), at(0)).unwrap();
    let change = registry.prepare_add(new("b", "b", &[]), at(0)).unwrap();
    let full = registry.prepare_add(new("c", "c", &[]), at(0)).unwrap_err();
    assert_eq!(full, RegistryError::Full(2), "those being stored count");
    let b = registry.commit(change);
    for (record, now) in [(&a, 1), (&b, 2)] {
        registry.end(record.id, at(now)).unwrap();
    }
    registry.expire(at(3));
    assert_eq!(
        registry.record(a.id),
        None,
        "the oldest ended one is dropped"
    );
    assert!(registry.record(b.id).is_some());
    let sizes = [
        &registry.by_partner,
        &registry.by_primary,
        &registry.by_alias,
    ];
    assert_eq!(sizes.map(Index::len), [1, 1, 0]);
}

#[test]
fn lists_come_in_pages() {
    let mut registry = Registry::default();
    for n in 0..25 {
        registry
            .add(new(&format!("u{n}"), &format!("p{n}"), &[]), at(0))
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut filter = RecordFilter {
        limit: Some(10),
        ..RecordFilter::default()
    };
    loop {
        let page = registry.list(&filter, at(1));
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        seen.extend(page.iter().map(|record| record.id.0));
    }
    assert_eq!(seen, (1..=25).collect::<Vec<u64>>());
    let one = RecordFilter {
        partner_id: Some(id("p7@partner.example")),
        ..RecordFilter::default()
    };
    assert_eq!(registry.list(&one, at(1)).len(), 1);
    let none = RecordFilter {
        after: Some(RecordId(u64::MAX)),
        ..RecordFilter::default()
    };
    assert!(registry.list(&none, at(1)).is_empty());
}

#[test]
fn a_loaded_registry_is_the_same() {
    let mut registry = Registry::default();
    for n in 0..5 {
        registry
            .add(new(&format!("u{n}"), &format!("p{n}"), &[]), at(n))
            .unwrap();
    }
    registry.end(RecordId(2), at(7)).unwrap();
    let mut loaded = Registry::default();
    loaded.load(registry.list(&all(), at(8)), 9, at(8));
    assert_eq!(loaded.list(&all(), at(8)), registry.list(&all(), at(8)));
    assert_eq!(loaded.open_count(), 4);
    let next = loaded.add(new("x", "x", &[]), at(8)).unwrap();
    assert_eq!(next.id, RecordId(9));
}

/// One step of the simulation. Users, partner IDs and aliases come from small sets, so that they
/// collide often.
#[derive(Clone, Debug)]
enum Step {
    Add {
        user: u8,
        partner: u8,
        aliases: Vec<u8>,
        since: Option<u64>,
        length: Option<u64>,
        stored: bool,
    },
    End(u8),
    Update {
        record: u8,
        partner: Option<u8>,
        aliases: Option<Vec<u8>>,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let aliases = || prop::collection::vec(0_u8..3, 0..2);
    prop_oneof![
        4 => (0_u8..4, 0_u8..5, aliases(), prop::option::of(0_u64..9),
              prop::option::of(1_u64..9), prop::bool::weighted(0.9))
            .prop_map(|(user, partner, aliases, since, length, stored)| Step::Add {
                user, partner, aliases, since, length, stored
            }),
        1 => any::<u8>().prop_map(Step::End),
        1 => (any::<u8>(), prop::option::of(0_u8..5), prop::option::of(aliases()))
            .prop_map(|(record, partner, aliases)| Step::Update { record, partner, aliases }),
        2 => (1_u64..5).prop_map(Step::Wait),
    ]
}

fn names(record: &Record) -> Vec<&McId> {
    let ids = [&record.primary_id, &record.partner_id];
    ids.into_iter().chain(&record.functional_aliases).collect()
}

/// From `now` on: a list of aliases may change, and then says nothing about former times.
fn overlaps(a: &Record, b: &Record, now: Timestamp) -> bool {
    let end = |record: &Record| record.until.unwrap_or(Timestamp::from_nanos(u64::MAX));
    now.max(a.since).max(b.since) < end(a).min(end(b))
}

/// The plain model: a list of records, every rule by exhaustive comparison.
#[derive(Default)]
struct Model(Vec<Record>);

impl Model {
    fn store(&mut self, records: &[Record]) {
        for record in records {
            self.0.retain(|other| other.id != record.id);
            self.0.push(record.clone());
        }
    }

    fn contradicts(&self, record: &Record, now: Timestamp) -> bool {
        self.0.iter().any(|other| {
            other.primary_id != record.primary_id
                && other.is_open(now)
                && overlaps(other, record, now)
                && names(other).iter().any(|name| names(record).contains(name))
        })
    }

    fn check(&self, registry: &Registry, now: Timestamp) {
        for a in &self.0 {
            for b in self.0.iter().filter(|b| b.id > a.id) {
                let shared = names(a).iter().any(|name| names(b).contains(name));
                assert!(!(shared && overlaps(a, b, now)), "{a:?} {b:?}");
            }
            for name in names(a) {
                let wanted = self
                    .0
                    .iter()
                    .find(|r| r.in_force(now) && names(r).contains(&name));
                let found = registry.by_id(name).map(|(_, r)| r);
                let found = found.into_iter().find(|r| r.in_force(now));
                assert_eq!(found, wanted);
            }
        }
        let open = self.0.iter().filter(|record| record.is_open(now));
        let mut open: Vec<RecordId> = open.map(|record| record.id).collect();
        open.sort_unstable();
        let listed = registry.list(&RecordFilter::default(), now);
        let listed: Vec<RecordId> = listed.iter().map(|record| record.id).collect();
        assert_eq!(listed, open);
        assert!(registry.reserved.is_empty());
    }
}

fn run(steps: Vec<Step>) {
    let mut registry = Registry::default();
    let mut model = Model::default();
    let mut now = at(0);
    let partner_id = |n: u8| id(&format!("p{n}@partner.example"));
    let alias_ids =
        |list: Vec<u8>| -> Vec<McId> { list.iter().map(|n| id(&format!("f{n}@p"))).collect() };
    for step in steps {
        match step {
            Step::Wait(secs) => now = now + Duration::from_secs(secs),
            Step::End(n) => {
                let _ = registry
                    .prepare_end(RecordId(u64::from(n % 16)), now)
                    .map(|change| {
                        model.store(change.records());
                        registry.commit(change)
                    });
            }
            Step::Update {
                record,
                partner,
                aliases,
            } => {
                let update = RecordUpdate {
                    partner_id: partner.map(partner_id),
                    functional_aliases: aliases.map(alias_ids),
                    ..RecordUpdate::default()
                };
                if let Ok(change) =
                    registry.prepare_update(RecordId(u64::from(record % 16)), update, now)
                {
                    assert!(!model.contradicts(change.result(), now));
                    model.store(change.records());
                    registry.commit(change);
                }
            }
            Step::Add {
                user,
                partner,
                aliases,
                since,
                length,
                stored,
            } => {
                let since = since.map(|secs| now + Duration::from_secs(secs));
                let new = NewRecord {
                    partner_id: partner_id(partner),
                    functional_aliases: alias_ids(aliases),
                    since,
                    until: length.map(|secs| since.unwrap_or(now) + Duration::from_secs(secs)),
                    ..new(&format!("u{user}"), "", &[])
                };
                let as_record = Record {
                    id: RecordId(u64::MAX),
                    service: new.service,
                    primary_id: new.primary_id.clone(),
                    partner_id: new.partner_id.clone(),
                    primary_system: new.primary_system.clone(),
                    functional_aliases: new.functional_aliases.clone(),
                    trigger: new.trigger,
                    profile_index: None,
                    standing: Standing::default(),
                    since: since.unwrap_or(now),
                    until: new.until,
                };
                match registry.prepare_add(new, now) {
                    Ok(change) if stored => {
                        assert!(!model.contradicts(change.result(), now));
                        model.store(change.records());
                        registry.commit(change);
                    }
                    Ok(change) => registry.abort(change),
                    Err(error) => {
                        assert!(matches!(error, RegistryError::InUse { .. }), "{error:?}");
                        assert!(model.contradicts(&as_record, now));
                    }
                }
            }
        }
        registry.expire(now);
        model.check(&registry, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_plain_model(steps in prop::collection::vec(step(), 1..40)) {
        run(steps);
    }
}
