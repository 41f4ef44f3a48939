use super::*;

fn kept(bytes: &[u8], at: u64) -> Kept<'_> {
    Kept {
        bytes,
        at: Timestamp::from_nanos(at),
        received: Timestamp::from_nanos(at + 1),
    }
}

fn owner(slot: u32, call: u64) -> Owner {
    Owner {
        slot,
        call: Some(call),
    }
}

/// Adds a packet, with a new chunk if need be.
fn add(pool: &mut Pool, queue: &mut Queue, owner: Owner, kept: &Kept<'_>) {
    if !pool.append(queue, kept) {
        assert!(pool.open(queue, owner, kept.at));
        assert!(pool.append(queue, kept));
    }
}

#[test]
fn packets_come_out_as_they_went_in() {
    let (mut pool, mut queue) = (Pool::new(10 * CHUNK), Queue::default());
    let packets: Vec<Vec<u8>> = (0..60_u8)
        .map(|n| vec![n; usize::from(n) * 8 % 700])
        .collect();
    for (packet, at) in packets.iter().zip(0..) {
        add(&mut pool, &mut queue, owner(3, 9), &kept(packet, at));
    }
    assert_eq!(queue.packets(), 60);
    assert!(pool.used() > 3);
    for (packet, at) in packets.iter().zip(0..) {
        assert_eq!(pool.front(&queue), Some(kept(packet, at)));
        pool.pop(&mut queue);
    }
    assert_eq!((pool.front(&queue), queue.packets()), (None, 0));
    assert!(pool.is_empty() && pool.chunks_of(9) == 0 && pool.start().is_none());
    pool.pop(&mut queue);
    assert_eq!(pool.close_first(&mut queue), 0);
}

#[test]
fn the_limit_holds_and_chunks_are_used_again() {
    let mut pool = Pool::new(3 * CHUNK + 5);
    let mut queues = [Queue::default(), Queue::default()];
    for round in 0..100 {
        let [a, b] = &mut queues;
        assert!(pool.open(a, owner(0, 1), Timestamp::default()));
        assert!(pool.open(b, owner(1, 1), Timestamp::default()));
        assert!(pool.open(a, owner(0, 1), Timestamp::default()));
        assert!(pool.is_full() && !pool.open(b, owner(1, 1), Timestamp::default()));
        assert_eq!((pool.chunks_of(1), pool.oldest(Some(1))), (3, Some(0)));
        assert_eq!(pool.chunks.len(), 3, "round {round}");
        pool.clear(a);
        pool.clear(b);
    }
    assert!(Pool::new(CHUNK - 1).is_nothing());
}

#[test]
fn a_packet_too_long_for_a_chunk_is_not_taken() {
    let (mut pool, mut queue) = (Pool::new(10 * CHUNK), Queue::default());
    assert!(pool.open(&mut queue, owner(0, 1), Timestamp::default()));
    assert!(!pool.append(&mut queue, &kept(&[0; CHUNK], 1)));
    assert!(!pool.append(&mut queue, &kept(&vec![0; 70_000], 1)));
    assert!(pool.append(&mut queue, &kept(&[0; CHUNK - HEAD], 1)));
    assert!(!pool.append(&mut queue, &kept(&[], 1)), "full to the brim");
}

#[test]
fn the_oldest_is_found_by_call_and_in_all() {
    let mut pool = Pool::new(10 * CHUNK);
    let mut queues: [Queue; 4] = Default::default();
    // Opened in this order: slots 0 to 3, calls 7, 8, 7, 8; then slot 0 again.
    for (slot, call) in [(0, 7), (1, 8), (2, 7), (3, 8), (0, 7)] {
        let queue = &mut queues[slot as usize];
        assert!(pool.open(queue, owner(slot, call), Timestamp::from_secs(slot.into())));
    }
    assert_eq!(
        (pool.oldest(None), pool.oldest(Some(8))),
        (Some(0), Some(1))
    );
    pool.close_first(&mut queues[0]);
    assert_eq!(
        (pool.oldest(None), pool.oldest(Some(7))),
        (Some(1), Some(2))
    );
    // What is held is in no list, and counts against no call.
    pool.hold(&queues[1]);
    assert_eq!(
        (pool.oldest(None), pool.oldest(Some(8))),
        (Some(2), Some(3))
    );
    assert_eq!((pool.chunks_of(8), pool.used()), (1, 4));
    pool.clear(&mut queues[2]);
    pool.clear(&mut queues[3]);
    assert_eq!((pool.oldest(None), pool.oldest(Some(8))), (Some(0), None));
    assert_eq!(pool.used(), 2);
    let first = pool.start();
    assert!(pool.opened_before(first, Timestamp::default()).is_none());
    let found = pool.opened_before(first, Timestamp::from_secs(1));
    assert_eq!(found, first.map(|id| (id, 0, None)));
    pool.clear(&mut queues[0]);
    pool.clear(&mut queues[1]);
    assert!(pool.is_empty() && pool.calls.is_empty());
}
