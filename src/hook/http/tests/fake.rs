//! A relay that is none, for the tests of the routes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::hook::{Control, RegistryFailure};
use crate::migration::context::SessionType;
use crate::migration::decision::{LegRole, decide};
use crate::migration::record::{Record, RecordId};
use crate::migration::registry::{NewRecord, RecordFilter, RecordUpdate, Registry};
use crate::session::host::{Preroll, StreamCounters};
use crate::session::ids::{CallId, HomeId, MirrorId, StreamId};
use crate::session::reply::{
    CallPage, CallState, CallSummary, CallView, Error, Explanation, HomeExplanation, HomeState,
    LegExplanation, MediaView, MirrorExplanation, MirrorStream, MirrorSummary, PartyView,
    Recording, RecordingState, Reply, StreamView,
};
use crate::session::request::Request as CoreRequest;
use crate::wire::block::{MediaKind, StreamKind};
use crate::wire::time::Timestamp;

/// A relay with one call, `c/1`, and a registry without a disk.
#[derive(Clone, Default)]
pub(super) struct Fake {
    pub(super) registry: Arc<Mutex<Registry>>,
    pub(super) requests: Arc<Mutex<Vec<CoreRequest>>>,
    pub(super) broken: bool,
    pub(super) slow: bool,
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_767_225_600) // 2026-01-01
}

impl Fake {
    fn stored(&self) -> Result<(), RegistryFailure> {
        match self.broken {
            true => Err(RegistryFailure::Store("the disk is full".into())),
            false => Ok(()),
        }
    }

    pub(super) fn requests(&self) -> Vec<CoreRequest> {
        self.requests.lock().unwrap().clone()
    }
}

