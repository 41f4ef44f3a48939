//! Aligned columns, and texts that are safe to print: much of what a relay shows was written by
//! strangers.

/// Rows of texts, to be aligned.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which stand to the right.
    right: &'static [usize],
}

impl Table {
    /// A table with these headings; `right` are the columns of numbers.
    pub(super) fn new(heading: &[&str], right: &'static [usize]) -> Self {
        let heading = heading.iter().map(ToString::to_string).collect();
        Self {
            rows: vec![heading],
            right,
        }
    }

    /// Adds a row; every text is made printable.
    pub(super) fn row(&mut self, cells: &[&str]) {
        self.rows
            .push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The table as text, each line beginning with `indent`.
    pub(super) fn text(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(width_of(cell));
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(width_of(cell)));
                match self.right.contains(&at) {
                    true => line.push_str(&format!("{pad}{cell}")),
                    false => line.push_str(&format!("{cell}{pad}")),
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns that a text takes; right for nearly all that call-ids and identities are made of.
fn width_of(text: &str) -> usize {
    text.chars().count()
}

/// The text without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let safe = |c: char| {
        // Controls, and what turns the direction of writing.
        let bad = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if bad { '\u{fffd}' } else { c }
    };
    text.chars().map(safe).collect()
}

/// A span of time in the two largest units: `1h 02m`, `3m 20s`, `12s`.
pub(super) fn span(secs: u64) -> String {
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", secs % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_commands_the_terminal() {
        let mut table = Table::new(&["CALL", "PACKETS", "TO"], &[1]);
        table.row(&["a", "12345678", "hq"]);
        table.row(&["\u{1b}[2Jb\nc\u{202e}", "7", ""]);
        let text = table.text(" ");
        let expected = " CALL       PACKETS  TO\n a         12345678  hq\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("b\u{fffd}c\u{fffd}         7\n"), "{text:?}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn spans_are_short() {
        let spans = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 900_000].map(span);
        let short = [
            "0s", "59s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 00h", "10d 10h",
        ];
        assert_eq!(spans, short);
    }
}
