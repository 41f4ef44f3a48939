//! The `rtpp-flags` string: the proxy's raw flag text, for us to take apart (NG reference 6).
//!
//! Words separated by blanks: `key`, `key=value`, `key=[...]`, where brackets hold such words again.

use std::borrow::Cow;

use crate::wire::bencode::{Dict, MAX_DEPTH, Value};

/// One word.
#[derive(Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// A flag.
    Flag(&'a str),
    /// A key with its value.
    Key(&'a str, Value<'a>),
}

/// Splits the text. Brackets that do not match end the reading; what came before stays.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut rest = text;
    words_until_bracket(&mut rest, 0)
}

/// Reads up to a closing bracket (which it takes) or the end.
fn words_until_bracket<'a>(rest: &mut &'a str, depth: usize) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            return words;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | ']'))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=') else {
            if word.is_empty() {
                return words;
            }
            words.push(Word::Flag(word));
            *rest = after;
            continue;
        };
        *rest = value;
        let value = match value.strip_prefix('[') {
            Some(inside) if depth < MAX_DEPTH => {
                *rest = inside;
                collected(words_until_bracket(rest, depth + 1))
            }
            Some(_) => return words,
            None => plain_value(rest, depth),
        };
        if !word.is_empty() {
            words.push(Word::Key(word, value));
        }
    }
}

/// Text up to a blank; a closing bracket ends it only where one is open.
fn plain_value<'a>(rest: &mut &'a str, depth: usize) -> Value<'a> {
    let end = rest
        .find(|c: char| c.is_whitespace() || (c == ']' && depth > 0))
        .unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    *rest = after;
    Value::from(value)
}

/// A list if all words are plain, else a dictionary.
fn collected(words: Vec<Word<'_>>) -> Value<'_> {
    if words.iter().all(|word| matches!(word, Word::Flag(_))) {
        let plain = words.into_iter().filter_map(|word| match word {
            Word::Flag(text) => Some(text),
            Word::Key(..) => None,
        });
        return Value::list(plain);
    }
    let mut dict = Dict::new();
    for word in words {
        let (key, value) = match word {
            Word::Flag(key) => (key, Value::from("")),
            Word::Key(key, value) => (key, value),
        };
        dict.push_raw(Cow::Borrowed(key.as_bytes()), value);
    }
    Value::Dict(dict)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_keys_and_nested_lists() {
        let text = "trust-address  ICE=remove direction=[core partner] \
                    codec=[strip=[PCMU PCMA] transcode=opus] address=[::1] replace-origin";
        let codec = Dict::new()
            .with("strip", Value::list(["PCMU", "PCMA"]))
            .with("transcode", "opus");
        assert_eq!(
            words(text),
            [
                Word::Flag("trust-address"),
                Word::Key("ICE", Value::from("remove")),
                Word::Key("direction", Value::list(["core", "partner"])),
                Word::Key("codec", Value::from(codec)),
                Word::Key("address", Value::list(["::1"])),
                Word::Flag("replace-origin"),
            ]
        );
    }

    #[test]
    fn broken_text_gives_what_is_readable() {
        assert!(words("").is_empty());
        assert_eq!(words("a=[b"), [Word::Key("a", Value::list(["b"]))]);
        assert_eq!(words("a] b"), [Word::Flag("a"),]);
        assert_eq!(words("=x a"), [Word::Flag("a")]);
        assert!(words(&"a=[".repeat(20_000)).len() <= 1);
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-c =\\[\\]]{0,60}") {
            let _ = words(&text);
        }
    }
}
