//! Cost of migrations: a decision and a change of the registry beside 100,000 records, what a
//! change costs the calls, and how fast records become durable. Run with
//! `cargo bench --bench migration`.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homeward::migration::agreement::Agreement;
use homeward::migration::context::CallContext;
use homeward::migration::decision::{LegRole, decide};
use homeward::migration::identity::{McId, Service};
use homeward::migration::record::{Record, Standing, Trigger};
use homeward::migration::registry::{NewRecord, RecordUpdate, Registry};
use homeward::store::registry::Store;
use homeward::wire::time::Timestamp;

criterion_group!(benches, decision, registry, store);
criterion_main!(benches);

const RECORDS: u64 = 100_000;

fn decision(criterion: &mut Criterion) {
    let registry = filled();
    let agreements: Vec<Agreement> = (0..10)
        .map(|n| Agreement::new(format!("p{n}.example").parse().unwrap(), vec!["hq".into()]))
        .collect();
    let mut group = criterion.benchmark_group("decision beside 100,000 migrations");
    let called = |id: &str, service| CallContext {
        called_id: Some(id.parse().unwrap()),
        service,
        ..CallContext::default()
    };
    let named = Some(Service::Mcptt);
    for (name, context) in [
        ("partner ID", called("sip:v77777@partner.example", named)),
        ("primary ID", called("sip:u77777@p7.example", named)),
        (
            "alias, no service",
            called("sip:alias77777@partner.example", None),
        ),
        ("nobody", called("sip:nobody@partner.example", named)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                decide(
                    black_box(&context),
                    LegRole::Called,
                    &registry,
                    &agreements,
                    now(),
                )
            });
        });
    }
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let mut registry = filled();
    let mut group = criterion.benchmark_group("registry of 100,000 migrations");
    group.throughput(Throughput::Elements(1));
    let mut number = 0;
    group.bench_function("update", |b| {
        b.iter(|| {
            number += 1;
            let id = homeward::migration::record::RecordId(1 + number % RECORDS);
            let update = RecordUpdate {
                profile_index: Some(u32::try_from(number % 1_000_000).unwrap()),
                ..RecordUpdate::default()
            };
            let change = registry.prepare_update(id, update, now()).unwrap();
            let names = registry.names_touched(&change);
            black_box((registry.commit(change), names));
        });
    });
    group.finish();
}

fn store(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), 1_000, now()).unwrap();
    let registry = filled();
    let records: Vec<Record> = registry.list(&all(), now());
    let mut group = criterion.benchmark_group("store");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1,000 records, one by one, until all are durable", |b| {
        b.iter(|| {
            let waiting: Vec<_> = records
                .iter()
                .map(|record| store.put(vec![record.clone()]).unwrap())
                .collect();
            for stored in waiting {
                stored.wait_blocking().unwrap();
            }
        });
    });
    group.finish();
}

fn all() -> homeward::migration::registry::RecordFilter {
    homeward::migration::registry::RecordFilter {
        limit: Some(1_000),
        ..Default::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_000_000)
}

/// Users of ten primaries, each with an alias.
fn filled() -> Registry {
    let mut registry = Registry::default();
    for number in 0..RECORDS {
        let id = |text: String| text.parse::<McId>().unwrap();
        let system = format!("p{}.example", number % 10);
        let new = NewRecord {
            service: Service::Mcptt,
            primary_id: id(format!("sip:u{number}@{system}")),
            partner_id: id(format!("sip:v{number}@partner.example")),
            primary_system: system.parse().unwrap(),
            functional_aliases: vec![id(format!("sip:alias{number}@partner.example"))],
            trigger: Trigger::Client,
            profile_index: None,
            standing: Standing::Authorised,
            since: None,
            until: None,
        };
        let change = registry.prepare_add(new, now()).unwrap();
        registry.commit(change);
    }
    registry
}
