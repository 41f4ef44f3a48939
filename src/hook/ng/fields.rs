//! Lenient reading of keys and values (NG reference 1.3).
//!
//! Proxies send script text as it comes: integers as strings, lists as text with commas, keys with
//! spaces, hyphens or underscores. Nothing here refuses; a value of another shape is `None`.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::wire::bencode::Value;

/// A key or flag in its one spelling: lower case, with hyphens.
///
/// Folding keeps the length, so what follows a prefix can be taken from the original.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    buffer: [u8; MAX_KEY],
    len: usize,
}

impl Folded {
    /// `None` if the key is longer than any that is known, or not ASCII.
    pub fn new(raw: &[u8]) -> Option<Self> {
        let mut buffer = [0; MAX_KEY];
        for (to, &from) in buffer.get_mut(..raw.len())?.iter_mut().zip(raw) {
            *to = match from {
                b' ' | b'_' => b'-',
                _ if from.is_ascii() => from.to_ascii_lowercase(),
                _ => return None,
            };
        }
        Some(Self {
            buffer,
            len: raw.len(),
        })
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.buffer[..self.len]).unwrap_or_default()
    }
}

/// Text: a string in UTF-8, or an integer as its digits.
pub fn text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Str(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        Value::List(_) | Value::Dict(_) => None,
    }
}

/// Text of a single value, or of the only item of a list.
pub fn single<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::List(items) => match items.as_slice() {
            [only] => text(only),
            _ => None,
        },
        Value::Str(_) | Value::Int(_) | Value::Dict(_) => text(value),
    }
}

/// An integer: one, or a string that reads as one.
pub fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Str(_) | Value::List(_) => single(value)?.trim().parse().ok(),
        Value::Dict(_) => None,
    }
}

/// A switch: 0 and 1, or the usual words. Other values say nothing.
pub fn switch(value: &Value<'_>) -> Option<bool> {
    match single(value)?.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "on" | "true" | "" => Some(true),
        "0" | "no" | "off" | "false" => Some(false),
        _ => None,
    }
}

/// The items of a list: of a real one, or of text with commas. Items that are no text are left out.
pub fn list<'v>(value: &'v Value<'_>) -> impl Iterator<Item = Cow<'v, str>> {
    let (items, scalar) = match value {
        Value::List(items) => (items.as_slice(), None),
        Value::Str(_) => (
            &[][..],
            std::str::from_utf8(value.as_bytes().unwrap_or_default()).ok(),
        ),
        Value::Int(_) => (std::slice::from_ref(value), None),
        Value::Dict(_) => (&[][..], None),
    };
    let split = scalar.into_iter().flat_map(|text| text.split(','));
    items
        .iter()
        .filter_map(text)
        .chain(split.map(|item| Cow::Borrowed(item.trim())))
        .filter(|item| !item.is_empty())
}

/// An address: text, or the first item of a list that reads as one, which takes the pair
/// [`IP4`, address] as well as the forms that scripts make of it.
pub fn address(value: &Value<'_>) -> Option<IpAddr> {
    list(value).find_map(|item| item.split_ascii_whitespace().find_map(parse_address))
}

fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

const MAX_KEY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bencode::Dict;

    #[test]
    fn spellings_fold_to_one() {
        for spelling in ["media address", "media-address", "Media_Address"] {
            let folded = Folded::new(spelling.as_bytes()).unwrap();
            assert_eq!(folded.as_str(), "media-address");
        }
        assert!(Folded::new(&[b'x'; MAX_KEY]).is_some());
        assert!(Folded::new(&[b'x'; MAX_KEY + 1]).is_none());
        assert!(Folded::new("schlüssel".as_bytes()).is_none());
        assert_eq!(Folded::new(b"").unwrap().as_str(), "");
    }

    #[test]
    fn scalars_of_any_type() {
        assert_eq!(int(&Value::from("184")), Some(184));
        assert_eq!(int(&Value::from(" -1 ")), Some(-1));
        assert_eq!(int(&Value::list(["7"])), Some(7));
        assert_eq!(int(&Value::from("many")), None);
        assert_eq!(text(&Value::Int(12)).as_deref(), Some("12"));
        assert_eq!(text(&Value::from(&b"\xff"[..])), None);
        assert_eq!(switch(&Value::from("Yes")), Some(true));
        assert_eq!(switch(&Value::Int(0)), Some(false));
        assert_eq!(switch(&Value::from("perhaps")), None);
        assert_eq!(switch(&Value::from(Dict::new())), None);
    }

    #[test]
    fn lists_of_any_shape() {
        let items = |value: Value<'_>| list(&value).map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(items(Value::list(["core", "partner"])), ["core", "partner"]);
        assert_eq!(items(Value::from("core, partner,")), ["core", "partner"]);
        assert_eq!(items(Value::from("core")), ["core"]);
        assert_eq!(items(Value::Int(4)), ["4"]);
        assert!(items(Value::from("")).is_empty());
        assert!(items(Value::from(Dict::new())).is_empty());
        // Commas within an item of a real list are part of it.
        assert_eq!(items(Value::list(["a,b"])), ["a,b"]);
    }

    #[test]
    fn received_from_in_all_its_shapes() {
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let v4: IpAddr = "192.0.2.10".parse().unwrap();
        assert_eq!(address(&Value::list(["IP4", "192.0.2.10"])), Some(v4));
        assert_eq!(address(&Value::list(["IP6", "2001:db8::1"])), Some(v6));
        assert_eq!(address(&Value::list(["?", "192.0.2.10"])), Some(v4));
        assert_eq!(address(&Value::from("192.0.2.10")), Some(v4));
        assert_eq!(address(&Value::from("[2001:db8::1]")), Some(v6));
        assert_eq!(address(&Value::from("IP4 192.0.2.10")), Some(v4));
        assert_eq!(address(&Value::from("IP4,192.0.2.10")), Some(v4));
        assert_eq!(address(&Value::List(Vec::new())), None);
        assert_eq!(address(&Value::list(["?", "?"])), None);
        assert_eq!(address(&Value::from("")), None);
    }
}
