//! Walks through a parsed TOML file and collects mistakes, so that one does not hide the others.
//!
//! A [`Table`] gives typed values by key, notes what is wrong with them, and in the end names the
//! keys that nobody asked for.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, de::IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;

/// A file on its way to the checked form.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            mistakes: RefCell::default(),
        }
    }

    /// Notes a mistake at this byte of the file.
    pub(super) fn note(&self, at: Option<usize>, key: String, text: String) {
        let before = at.and_then(|at| self.text.get(..at));
        let line = before.map(|before| before.matches('\n').count() + 1);
        self.mistakes.borrow_mut().push(Mistake { line, key, text });
    }

    /// All mistakes, by line; those without one come last.
    pub(super) fn finish(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        mistakes.dedup();
        mistakes
    }
}

/// One table of the file, or what stands for one that is absent.
#[derive(Debug)]
pub(super) struct Table<'w, 'a> {
    walk: &'w Walk<'a>,
    path: String,
    at: Option<usize>,
    entries: Option<&'w DeTable<'a>>,
    known: RefCell<Vec<&'static str>>,
}

impl<'w, 'a> Table<'w, 'a> {
    pub(super) fn root(walk: &'w Walk<'a>, entries: &'w DeTable<'a>) -> Self {
        Self::new(walk, String::new(), None, Some(entries))
    }

    fn new(
        walk: &'w Walk<'a>,
        path: String,
        at: Option<usize>,
        entries: Option<&'w DeTable<'a>>,
    ) -> Self {
        Self {
            walk,
            path,
            at,
            entries,
            known: RefCell::default(),
        }
    }

    /// Whether the table stands in the file.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether the key stands in the table, good or bad.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The same, and the key is none that nobody asked for.
    pub(super) fn has_known(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// A text that another place complains about if it is none.
    pub(super) fn quiet(&self, key: &str) -> Option<&'w str> {
        let (_, value) = self.find(key)?;
        value.get_ref().as_str()
    }

    /// Notes a mistake at a key, or at the table if the key is absent.
    pub(super) fn mistake(&self, key: &str, text: impl Into<String>) {
        let at = self.find(key).map(|(at, _)| at).or(self.at);
        let path = match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        };
        self.walk.note(at, path, text.into());
    }

    /// Names keys that nobody has asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.entries.into_iter().flatten() {
            if !known.contains(&key.get_ref().as_ref()) {
                let text = format!("unknown key; here can stand: {}", known.join(", "));
                let key: String = key.get_ref().chars().take(64).collect();
                self.mistake(&key, text);
            }
        }
    }

    /// A sub-table; an absent one gives nothing but `None`s.
    pub(super) fn table(&self, key: &'static str) -> Self {
        let path = key.to_owned();
        match self.value(key) {
            None => Self::new(self.walk, path, None, None),
            Some(value) => {
                let table = value.get_ref().as_table();
                if table.is_none() {
                    self.wrong(key, value, &format!("a table: [{key}]"));
                }
                let at = table.map(|_| value.span().start);
                Self::new(self.walk, path, at, table)
            }
        }
    }

    /// An array of tables: `[[key]]`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, value, &format!("tables with two brackets: [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong(key, item, &format!("tables with two brackets: [[{key}]]"));
                continue;
            };
            let at = Some(item.span().start);
            let path = format!("{key}[{place}]");
            tables.push(Self::new(self.walk, path, at, Some(table)));
        }
        tables
    }

    /// A text.
    pub(super) fn string(&self, key: &'static str) -> Option<&'w str> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(key, value, "a text in quotes");
        }
        text
    }

    /// A text that must parse.
    pub(super) fn parse<T: FromStr<Err: ToString>>(&self, key: &'static str) -> Option<T> {
        let text = self.string(key)?;
        let parsed = text.parse::<T>();
        parsed
            .map_err(|error| self.mistake(key, error.to_string()))
            .ok()
    }

    /// One of the words that an enum knows.
    pub(super) fn word<T: for<'de> Deserialize<'de>>(&self, key: &'static str) -> Option<T> {
        let text = self.string(key)?;
        word(text).map_err(|error| self.mistake(key, error)).ok()
    }

    /// A list of texts, or one text alone; what does not parse is noted and left out.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let items = match value.get_ref().as_array() {
            Some(items) => items.iter().collect(),
            None if value.get_ref().is_str() => vec![value],
            None => {
                self.wrong(key, value, "a list of texts");
                return None;
            }
        };
        let mut list = Vec::new();
        for item in items {
            match item.get_ref().as_str().map(&parse) {
                Some(Ok(parsed)) => list.push(parsed),
                Some(Err(error)) => self.mistake(key, error),
                None => self.wrong(key, item, "a list of texts"),
            }
        }
        Some(list)
    }

    /// A list of words that an enum knows.
    pub(super) fn words<T: for<'de> Deserialize<'de>>(&self, key: &'static str) -> Option<Vec<T>> {
        self.list(key, word)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong(key, value, "true or false");
        }
        boolean
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let number = integer(value.get_ref()).filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.wrong(key, value, &format!("a whole number from {from} to {to}"));
        }
        number
    }

    /// A whole number within a range that fits a `usize`.
    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        let number = self.integer(key, range)?;
        usize::try_from(number).ok()
    }

    /// A duration: seconds as a number, or a text such as `"250ms"`, `"30s"`, `"5m"`, `"1h"`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let found = match value.get_ref().as_str() {
            Some(text) => duration(text),
            None => integer(value.get_ref()).map(Duration::from_secs),
        };
        let found = found.filter(|found| range.contains(found));
        if found.is_none() {
            let (from, to) = range.into_inner();
            let text = format!("a duration from {from:?} to {to:?}, as 30 (seconds) or \"250ms\"");
            self.wrong(key, value, &text);
        }
        found
    }

    /// A range of UDP ports that has room for one even and odd pair at least.
    pub(super) fn ports(&self, key: &'static str) -> Option<(u16, u16)> {
        let value = self.value(key)?;
        let port = |item: Option<&Spanned<DeValue<'_>>>| {
            let number = integer(item?.get_ref())?;
            u16::try_from(number).ok().filter(|port| *port > 0)
        };
        let items = value.get_ref().as_array().filter(|items| items.len() == 2);
        let ends = items.and_then(|items| Some((port(items.first())?, port(items.get(1))?)));
        let Some((first, last)) = ends else {
            self.wrong(key, value, "two ports, first and last: [30000, 40000]");
            return None;
        };
        if u32::from(first).next_multiple_of(2) + 1 > u32::from(last) {
            let text =
                format!("{first} to {last} has no room for an even port and the odd one after it");
            self.mistake(key, text);
            return None;
        }
        Some((first, last))
    }

    fn value(&self, key: &'static str) -> Option<&'w Spanned<DeValue<'a>>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.find(key).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Option<(usize, &'w Spanned<DeValue<'a>>)> {
        let mut entries = self.entries?.iter();
        let (name, value) = entries.find(|(name, _)| name.get_ref() == key)?;
        Some((name.span().start, value))
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let given = self.walk.text.get(value.span()).unwrap_or_default();
        let given: String = given.chars().take_while(|c| *c != '\n').take(48).collect();
        self.mistake(key, format!("{given} is wrong here: expected {expected}"));
    }
}

fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    let text: String = text.chars().take(64).collect();
    let from: StrDeserializer<'_, ValueError> = text.as_str().into_deserializer();
    T::deserialize(from).map_err(|error| error.to_string())
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        _ => None,
    }
}
