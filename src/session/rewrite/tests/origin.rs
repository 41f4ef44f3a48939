//! `o=`, `s=` and what is remembered of them.

use super::*;

#[test]
fn origin_as_it_came_unless_replaced() {
    let came = rewrite(MCPTT, &Options::default());
    assert_eq!(origin(&came), "o=mcas 88210 1 IN IP4 192.0.2.10");
    let mut memory = Memory::default();
    let options = replace(|r| r.origin = true);
    rewrite_with(MCPTT, &options, &mut memory);
    // The address is stable for the call, whatever later plans say.
    let session = parse(MCPTT.as_bytes()).unwrap();
    let medias = [MediaPlan::relay(US6, 2), MediaPlan::relay(US6, 4)];
    let later = Plan {
        origin_address: US6,
        ..plan(&options, &medias)
    };
    let written = String::from_utf8(write(&session, &later, &mut memory).unwrap()).unwrap();
    assert_eq!(origin(&written), "o=mcas 88210 1 IN IP4 203.0.113.5");
    assert_has(&written, "c=IN IP6 2001:db8::5");
}

#[test]
fn user_and_session_name_are_fixed() {
    let options = replace(|r| {
        r.username = true;
        r.session_name = true;
    });
    let mut memory = Memory::default();
    rewrite_with(MCPTT, &options, &mut memory);
    let other = MCPTT.replace("o=mcas", "o=other").replace("s=-", "s=Other");
    let written = rewrite_with(&other, &options, &mut memory);
    assert_eq!(origin(&written), "o=mcas 88210 1 IN IP4 192.0.2.10");
    assert_has(&written, "s=-");
    let written = rewrite_with(&other, &Options::default(), &mut memory);
    assert_has(&written, "s=Other");
}

/// RFC 3264 8: one more for each change, the same for the same.
#[test]
fn version_grows_with_changes_only() {
    let options = replace(|r| r.sdp_version = true);
    let mut memory = Memory::default();
    let version = |sdp: &str, options: &Options, memory: &mut Memory| {
        let written = rewrite_with(sdp, options, memory);
        origin(&written).split(' ').nth(2).unwrap().to_owned()
    };
    assert_eq!(version(&audio(""), &options, &mut memory), "5");
    assert_eq!(version(&audio(""), &options, &mut memory), "5");
    assert_eq!(version(&audio("a=x\n"), &options, &mut memory), "6");
    let jumped = audio("a=x\n").replace("88 5", "88 9");
    assert_eq!(version(&jumped, &options, &mut memory), "6");
    let forced = replace(|r| r.force_increment_sdp_ver = true);
    assert_eq!(version(&jumped, &forced, &mut memory), "7");
    assert_eq!(version(&jumped, &forced, &mut memory), "8");
    assert_eq!(version(&jumped, &Options::default(), &mut memory), "9");
    // No number, or one too great: as it came unless we are to count.
    let odd = audio("").replace("88 5", "88 99999999999999999999999");
    assert_eq!(
        version(&odd, &Options::default(), &mut memory),
        "99999999999999999999999"
    );
    assert_eq!(version(&odd, &options, &mut Memory::default()), "1");
}

#[test]
fn origin_full_is_all_ours() {
    let options = replace(|r| r.origin_full = true);
    let mut memory = Memory::default();
    let first = rewrite_with(MCPTT, &options, &mut memory);
    assert_eq!(origin(&first), "o=mcas 88210 1 IN IP4 203.0.113.5");
    let other = MCPTT
        .replace("o=mcas 88210 1", "o=other 1 77")
        .replace("ptime:20", "ptime:40");
    let second = rewrite_with(&other, &options, &mut memory);
    assert_eq!(origin(&second), "o=mcas 88210 2 IN IP4 203.0.113.5");
}

/// NG reference, pitfall 22: what is remembered does not grow.
#[test]
fn memory_is_small_and_bounded() {
    assert!(size_of::<Memory>() <= 64);
    let options = replace(|r| {
        r.origin_full = true;
        r.session_name = true;
    });
    let mut memory = Memory::default();
    rewrite_with(&audio(""), &options, &mut memory);
    let first = memory.clone();
    for port in 0..1000 {
        let sdp = audio("").replace("41000", &(2000 + port).to_string());
        rewrite_with(&sdp, &options, &mut memory);
    }
    assert_eq!(memory, first);
    let long = audio("").replace("s=-", &format!("s={}", "x".repeat(5000)));
    let mut memory = Memory::default();
    assert_has(
        &rewrite_with(&long, &options, &mut memory),
        &format!("s={}", "x".repeat(5000)),
    );
    assert_has(&rewrite_with(&audio(""), &options, &mut memory), "s=-");
}