impl Control for Fake {
    async fn request(&self, request: CoreRequest) -> Result<Reply, Error> {
        if self.slow {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        self.requests.lock().unwrap().push(request.clone());
        let known = |call: &CallId| *call.0 == *"c/1";
        match request {
            CoreRequest::List { limit } => {
                let all = vec![CallId::from("c/1")];
                Ok(Reply::Calls(all.into_iter().take(limit).collect()))
            }
            CoreRequest::Page { after: None, limit } => Ok(Reply::Page(Box::new(CallPage {
                as_of: now(),
                calls: (0..limit.min(1)).map(|_| summary()).collect(),
                next: Some(7),
            }))),
            CoreRequest::Page { .. } => Ok(Reply::Page(Box::default())),
            CoreRequest::Query(query) if known(&query.call_id) => {
                Ok(Reply::Call(Box::new(call_view())))
            }
            CoreRequest::Explain { call_id } if known(&call_id) => {
                Ok(Reply::Explained(Box::new(explained())))
            }
            CoreRequest::Context { call_id, .. } if known(&call_id) => Ok(Reply::Ok),
            CoreRequest::Recording {
                call_id,
                switch,
                primary,
            } if known(&call_id) => Ok(Reply::Recording(Box::new(RecordingState {
                recordings: vec![Recording {
                    primary_system: "primary.example".to_owned(),
                    switch,
                    mandatory: false,
                }],
                warning: primary.map(|_| "a warning"),
            }))),
            CoreRequest::Offer(_)
            | CoreRequest::Answer(_)
            | CoreRequest::Delete(_)
            | CoreRequest::Statistics
            | CoreRequest::Query(_)
            | CoreRequest::Explain { .. }
            | CoreRequest::Recording { .. }
            | CoreRequest::Context { .. } => Err(Error::UnknownCall),
        }
    }

    async fn add_migration(&self, new: NewRecord) -> Result<Record, RegistryFailure> {
        let mut registry = self.registry.lock().unwrap();
        let change = registry.prepare_add(new, now())?;
        match self.stored() {
            Ok(()) => Ok(registry.commit(change)),
            Err(error) => {
                registry.abort(change);
                Err(error)
            }
        }
    }

    async fn update_migration(
        &self,
        id: RecordId,
        update: RecordUpdate,
    ) -> Result<Record, RegistryFailure> {
        let mut registry = self.registry.lock().unwrap();
        let change = registry.prepare_update(id, update, now())?;
        Ok(registry.commit(change))
    }

    async fn end_migration(&self, id: RecordId) -> Result<Record, RegistryFailure> {
        let mut registry = self.registry.lock().unwrap();
        let change = registry.prepare_end(id, now())?;
        Ok(registry.commit(change))
    }

    async fn migrations(&self, filter: RecordFilter) -> Result<Vec<Record>, RegistryFailure> {
        Ok(self.registry.lock().unwrap().list(&filter, now()))
    }
}

fn call_view() -> CallView {
    let mut counters = StreamCounters {
        packets: 7,
        ssrc: Some(0xabc),
        last_packet: Some(now()),
        ..StreamCounters::default()
    };
    counters.drops[0] = 3;
    let stream = StreamView {
        stream: StreamId(4),
        kind: StreamKind::Rtp,
        local: "127.0.0.1:30000".parse().unwrap(),
        endpoint: None,
        advertised: Some("192.0.2.1:4000".parse().unwrap()),
        strict: true,
        handover: false,
        counters,
        packets_out: 1,
        octets_out: 2,
    };
    let media = MediaView {
        index: 1,
        kind: "audio".into(),
        protocol: "RTP/AVP".into(),
        codec: None,
        send: true,
        recv: true,
        rtcp_mux: false,
        streams: vec![stream],
    };
    CallView {
        call_id: CallId::from("c/1"),
        created: now(),
        last_signal: now(),
        metadata: None,
        parties: vec![PartyView {
            tag: Some("from".into()),
            index: 0,
            via_branch: None,
            label: None,
            created: now(),
            subscriptions: vec![1],
            subscribers: vec![1],
            medias: vec![media],
            closed: crate::session::host::Traffic::default(),
        }],
        mirrored: true,
        homes: Vec::new(),
    }
}

fn summary() -> CallSummary {
    CallSummary {
        call_id: CallId::from("c/1"),
        created: now(),
        answered: None,
        state: CallState::Early,
        one_way: false,
        context: crate::migration::context::CallContext::default(),
        legs: 2,
        packets_calling: 12,
        packets_called: 0,
        dropped: 2,
        mirrors: vec![MirrorSummary {
            primary_system: "primary.example".into(),
            logger: Some("hq".into()),
        }],
    }
}

fn explained() -> Explanation {
    let mut registry = Registry::default();
    let new: NewRecord = serde_json::from_value(alice()).unwrap();
    let change = registry.prepare_add(new, now()).unwrap();
    registry.commit(change);
    let context = crate::migration::context::CallContext {
        calling_id: Some("a1@partner.example".parse().unwrap()),
        called_id: Some("bob@partner.example".parse().unwrap()),
        session_type: Some(SessionType::Private),
        ..Default::default()
    };
    let agreement = crate::migration::agreement::Agreement::new(
        "primary.example".parse().unwrap(),
        vec!["hq".into(), "spare".into()],
    );
    let leg = |role| LegExplanation {
        tag: Some("from".into()),
        role,
        decision: decide(
            &context,
            role,
            &registry,
            std::slice::from_ref(&agreement),
            now(),
        ),
        decided: now(),
        packets: 12,
        drops: vec![("stranger".into(), 2)],
        preroll: Preroll {
            kept: 0,
            sent: 500,
            evicted: 7,
        },
        packets_out: 5,
        lost: 0,
        last_packet: None,
    };
    Explanation {
        call_id: CallId::from("c/1"),
        as_of: now(),
        created: now(),
        answered: Some(now()),
        ended: None,
        end: None,
        state: CallState::Answered,
        one_way: true,
        legs: vec![leg(LegRole::Calling), leg(LegRole::Called)],
        mirrors: vec![MirrorExplanation {
            mirror: MirrorId(1),
            primary_system: "primary.example".into(),
            logger: Some("hq".into()),
            note: "open".into(),
            streams: vec![MirrorStream {
                stream: StreamId(4),
                media: MediaKind::Audio,
                kind: StreamKind::Rtp,
                packets: 11,
                dropped: 1,
            }],
            detached: crate::session::reply::Copies::default(),
        }],
        homes: vec![home()],
        recordings: Vec::new(),
        context,
    }
}

fn home() -> HomeExplanation {
    HomeExplanation {
        home: HomeId(7),
        primary_system: "primary.example".into(),
        anchors: vec!["gate".into()],
        anchor: Some("gate".into()),
        state: HomeState::Up,
        since: now(),
        reason: None,
        next_try: None,
        note: "1 of 2 lanes".into(),
        bypasses: 1,
        returns: 0,
        unanswered: 100,
        sent: 500,
        returned: 390,
        lost: 100,
        dropped: 2,
        lanes: Vec::new(),
    }
}

pub(super) fn alice() -> Value {
    json!({
        "service": "mcptt",
        "primary_id": "sip:alice@primary.example",
        "partner_id": "sip:a1@partner.example",
        "primary_system": "primary.example",
    })
}
