//! Cost of reading and writing wire formats. Run with `cargo bench --bench wire`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homeward::session::options::Options;
use homeward::session::rewrite::{self, Kept, MediaPlan, Memory, Offered, Plan};
use homeward::wire::sdp;

criterion_group!(benches, descriptions);
criterion_main!(benches);

/// An offer as MC servers write it: speech in three codecs, and floor control.
const OFFER: &[u8] = b"v=0\r\no=mcas 88210 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\n\
    t=0 0\r\nm=audio 41000 RTP/AVP 96 97 8 101\r\ni=speech\r\nb=AS:38\r\n\
    a=rtpmap:96 AMR-WB/16000/1\r\na=fmtp:96 mode-change-capability=2;max-red=0\r\n\
    a=rtpmap:97 EVS/16000\r\na=fmtp:97 br=5.9-24.4;bw=nb-swb\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:240\r\n\
    a=sendrecv\r\na=rtcp:41001\r\n\
    m=application 41002 udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n";

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));

fn descriptions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sdp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse", |b| b.iter(|| sdp::parse(black_box(OFFER))));

    let Ok(session) = sdp::parse(OFFER) else {
        return;
    };
    let mut options = Options::default();
    options.replace.origin = true;
    let medias = [
        MediaPlan::relay(ADDRESS, 30120),
        MediaPlan::relay(ADDRESS, 30122),
    ];
    let plan = Plan {
        options: &options,
        instance: "bench",
        origin_address: ADDRESS,
        session_id: 1,
        medias: &medias,
    };
    let mut memory = Memory::default();
    group.bench_function("write", |b| {
        b.iter(|| rewrite::write(black_box(&session), &plan, &mut memory));
    });
    group.bench_function("parse and write", |b| {
        b.iter(|| {
            let session = rewrite::parse(black_box(OFFER))?;
            rewrite::write(&session, &plan, &mut memory)
        });
    });
    let offered = Offered::of(&session.medias[0]);
    group.bench_function("intersect", |b| {
        b.iter(|| Kept::of(black_box(&session.medias[0]), Some(&offered), &[]));
    });
    group.finish();
}
