use super::*;

#[test]
fn every_metric_has_its_meaning_and_unit() {
    let snapshot = Snapshot {
        calls: Calls {
            open: 3,
            started: 9,
            ended: vec![("deleted", 5), ("media-timeout", 1)],
            duration: Duration::from_millis(1_500),
            ..Calls::default()
        },
        media: Media {
            octets: 1_720,
            drops: vec![("stranger", 2)],
            preroll_kept: 11,
            preroll_sent: 12,
            preroll_evicted: 13,
            ..Media::default()
        },
        workers: vec![Worker {
            index: 1,
            datagrams: 77,
            ..Worker::default()
        }],
        latency: Latency {
            buckets: vec![
                (Duration::from_micros(50), 90),
                (Duration::from_millis(1), 9),
                (Duration::from_secs(10), 1),
            ],
            sum: Duration::from_millis(8),
        },
        ports: vec![Ports {
            interface: "core".into(),
            address: "192.0.2.5".parse().unwrap(),
            used: 4,
            size: 10_001,
        }],
        requests: vec![Requests {
            protocol: "ng",
            command: "offer",
            good: 8,
            refused: 1,
        }],
        loggers: vec![Logger {
            name: "hq".into(),
            mirrors: 2,
            free_pairs: 50,
            announcements: vec![("taken", 7)],
        }],
        homes: Homes {
            open: vec![("bypassed", 2)],
            failures: 1,
            bypasses: 4,
            returns: 3,
            sent: 21,
            returned: 20,
            lost: 1,
        },
        archive: Some(Archive {
            packets: vec![("stored", 48)],
            ..Archive::default()
        }),
        home_anchors: vec![HomeAnchor {
            name: "hq".into(),
            legs: 2,
            answered: 3,
            failures: vec![("refused", 1)],
            datagrams: vec![("stranger", 4)],
        }],
        media_anchor: Some(MediaAnchor {
            calls: 1,
            taken: 2,
            failures: vec![("loop", 3)],
            packets: vec![("returned", 4)],
            datagrams: vec![("stranger", 5)],
        }),
        journal: Some(Journal {
            behind: 4,
            ..Journal::default()
        }),
        migrations: 6,
        tellings: vec![Tellings {
            primary: "p.example".into(),
            waiting: 2,
            results: vec![("accepted", 3)],
        }],
        draining: true,
    };
    let text = snapshot.render().unwrap();
    for line in [
        "homeward_calls 3",
        "homeward_homes{state=\"bypassed\"} 2",
        "homeward_home_failures_total 1",
        "homeward_home_bypasses_total 4",
        "homeward_home_returns_total 3",
        "homeward_home_packets_sent_total 21",
        "homeward_home_packets_returned_total 20",
        "homeward_home_packets_lost 1",
        "homeward_preroll_packets 11",
        "homeward_preroll_packets_sent_total 12",
        "homeward_preroll_packets_evicted_total 13",
        "homeward_calls_started_total 9",
        "homeward_calls_ended_total{reason=\"media-timeout\"} 1",
        "homeward_calls_duration_seconds_total 1.5",
        "homeward_received_bytes_total 1720",
        "homeward_packets_dropped_total{reason=\"stranger\"} 2",
        "homeward_worker_datagrams_total{worker=\"1\"} 77",
        "homeward_latency_seconds_bucket{le=\"0.00005\"} 90",
        "homeward_latency_seconds_bucket{le=\"0.001\"} 99",
        "homeward_latency_seconds_bucket{le=\"+Inf\"} 100",
        "homeward_latency_seconds_count 100",
        "homeward_ports_size{interface=\"core\",address=\"192.0.2.5\"} 10001",
        "homeward_requests_total{protocol=\"ng\",command=\"offer\",result=\"refused\"} 1",
        "homeward_logger_free_pairs{logger=\"hq\"} 50",
        "homeward_announcements_total{logger=\"hq\",result=\"taken\"} 7",
        "homeward_archive_packets_total{outcome=\"stored\"} 48",
        "homeward_journal_behind 4",
        "homeward_migrations 6",
        "homeward_draining 1",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let helps = text
        .lines()
        .filter(|line| line.starts_with("# HELP"))
        .count();
    let types = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .count();
    assert_eq!(helps, types);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn names_are_not_defined_twice() {
    let text = Snapshot::default().render().unwrap();
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all > 25, "{text}");
}
