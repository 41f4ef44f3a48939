//! Bencode as the NG control protocol uses it: strings, 64-bit integers, lists, dictionaries.
//!
//! [`decode`] borrows its strings from the input and is total: nesting, item count and lengths are
//! bounded, so hostile input costs no more than its own size. Dictionaries keep the order and the
//! duplicates of their keys, since proxies send both. [`Dict::with`] builds messages:
//! `Dict::new().with("command", "ping").encode()`.

use std::borrow::Cow;

use thiserror::Error;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i-5e`.
    Int(i64),
    /// `4:spam`; any bytes.
    Str(Cow<'a, [u8]>),
    /// `l...e`.
    List(Vec<Self>),
    /// `d...e`.
    Dict(Dict<'a>),
}

impl<'a> Value<'a> {
    /// A list of anything that is a value.
    pub fn list<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// The integer, if it is one.
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Str(_) | Self::List(_) | Self::Dict(_) => None,
        }
    }

    /// The bytes, if it is a string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(bytes) => Some(bytes),
            Self::Int(_) | Self::List(_) | Self::Dict(_) => None,
        }
    }

    /// The text, if it is a string in UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            Self::Int(_) | Self::Str(_) | Self::Dict(_) => None,
        }
    }

    /// The dictionary, if it is one.
    pub const fn as_dict(&self) -> Option<&Dict<'a>> {
        match self {
            Self::Dict(dict) => Some(dict),
            Self::Int(_) | Self::Str(_) | Self::List(_) => None,
        }
    }

    /// Appends the encoded form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => {
                out.push(b'i');
                if *number < 0 {
                    out.push(b'-');
                }
                push_decimal(out, number.unsigned_abs());
                out.push(b'e');
            }
            Self::Str(bytes) => push_str(out, bytes),
            Self::List(items) => {
                out.push(b'l');
                for item in items {
                    item.encode_into(out);
                }
                out.push(b'e');
            }
            Self::Dict(dict) => dict.encode_into(out),
        }
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Int(number) => Value::Int(number),
            Self::Str(bytes) => Value::Str(Cow::Owned(bytes.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Dict(dict) => Value::Dict(dict.into_owned()),
        }
    }
}

/// A dictionary; keys keep their order and may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dict<'a> {
    entries: Vec<(Cow<'a, [u8]>, Value<'a>)>,
}

impl<'a> Dict<'a> {
    /// An empty dictionary.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The dictionary with one more entry at its end.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.push(key, value);
        self
    }

    /// The dictionary with one more entry if there is a value.
    #[must_use]
    pub fn with_some<V: Into<Value<'a>>>(
        self,
        key: impl Into<Cow<'a, str>>,
        value: Option<V>,
    ) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        let key = match key.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self.push_raw(key, value.into());
    }

    /// Adds an entry whose key may be any bytes.
    pub fn push_raw(&mut self, key: Cow<'a, [u8]>, value: Value<'a>) {
        self.entries.push((key, value));
    }

    /// The value of a key, spelt exactly so; the last one if the key occurs more than once.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let found = |(name, _): &&(Cow<'a, [u8]>, Value<'a>)| name.as_ref() == key.as_bytes();
        self.entries
            .iter()
            .rev()
            .find(found)
            .map(|(_, value)| value)
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Value<'a>)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_ref(), value))
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The encoded form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends the encoded form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(b'd');
        for (key, value) in &self.entries {
            push_str(out, key);
            value.encode_into(out);
        }
        out.push(b'e');
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Dict<'static> {
        let own = |(key, value): (Cow<'a, [u8]>, Value<'a>)| {
            (Cow::Owned(key.into_owned()), value.into_owned())
        };
        Dict {
            entries: self.entries.into_iter().map(own).collect(),
        }
    }
}

macro_rules! from_string {
    ($($type:ty => $variant:ident, $convert:expr;)*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                let convert: fn($type) -> Cow<'a, [u8]> = $convert;
                Self::$variant(convert(value))
            }
        }
    )*};
}

from_string! {
    &'a str => Str, |text| Cow::Borrowed(text.as_bytes());
    &'a [u8] => Str, Cow::Borrowed;
    String => Str, |text| Cow::Owned(text.into_bytes());
    Vec<u8> => Str, Cow::Owned;
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

macro_rules! from_number {
    ($($type:ty),*) => {$(
        impl From<$type> for Value<'_> {
            /// Saturates where the number does not fit 64 bits with a sign.
            fn from(number: $type) -> Self {
                Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
    )*};
}

from_number!(i64, i32, u64, usize, u32, u16, u8);

impl<'a> From<Dict<'a>> for Value<'a> {
    fn from(dict: Dict<'a>) -> Self {
        Self::Dict(dict)
    }
}

impl<'a> From<Vec<Self>> for Value<'a> {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

/// Why bytes are not bencode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ends within a value: on a stream, more may come.
    #[error("the input ends within a value")]
    Truncated,
    /// A byte that starts no value.
    #[error("byte {0:#04x} starts no value")]
    Unexpected(u8),
    /// Not a decimal number, or one beyond 64 bits.
    #[error("not a 64-bit integer")]
    Integer,
    /// Not a length, or one that no input can have.
    #[error("not a string length")]
    Length,
    /// A dictionary key that is not a string.
    #[error("a dictionary key is not a string")]
    Key,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deeply")]
    Depth,
    /// More than [`MAX_ITEMS`] values.
    #[error("too many items")]
    Items,
}

/// Decodes the value at the start of `input`; also gives the number of bytes it took.
pub fn decode(input: &[u8]) -> Result<(Value<'_>, usize), Error> {
    let mut decoder = Decoder {
        input,
        at: 0,
        items: 0,
    };
    let value = decoder.value(0)?;
    Ok((value, decoder.at))
}

/// Encodes a value.
pub fn encode(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode_into(&mut out);
    out
}

struct Decoder<'a> {
    input: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(Error::Items);
        }
        match self.peek()? {
            b'i' => self.integer(),
            b'0'..=b'9' => Ok(Value::Str(Cow::Borrowed(self.string()?))),
            b'l' | b'd' if depth >= MAX_DEPTH => Err(Error::Depth),
            b'l' => self.list(depth),
            b'd' => self.dict(depth),
            other => Err(Error::Unexpected(other)),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        self.at += 1;
        let mut items = Vec::new();
        while self.peek()? != b'e' {
            items.push(self.value(depth + 1)?);
        }
        self.at += 1;
        Ok(Value::List(items))
    }

    fn dict(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        self.at += 1;
        // Requests have about a dozen keys: one allocation for most of them.
        let mut entries = Vec::with_capacity(if depth == 0 { 16 } else { 0 });
        loop {
            match self.peek()? {
                b'e' => break,
                b'0'..=b'9' => {}
                _ => return Err(Error::Key),
            }
            let key = Cow::Borrowed(self.string()?);
            let value = self.value(depth + 1)?;
            entries.push((key, value));
        }
        self.at += 1;
        Ok(Value::Dict(Dict { entries }))
    }

    fn integer(&mut self) -> Result<Value<'a>, Error> {
        let rest = &self.input[self.at + 1..];
        // Sign, 19 digits and `e` are all that a 64-bit number needs.
        let window = &rest[..rest.len().min(MAX_INT_LEN + 1)];
        let Some(end) = window.iter().position(|&byte| byte == b'e') else {
            return Err(if window.len() > MAX_INT_LEN {
                Error::Integer
            } else {
                Error::Truncated
            });
        };
        let digits = window[..end].strip_prefix(b"-").unwrap_or(&window[..end]);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Error::Integer);
        }
        let number = std::str::from_utf8(&window[..end])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Error::Integer)?;
        self.at += end + 2;
        Ok(Value::Int(number))
    }

    /// The caller has seen a digit.
    fn string(&mut self) -> Result<&'a [u8], Error> {
        let mut len = 0_usize;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'0'..=b'9' => len = len * 10 + usize::from(byte - b'0'),
                b':' => break,
                _ => return Err(Error::Length),
            }
            if len > MAX_STRING {
                return Err(Error::Length);
            }
        }
        let end = self.at + len;
        let bytes = self.input.get(self.at..end).ok_or(Error::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn peek(&self) -> Result<u8, Error> {
        self.input.get(self.at).copied().ok_or(Error::Truncated)
    }
}

fn push_str(out: &mut Vec<u8>, bytes: &[u8]) {
    push_decimal(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789"[usize::try_from(number % 10).unwrap_or(0)];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Lists and dictionaries may be nested so deeply.
pub const MAX_DEPTH: usize = 16;
/// A message may have so many values in all; the largest known reply has a tenth of it.
pub const MAX_ITEMS: usize = 16_384;
/// No string may claim to be longer (octets); what it claims must be there, too.
pub const MAX_STRING: usize = 16 << 20;
const MAX_INT_LEN: usize = 20;

#[cfg(test)]
mod tests;
