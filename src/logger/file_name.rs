//! File names out of call-ids, which anybody can choose.

/// A file name (no separator, no leading dot, at most 150 octets, ASCII) that shows the call-id as
/// far as it is harmless; when something was left out, a hash of the call-id keeps it unique.
pub(super) fn recording(call_id: &str, mirror: u64, copy: u32) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.@+=".contains(c);
    let mut name: String = call_id
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if harmless(c) { c } else { '_' })
        .collect();
    if name.starts_with(['.', '-']) {
        name.replace_range(..1, "_");
    }
    if name != call_id || name.is_empty() {
        let hash = blake3::hash(call_id.as_bytes()).to_hex();
        name = format!("{name}~{}", hash.get(..10).unwrap_or_default());
    }
    match copy {
        0 => format!("{name}-{mirror}.pcapng"),
        copy => format!("{name}-{mirror}.{copy}.pcapng"),
    }
}

/// Characters of the call-id that are shown.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_call_ids_stay_as_they_are() {
        assert_eq!(
            recording("a84b4c76e66710@pc33.example", 3, 0),
            "a84b4c76e66710@pc33.example-3.pcapng"
        );
        assert_eq!(recording("a", 3, 2), "a-3.2.pcapng");
    }

    #[test]
    fn hostile_call_ids_are_harmless_and_stay_different() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let hostile = [
            "",
            ".",
            "..",
            "../../x",
            "/etc/passwd",
            "a/b",
            "a_b",
            "a\0b",
            "a\nb",
            "-rf",
            "ä",
            "ö",
            ".hidden",
            long.as_str(),
            longer.as_str(),
            "a b",
            "\u{202e}gpj",
        ];
        let mut names: Vec<_> = hostile
            .iter()
            .map(|id| recording(id, u64::MAX, 99))
            .collect();
        for name in &names {
            assert!(name.len() <= 150 && name.is_ascii(), "{name}");
            assert!(!name.contains(['/', '\0', '\n', ' ']) && !name.starts_with(['.', '-']));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), hostile.len());
    }
}
