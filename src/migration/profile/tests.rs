use super::*;
use crate::migration::record::Trigger;
use crate::wire::time::Timestamp;

fn partner() -> Partner {
    Partner {
        system: "q.example".parse().unwrap(),
        kind: Kind::Bilateral,
        services: vec![Service::Mcptt, Service::Mcvideo],
        interconnected: true,
    }
}

fn user() -> User {
    let listed = |system: &str| PartnerAccess {
        system: system.parse().unwrap(),
        access: None,
    };
    let id: McId = "sip:alice@p.example".parse().unwrap();
    User {
        id: "alice".parse().unwrap(),
        // The same ID for two services (TS 23.280 10.1.4.1).
        ids: [(Service::Mcptt, id.clone()), (Service::Mcvideo, id)].into(),
        profiles: vec![
            Profile {
                index: 1,
                partners: vec![listed("r.example")],
            },
            Profile {
                index: 3,
                partners: vec![listed("q.example"), listed("r.example")],
            },
        ],
    }
}

fn telling() -> Telling {
    Telling {
        record: 7,
        sequence: 1,
        service: Service::Mcptt,
        primary_system: "p.example".parse().unwrap(),
        primary_id: "sip:alice@p.example".parse().unwrap(),
        partner_system: "q.example".parse().unwrap(),
        partner_id: "sip:guest-1@q.example".parse().unwrap(),
        profile_index: None,
        trigger: Trigger::Client,
        since: Timestamp::from_secs(10),
        until: None,
    }
}

#[test]
fn each_refusal_has_its_reason_and_what_was_not_agreed_comes_first() {
    type Edit = fn(&mut Telling, &mut Partner, &mut User);
    let rows: [(Edit, Result<(), Reason>); 14] = [
        (|_, _, _| {}, Ok(())),
        (|told, _, _| told.profile_index = Some(3), Ok(())),
        (|told, _, _| told.service = Service::Mcvideo, Ok(())),
        (|_, partner, _| partner.kind = Kind::UnilateralOut, Ok(())),
        (
            |_, partner, _| partner.kind = Kind::UnilateralIn,
            Err(Reason::NoAgreement),
        ),
        (
            |_, partner, _| partner.interconnected = false,
            Err(Reason::NoInterconnection),
        ),
        (
            |told, _, _| told.service = Service::Mcdata,
            Err(Reason::ServiceNotAllowed),
        ),
        (
            |told, _, _| told.primary_id = "sip:mallory@p.example".parse().unwrap(),
            Err(Reason::UserUnknown),
        ),
        (
            |_, _, user| drop(user.ids.remove(&Service::Mcptt)),
            Err(Reason::UserUnknown),
        ),
        (
            |told, _, _| told.profile_index = Some(2),
            Err(Reason::ProfileUnknown),
        ),
        (
            |told, _, _| told.profile_index = Some(1),
            Err(Reason::PartnerNotInProfile),
        ),
        (
            |_, _, user| user.profiles.truncate(1),
            Err(Reason::PartnerNotInProfile),
        ),
        (
            |_, _, user| user.profiles.clear(),
            Err(Reason::PartnerNotInProfile),
        ),
        // Without an agreement nothing is learned of users.
        (
            |told, partner, _| {
                told.primary_id = "sip:mallory@p.example".parse().unwrap();
                partner.kind = Kind::UnilateralIn;
            },
            Err(Reason::NoAgreement),
        ),
    ];
    for (place, (edit, expected)) in rows.into_iter().enumerate() {
        let (mut told, mut partner, mut user) = (telling(), partner(), user());
        edit(&mut told, &mut partner, &mut user);
        let found = verdict(&told, Some(&partner), Some(&user));
        assert_eq!(found, expected, "row {place}");
    }
    assert_eq!(
        verdict(&telling(), None, Some(&user())),
        Err(Reason::NoAgreement)
    );
    assert_eq!(
        verdict(&telling(), Some(&partner()), None),
        Err(Reason::UserUnknown)
    );
}

#[test]
fn reasons_are_words_that_can_be_read_back() {
    for reason in Reason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        assert_eq!(serde_json::json!(reason), reason.as_str());
    }
    assert!("because".parse::<Reason>().is_err());
}

#[test]
fn faults_of_a_user_are_all_named() {
    assert!(user().faults().is_empty());
    let mut bad = user();
    bad.ids.clear();
    bad.profiles[1].index = 1;
    let again = bad.profiles[1].partners[0].clone();
    bad.profiles[1].partners.push(again);
    let members: Vec<&str> = bad.faults().iter().map(|(member, _)| *member).collect();
    assert_eq!(members, ["ids", "profiles", "profiles"]);
    let profile = |index| Profile {
        index,
        partners: Vec::new(),
    };
    bad.profiles = (0..40).map(profile).collect();
    assert!(bad.faults().iter().any(|(_, text)| text.contains("32")));
    for name in ["", "a/b", "a b", "ä", &"x".repeat(129)] {
        assert!(name.parse::<UserId>().is_err(), "{name:?}");
    }
}
