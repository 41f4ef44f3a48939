use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::logger::service::LoggerError;
use crate::wire::block::{Builder, Frame};
use crate::wire::time::Timestamp;

fn blocks(count: u64) -> Vec<Vec<u8>> {
    let mut builder = Builder::new(1, 0, 4_096);
    (0..count)
        .map(|n| {
            builder
                .push_packet(1, n, Timestamp::from_secs(n + 9), &[7; 500])
                .unwrap();
            builder.seal(Vec::new()).unwrap().bytes
        })
        .collect()
}

fn indexes(layout: &Layout, segment: u64, cut: bool) -> (Vec<u64>, Scanned) {
    let mut found = Vec::new();
    let scanned = scan(&layout.segment(segment), 0, cut, |_, block| {
        for frame in block.frames() {
            if let Ok(Frame::Packet(packet)) = frame {
                found.push(packet.index);
            }
        }
    });
    (found, scanned.unwrap())
}

#[test]
fn appends_and_rolls_over() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::prepare(&dir.path().join("data")).unwrap());
    let blocks = blocks(5);
    let size = blocks[0].len() as u64;
    let mut writer = SegmentWriter::new(Arc::clone(&layout), 3, 2 * size + 10);
    let mut places = Vec::new();
    for block in &blocks {
        places.push(writer.append(block).unwrap());
    }
    writer.sync().unwrap();
    assert_eq!(layout.segments().unwrap(), [3, 4, 5]);
    assert_eq!((places[4].segment, places[4].start), (5, 0));
    assert_eq!(places[3].end, 2 * size);
    assert_eq!(indexes(&layout, 4, false).0, [2, 3]);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(layout.segment(3)), 0o600);
    assert_eq!(
        (mode(layout.archive()), mode(layout.recordings())),
        (0o700, 0o700)
    );
}

#[test]
fn torn_tails_are_cut_off_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::prepare(dir.path()).unwrap();
    let blocks = blocks(3);
    let whole = blocks[..2].concat();
    for keep in [0, 1, 3, 50, 95, 96, 97, blocks[2].len() - 1] {
        let file = [&whole[..], &blocks[2][..keep]].concat();
        fs::write(layout.segment(1), file).unwrap();
        let (found, scanned) = indexes(&layout, 1, true);
        assert_eq!(found, [0, 1]);
        assert_eq!(
            (scanned.end, scanned.torn),
            (whole.len() as u64, keep as u64)
        );
        assert_eq!(fs::read(layout.segment(1)).unwrap(), whole);
    }
}

#[test]
fn damage_in_the_middle_is_stepped_over_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::prepare(dir.path()).unwrap();
    let mut blocks = blocks(4);
    blocks[1][200] ^= 1;
    // A length that points far beyond, too.
    blocks[2][30] = 0x7F;
    let file = blocks.concat();
    fs::write(layout.segment(1), &file).unwrap();
    let (found, scanned) = indexes(&layout, 1, true);
    assert_eq!(found, [0, 3]);
    assert_eq!(scanned.damaged, (blocks[1].len() + blocks[2].len()) as u64);
    assert_eq!(
        (scanned.torn, fs::read(layout.segment(1)).unwrap()),
        (0, file)
    );
}

#[test]
fn a_later_version_is_refused_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::prepare(dir.path()).unwrap();
    let mut blocks = blocks(2);
    blocks[1][4] = 2;
    fs::write(layout.segment(1), blocks.concat()).unwrap();
    let error = scan(&layout.segment(1), 0, true, |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(fs::read(layout.segment(1)).unwrap(), blocks.concat());
}

#[test]
fn a_directory_serves_one_logger_of_a_known_version() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::prepare(dir.path()).unwrap();
    let reason = |result: Result<Layout, LoggerError>| result.unwrap_err().to_string();
    assert!(reason(Layout::prepare(dir.path())).contains("another process"));
    drop(layout);
    fs::write(dir.path().join("VERSION"), "2\n").unwrap();
    assert!(reason(Layout::prepare(dir.path())).contains("version 2"));
    fs::write(dir.path().join("VERSION"), "x").unwrap();
    assert!(reason(Layout::prepare(dir.path())).contains("not a version"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(reason(Layout::prepare(&file.join("data"))).contains("cannot be made"));
}
