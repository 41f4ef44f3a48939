use super::*;
use crate::migration::agreement::Kind;
use crate::migration::context::SessionType;
use crate::migration::registry::NewRecord;

fn id(text: &str) -> McId {
    text.parse().unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn new(service: Service, user: &str, partner: &str) -> NewRecord {
    NewRecord {
        service,
        primary_id: id(&format!("{user}@primary.example")),
        partner_id: id(&format!("{partner}@partner.example")),
        primary_system: "primary.example".parse().unwrap(),
        functional_aliases: Vec::new(),
        trigger: Default::default(),
        profile_index: None,
        standing: Default::default(),
        since: None,
        until: None,
    }
}

fn registry(records: impl IntoIterator<Item = NewRecord>) -> Registry {
    let mut registry = Registry::default();
    for record in records {
        registry.add(record, at(0)).unwrap();
    }
    registry
}

fn agreement() -> Agreement {
    Agreement::new("primary.example".parse().unwrap(), vec!["hq".into()])
}

fn calling(party: &str) -> CallContext {
    CallContext {
        calling_id: Some(id(party)),
        service: Some(Service::Mcptt),
        ..CallContext::default()
    }
}

fn called(party: &str) -> CallContext {
    CallContext {
        called_id: Some(id(party)),
        ..CallContext::default()
    }
}

fn reason(decision: &Decision) -> Reason {
    match decision.outcome {
        Outcome::None { reason } => reason,
        Outcome::Mirror(_) | Outcome::Undecided => panic!("{decision:?}"),
    }
}

#[test]
fn the_migrated_leg_goes_home_and_the_other_does_not() {
    let registry = registry([new(Service::Mcptt, "alice", "a1")]);
    let context = CallContext {
        called_id: Some(id("bob@partner.example")),
        ..calling("a1@Partner.example")
    };
    let agreements = [agreement()];
    let first = decide(&context, LegRole::Calling, &registry, &agreements, at(1));
    let rule = first.rule().unwrap();
    assert_eq!(rule.primary_id, id("alice@primary.example"));
    assert_eq!(rule.loggers, ["hq"]);
    assert_eq!(first.looked_up, Some(id("a1@partner.example")));
    let second = decide(&context, LegRole::Called, &registry, &agreements, at(1));
    assert_eq!(reason(&second), Reason::NotMigrated);
    let again = decide(&context, LegRole::Calling, &registry, &agreements, at(1));
    assert_eq!(again, first, "the same arguments give the same decision");
}

#[test]
fn the_id_from_home_means_the_same_user() {
    let registry = registry([new(Service::Mcptt, "alice", "a1")]);
    let context = called("alice@primary.example");
    let decision = decide(&context, LegRole::Called, &registry, &[agreement()], at(1));
    assert_eq!(
        decision.rule().unwrap().partner_id,
        id("a1@partner.example")
    );
}

#[test]
fn aliases_lead_to_their_holder() {
    let registry = registry([NewRecord {
        functional_aliases: vec![id("chief@partner.example")],
        ..new(Service::Mcptt, "alice", "a1")
    }]);
    let agreements = [agreement()];
    let target = called("chief@partner.example");
    assert!(
        decide(&target, LegRole::Called, &registry, &agreements, at(1))
            .rule()
            .is_some()
    );
    let own_alias = CallContext {
        functional_alias: Some(id("chief@partner.example")),
        ..calling("unknown@partner.example")
    };
    let decision = decide(&own_alias, LegRole::Calling, &registry, &agreements, at(1));
    assert!(decision.rule().is_some());
    assert_eq!(decision.looked_up, Some(id("chief@partner.example")));
    // The alias is the calling party's: it says nothing about the called one.
    let decision = decide(&own_alias, LegRole::Called, &registry, &agreements, at(1));
    assert_eq!(reason(&decision), Reason::PartyUnknown);
}

#[test]
fn the_id_counts_more_than_the_alias() {
    let registry = registry([
        new(Service::Mcptt, "alice", "a1"),
        NewRecord {
            functional_aliases: vec![id("chief@partner.example")],
            ..new(Service::Mcptt, "bob", "b1")
        },
    ]);
    let context = CallContext {
        functional_alias: Some(id("chief@partner.example")),
        ..calling("a1@partner.example")
    };
    let decision = decide(&context, LegRole::Calling, &registry, &[agreement()], at(1));
    assert_eq!(
        decision.rule().unwrap().primary_id,
        id("alice@primary.example")
    );
}

#[test]
fn every_refusal_has_its_reason() {
    let mut registry = registry([
        NewRecord {
            since: Some(at(50)),
            until: Some(at(60)),
            ..new(Service::Mcptt, "alice", "a1")
        },
        new(Service::Mcvideo, "carol", "c1"),
    ]);
    let context = calling("a1@partner.example");
    let role = LegRole::Calling;
    let why = |registry: &Registry, context: &CallContext, agreement: &[Agreement], now| {
        reason(&decide(context, role, registry, agreement, now))
    };
    let good = [agreement()];
    assert_eq!(
        why(&registry, &context, &good, at(49)),
        Reason::MigrationNotInForce
    );
    assert_eq!(
        why(&registry, &context, &good, at(60)),
        Reason::MigrationNotInForce
    );
    registry.expire(at(70));
    assert_eq!(
        why(&registry, &context, &good, at(70)),
        Reason::MigrationNotInForce
    );
    assert_eq!(why(&registry, &context, &[], at(55)), Reason::NoAgreement);
    let out = [Agreement {
        kind: Kind::UnilateralOut,
        ..agreement()
    }];
    assert_eq!(
        why(&registry, &context, &out, at(55)),
        Reason::AgreementOneWay
    );
    let video = [Agreement {
        services: vec![Service::Mcvideo],
        ..agreement()
    }];
    assert_eq!(
        why(&registry, &context, &video, at(55)),
        Reason::ServiceNotCovered
    );
    let private = CallContext {
        session_type: Some(SessionType::Private),
        ..context.clone()
    };
    let deny = [Agreement {
        deny_session_types: vec![SessionType::Private],
        ..agreement()
    }];
    assert_eq!(
        why(&registry, &private, &deny, at(55)),
        Reason::SessionTypeDenied
    );
    assert!(
        decide(&context, role, &registry, &deny, at(55))
            .rule()
            .is_some()
    );
    // The service of the record is not that of the call.
    assert_eq!(
        why(&registry, &calling("c1@partner.example"), &good, at(55)),
        Reason::NotMigrated
    );
    let other_leg = called("a1@partner.example");
    assert_eq!(
        why(&registry, &other_leg, &good, at(55)),
        Reason::PartyUnknown
    );
}

#[test]
fn nothing_told_is_undecided_and_something_told_is_decided() {
    let registry = registry([]);
    let empty = decide(
        &CallContext::default(),
        LegRole::Called,
        &registry,
        &[],
        at(0),
    );
    assert_eq!(empty.outcome, Outcome::Undecided);
    let urgent = CallContext {
        emergency: true,
        ..CallContext::default()
    };
    let decision = decide(&urgent, LegRole::Called, &registry, &[], at(0));
    assert_eq!(reason(&decision), Reason::PartyUnknown);
}

#[test]
fn without_a_service_the_records_of_one_user_will_do() {
    let both = registry([
        new(Service::Mcvideo, "alice", "a1"),
        new(Service::Mcptt, "alice", "a1"),
    ]);
    let context = called("a1@partner.example");
    let decision = decide(&context, LegRole::Called, &both, &[agreement()], at(1));
    assert_eq!(decision.rule().unwrap().service, Service::Mcptt);
    let video = [Agreement {
        services: vec![Service::Mcvideo],
        ..agreement()
    }];
    let decision = decide(&context, LegRole::Called, &both, &video, at(1));
    assert_eq!(decision.rule().unwrap().service, Service::Mcvideo);
    // The same name for two users in two services: signalling has to say which.
    let two = registry([
        new(Service::Mcptt, "alice", "a1"),
        new(Service::Mcvideo, "bob", "a1"),
    ]);
    let decision = decide(&context, LegRole::Called, &two, &[agreement()], at(1));
    assert_eq!(reason(&decision), Reason::ServiceAmbiguous);
    let named = CallContext {
        service: Some(Service::Mcvideo),
        ..context
    };
    let decision = decide(&named, LegRole::Called, &two, &[agreement()], at(1));
    assert_eq!(
        decision.rule().unwrap().primary_id,
        id("bob@primary.example")
    );
}

#[test]
fn two_primaries_each_get_their_own_user() {
    let registry = registry([
        new(Service::Mcptt, "alice", "a1"),
        NewRecord {
            primary_id: id("zoe@other.example"),
            primary_system: "other.example".parse().unwrap(),
            ..new(Service::Mcptt, "", "z1")
        },
    ]);
    let other = Agreement::new("other.example".parse().unwrap(), vec!["there".into()]);
    let agreements = [agreement(), other];
    let context = CallContext {
        called_id: Some(id("z1@partner.example")),
        ..calling("a1@partner.example")
    };
    let to = |role| {
        let decision = decide(&context, role, &registry, &agreements, at(1));
        decision.rule().unwrap().primary_system.to_string()
    };
    assert_eq!(to(LegRole::Calling), "primary.example");
    assert_eq!(to(LegRole::Called), "other.example");
}

fn failed(reason: &str) -> NewRecord {
    NewRecord {
        standing: crate::migration::record::Standing::Failed {
            reason: reason.into(),
        },
        ..new(Service::Mcptt, "alice", "a1")
    }
}

#[test]
fn a_failed_migration_follows_the_agreement() {
    let registry = registry([failed("partner-not-in-profile")]);
    let context = calling("a1@partner.example");
    let role = LegRole::Calling;
    let with = |agreements: &[Agreement]| decide(&context, role, &registry, agreements, at(1));
    for agreements in [&[][..], &[agreement()]] {
        let rejected = with(agreements);
        assert_eq!(reason(&rejected), Reason::MigrationFailed);
        assert_eq!(rejected.rejection(), Some("partner-not-in-profile"));
    }
    let serve = Agreement {
        on_failed_migration: OnFailedMigration::Serve,
        ..agreement()
    };
    let served = with(std::slice::from_ref(&serve));
    let rule = served.rule().unwrap();
    assert_eq!(rule.failed.as_deref(), Some("partner-not-in-profile"));
    assert_eq!(served.rejection(), None);
    // Served is not the same as mirrored: the rest of the agreement counts as always.
    let one_way = Agreement {
        kind: Kind::UnilateralOut,
        ..serve
    };
    let decision = with(&[one_way]);
    assert_eq!(reason(&decision), Reason::AgreementOneWay);
    assert_eq!(decision.rejection(), None);
    assert_eq!(decision.failure.as_deref(), Some("partner-not-in-profile"));
}

#[test]
fn a_failed_migration_that_is_over_rejects_nobody() {
    let registry = registry([NewRecord {
        until: Some(at(10)),
        ..failed("no")
    }]);
    let context = calling("a1@partner.example");
    let decision = decide(
        &context,
        LegRole::Calling,
        &registry,
        &[agreement()],
        at(10),
    );
    assert_eq!(reason(&decision), Reason::MigrationNotInForce);
    assert_eq!(decision.rejection(), None);
}

#[test]
fn the_called_party_may_be_addressed_by_an_alias_besides_its_id() {
    let registry = registry([NewRecord {
        functional_aliases: vec![id("chief@partner.example")],
        ..new(Service::Mcptt, "alice", "a1")
    }]);
    let by_alias = CallContext {
        called_functional_alias: Some(id("chief@partner.example")),
        ..called("unknown@partner.example")
    };
    let decide = |role| decide(&by_alias, role, &registry, &[agreement()], at(1));
    assert!(decide(LegRole::Called).rule().is_some());
    assert_eq!(reason(&decide(LegRole::Calling)), Reason::PartyUnknown);
}
