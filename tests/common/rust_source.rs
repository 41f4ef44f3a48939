//! Just enough of Rust's grammar to find which modules a source file uses.

#![allow(dead_code, reason = "each test target uses only some of these")]

/// An identifier or a single character, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The text.
    pub(crate) text: String,
    /// Line in the file, from 1.
    pub(crate) line: usize,
}

/// A path into the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// First segment after the crate's root.
    pub(crate) module: String,
    /// Second segment, if there is one.
    pub(crate) part: Option<String>,
    /// Line of the first segment.
    pub(crate) line: usize,
}

/// Splits a source text; comments, strings and character literals are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let end = token_end(bytes, at);
        let text = &source[at..end];
        let first = bytes[at];
        let opaque = text.len() > 1 && (first == b'/' || first == b'"' || first == b'\'')
            || text.ends_with(['"', '#']) && text.contains('"');
        if !opaque && !first.is_ascii_whitespace() {
            found.push(Token {
                text: text.to_owned(),
                line,
            });
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

/// Every path that starts at `crate` or climbs with `super`, seen from the module `path`.
pub(crate) fn uses(source: &str, path: &[String]) -> Vec<Use> {
    let tokens = tokens(source);
    let text = |at: usize| {
        tokens
            .get(at)
            .map_or("", |token: &Token| token.text.as_str())
    };
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.last().is_some_and(|(_, opened)| *opened == depth) {
                    inline.pop();
                }
            }
            "mod" if text(at + 2) == "{" => inline.push((text(at + 1).to_owned(), depth)),
            "crate" if is_path(&tokens, at) => {
                tree(&tokens, at + 3, &[], &mut found);
            }
            "super" if is_path(&tokens, at) => {
                let mut climbed = 1;
                while text(at + 3) == "super" && is_path(&tokens, at + 3) {
                    climbed += 1;
                    at += 3;
                }
                let inner = inline.iter().map(|(name, _)| name.clone());
                let mut base: Vec<String> = path.iter().cloned().chain(inner).collect();
                base.truncate(base.len().saturating_sub(climbed));
                tree(&tokens, at + 3, &base, &mut found);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether `::` follows the token.
fn is_path(tokens: &[Token], at: usize) -> bool {
    tokens
        .get(at + 1..at + 3)
        .is_some_and(|two| two.iter().all(|token| token.text == ":"))
}

/// Notes the first two segments below the root of a path, or of each path of a group in braces.
/// Returns where the path ends.
fn tree(tokens: &[Token], at: usize, base: &[String], found: &mut Vec<Use>) -> usize {
    let Some(token) = tokens.get(at) else {
        return at;
    };
    if token.text == "{" {
        let mut at = at + 1;
        while tokens.get(at).is_some_and(|token| token.text != "}") {
            let end = tree(tokens, at, base, found);
            // `as name` and commas are stepped over one token at a time.
            at = end.max(at + 1);
            while tokens
                .get(at)
                .is_some_and(|token| token.text != "," && token.text != "}")
            {
                at += 1;
            }
            if tokens.get(at).is_some_and(|token| token.text == ",") {
                at += 1;
            }
        }
        return at + 1;
    }
    let mut path = base.to_vec();
    if token.text != "self" {
        path.push(token.text.clone());
    }
    if path.len() < 2 && is_path(tokens, at) {
        return tree(tokens, at + 3, &path, found);
    }
    let mut rest = path.into_iter();
    if let Some(module) = rest.next() {
        found.push(Use {
            module,
            part: rest.next(),
            line: token.line,
        });
    }
    skip_path(tokens, at)
}

/// Where a path ends whose beginning is known already.
fn skip_path(tokens: &[Token], mut at: usize) -> usize {
    while is_path(tokens, at) {
        at += 3;
    }
    if tokens.get(at).is_none_or(|token| token.text != "{") {
        return at + 1;
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// End of the token, blank, comment or literal that starts at `at`; always past `at`.
fn token_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word = |start: usize| {
        let is_word =
            |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || !byte.is_ascii();
        start + bytes[start..].iter().take_while(is_word).count()
    };
    match rest {
        [b'/', b'/', ..] => at + rest.iter().take_while(|byte| **byte != b'\n').count(),
        [b'/', b'*', ..] => block_comment_end(bytes, at),
        [b'r', b'"' | b'#', ..] => raw_string_end(bytes, at, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] => raw_string_end(bytes, at, 2),
        [b'"', ..] => quoted_end(bytes, at),
        [b'b' | b'c', b'"', ..] => quoted_end(bytes, at + 1),
        // A character literal; what is left is a lifetime.
        [b'\'', b'\\', ..] => quoted_end(bytes, at),
        [b'\'', first, ..] => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xE0 => 2,
                0xE0..0xF0 => 3,
                0xF0.. => 4,
            };
            if bytes.get(at + 1 + width) == Some(&b'\'') {
                at + width + 2
            } else {
                word(at + 1)
            }
        }
        [first, ..] if first.is_ascii_whitespace() => {
            at + rest
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count()
        }
        _ => word(at).max(at + 1),
    }
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// `prefix` letters stand before the hashes. `r#name` is an identifier.
fn raw_string_end(bytes: &[u8], at: usize, prefix: usize) -> usize {
    let hashes = bytes[at + prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let open = at + prefix + hashes;
    if bytes.get(open) != Some(&b'"') {
        return open;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = &bytes[open + 1..];
    let length = inside
        .windows(close.len())
        .position(|window| window == close);
    length.map_or(bytes.len(), |length| open + 1 + length + close.len())
}

/// End of a literal in single or double quotes, the first of which is at `at`.
fn quoted_end(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let mut index = at + 1;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => index += 1,
            byte if byte == quote => return index + 1,
            _ => {}
        }
        index += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::{tokens, uses};

    fn found(source: &str, path: &[&str]) -> Vec<String> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let name = |found: super::Use| match found.part {
            Some(part) => format!("{}::{part}@{}", found.module, found.line),
            None => format!("{}@{}", found.module, found.line),
        };
        uses(source, &path).into_iter().map(name).collect()
    }

    #[test]
    fn finds_paths_and_groups() {
        assert_eq!(
            found("use crate::wire::rtp::X;", &["plane"]),
            ["wire::rtp@1"]
        );
        assert_eq!(found("use crate::wire;", &["plane"]), ["wire@1"]);
        assert_eq!(
            found(
                "use crate::{sys::{clock, mmsg::{A, B}}, wire::rtp as r,\n cli};",
                &["x"]
            ),
            ["sys::clock@1", "sys::mmsg@1", "wire::rtp@1", "cli@2"]
        );
        assert_eq!(found("fn f(x: crate::cli::X) {}", &["wire"]), ["cli::X@1"]);
    }

    #[test]
    fn climbs_out_of_files_and_inline_modules() {
        assert_eq!(found("use super::rtp;", &["wire", "rtcp"]), ["wire::rtp@1"]);
        assert_eq!(
            found("use super::super::cli::X;", &["wire", "rtcp"]),
            ["cli::X@1"]
        );
        let inline = "mod tests { use super::super::rtp; use super::Own; }\nuse super::rtcp;";
        assert_eq!(
            found(inline, &["wire", "mux"]),
            ["wire::rtp@1", "wire::mux@1", "wire::rtcp@2"]
        );
    }

    #[test]
    fn comments_and_literals_do_not_count() {
        let source = "/// [`crate::cli`]\n/* crate::a /* crate::b */ */ \
            const A: &str = \"crate::cli \\\" crate::x\"; const B: &str = r#\"crate::cli\"#; \
            const C: char = '\"'; fn f<'a>(x: &'a str, r#mod: u8) { crate::wire::f('\\'') }";
        assert_eq!(found(source, &["sys"]), ["wire::f@2"]);
        assert!(tokens("b\"unsafe\" // unsafe\n'u'").is_empty());
    }
}
