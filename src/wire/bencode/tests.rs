use proptest::prelude::*;

use super::*;

fn whole(input: &[u8]) -> Value<'_> {
    let (value, used) = decode(input).unwrap();
    assert_eq!(used, input.len());
    value
}

#[test]
fn reads_each_kind() {
    assert_eq!(whole(b"i-42e"), Value::Int(-42));
    assert_eq!(whole(b"i9223372036854775807e"), Value::Int(i64::MAX));
    assert_eq!(whole(b"i-9223372036854775808e"), Value::Int(i64::MIN));
    assert_eq!(whole(b"0:"), Value::from(""));
    assert_eq!(whole(b"le"), Value::List(Vec::new()));
    assert_eq!(whole(b"de"), Value::from(Dict::new()));
    assert_eq!(whole(b"3:\x00 \xff"), Value::from(&b"\x00 \xff"[..]));
}

#[test]
fn order_duplicates_and_what_follows_are_kept() {
    let input = b"d1:z1:11:a1:21:z1:3eTRAILER";
    let (value, used) = decode(input).unwrap();
    assert_eq!(used, input.len() - 7);
    let dict = value.as_dict().unwrap();
    let keys: Vec<_> = dict.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"z", b"a", b"z"]);
    assert_eq!(dict.get("z").unwrap().as_text(), Some("3"));
    assert_eq!(dict.encode(), input[..used]);
}

#[test]
fn builds_messages() {
    let dict = Dict::new()
        .with("command", "offer")
        .with("flags", Value::list(["a", "b"]))
        .with("n", 7_u64)
        .with_some("none", None::<&str>)
        .with("d", Dict::new().with("x", -1_i64));
    assert_eq!(
        dict.encode(),
        b"d7:command5:offer5:flagsl1:a1:be1:ni7e1:dd1:xi-1eee"
    );
    assert_eq!(Value::from(u64::MAX), Value::Int(i64::MAX));
}

#[test]
fn garbage_is_refused() {
    for (input, error) in [
        (&b""[..], Error::Truncated),
        (b"i", Error::Truncated),
        (b"i12", Error::Truncated),
        (b"ie", Error::Integer),
        (b"i-e", Error::Integer),
        (b"i+1e", Error::Integer),
        (b"i1.5e", Error::Integer),
        (b"i9223372036854775808e", Error::Integer),
        (b"i000000000000000000000000001e", Error::Integer),
        (b"5:abcd", Error::Truncated),
        (b"5", Error::Truncated),
        (b"5x", Error::Length),
        (b"-5:abcde", Error::Unexpected(b'-')),
        (b" 5:abcde", Error::Unexpected(b' ')),
        (b"99999999999999999999999:x", Error::Length),
        (b"l", Error::Truncated),
        (b"d3:key", Error::Truncated),
        (b"d3:keye", Error::Unexpected(b'e')),
        (b"di1e1:xe", Error::Key),
        (b"dlee", Error::Key),
        (b"e", Error::Unexpected(b'e')),
        (b"x", Error::Unexpected(b'x')),
    ] {
        assert_eq!(decode(input), Err(error), "{input:?}");
    }
}

#[test]
fn bombs_are_bounded() {
    assert_eq!(decode(&vec![b'l'; 65_507]), Err(Error::Depth));
    assert_eq!(decode(&b"d1:x".repeat(16_000)), Err(Error::Depth));
    let mut wide = vec![b'l'];
    wide.extend(b"0:".repeat(30_000));
    wide.push(b'e');
    assert_eq!(decode(&wide), Err(Error::Items));
    let deep = |n: usize| [vec![b'l'; n], vec![b'e'; n]].concat();
    assert!(decode(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(decode(&deep(MAX_DEPTH + 1)), Err(Error::Depth));
}

fn values() -> impl Strategy<Value = Value<'static>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        bytes().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            // The oracle wants keys sorted and unique.
            proptest::collection::btree_map(bytes(), inner, 0..6).prop_map(|map| {
                let mut dict = Dict::new();
                for (key, value) in map {
                    dict.push_raw(Cow::Owned(key), value);
                }
                Value::Dict(dict)
            }),
        ]
    })
}

/// The same value in the terms of an independent implementation.
fn translated(value: &Value<'_>) -> bt_bencode::Value {
    match value {
        Value::Int(number) if *number < 0 => bt_bencode::Value::from(*number),
        Value::Int(number) => bt_bencode::Value::from(number.unsigned_abs()),
        Value::Str(bytes) => {
            bt_bencode::Value::ByteStr(bt_bencode::ByteString::from(bytes.as_ref()))
        }
        Value::List(items) => bt_bencode::Value::List(items.iter().map(translated).collect()),
        Value::Dict(dict) => bt_bencode::Value::Dict(
            dict.iter()
                .map(|(key, value)| (bt_bencode::ByteString::from(key), translated(value)))
                .collect(),
        ),
    }
}

proptest! {
    #[test]
    fn agrees_with_another_implementation(value in values()) {
        let encoded = encode(&value);
        prop_assert_eq!(&encoded, &bt_bencode::to_vec(&translated(&value)).unwrap());
        prop_assert_eq!(decode(&encoded), Ok((value.clone(), encoded.len())));
        let theirs: bt_bencode::Value = bt_bencode::from_slice(&encoded).unwrap();
        prop_assert_eq!(theirs, translated(&value));
    }

    #[test]
    fn any_input_is_a_value_or_an_error(
        input in proptest::collection::vec(
            prop_oneof![4 => proptest::sample::select(b"dlie0123456789:-".to_vec()), 1 => any::<u8>()],
            0..80,
        )
    ) {
        if let Ok((value, used)) = decode(&input) {
            prop_assert!(used <= input.len());
            let again = encode(&value);
            prop_assert_eq!(decode(&again), Ok((value.clone(), again.len())));
        }
    }

    #[test]
    fn every_prefix_is_truncated(value in values()) {
        let encoded = encode(&value);
        for end in 0..encoded.len() {
            prop_assert_eq!(decode(&encoded[..end]).err(), Some(Error::Truncated));
        }
    }
}
