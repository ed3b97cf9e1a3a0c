//! The text of `--help`: the layout that Docker's users know, in columns of the terminal's width.

use unicode_width::UnicodeWidthStr;

use super::{Flag, Tables};

/// Columns when the output is no terminal.
pub(crate) const DEFAULT_WIDTH: usize = 80;
/// Narrower than this, descriptions go on lines of their own.
const NARROW: usize = 24;
/// Indentation of such lines.
const NARROW_INDENT: usize = 16;

/// The lines of a flag table, each ending in a newline; empty when it has no flag to show.
pub(crate) fn flags<A: Default + 'static>(tables: Tables<A>, width: usize) -> String {
    let values = A::default();
    let all = || tables.iter().copied().flatten();
    let mut rows: Vec<(&str, String, String)> = all()
        .filter(|flag| !flag.help.is_empty())
        .map(|flag| (flag.long, left(flag), right(flag, &values)))
        .collect();
    let own_h = all().any(|flag| flag.short == Some('h'));
    if own_h {
        rows.push(("help", "      --help".to_owned(), "Print usage".to_owned()));
    }
    rows.sort_by_key(|(long, _, _)| *long);
    let indent = rows.iter().map(|(_, left, _)| left.width() + 3).max().unwrap_or(0);
    rows.iter().map(|(_, left, right)| line(left, right, indent, width)).collect()
}

fn left<A>(flag: &Flag<A>) -> String {
    let letter = match flag.short {
        Some(short) => format!("  -{short}, "),
        None => "      ".to_owned(),
    };
    let space = if flag.kind.is_empty() { "" } else { " " };
    format!("{letter}--{}{space}{}", flag.long, flag.kind)
}

fn right<A>(flag: &Flag<A>, values: &A) -> String {
    match (flag.shown)(values) {
        Some(shown) => format!("{} (default {shown})", flag.help),
        None => flag.help.to_owned(),
    }
}

fn line(left: &str, right: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent);
    if room < NARROW {
        let text = wrap(right, width.saturating_sub(NARROW_INDENT).max(NARROW), NARROW_INDENT);
        return format!("{left}\n{:NARROW_INDENT$}{text}\n", "");
    }
    let fill = indent.saturating_sub(left.width());
    format!("{left}{:fill$}{}\n", "", wrap(right, room, indent))
}

/// `text` broken at spaces into lines of at most `room` columns; all but the first are indented.
fn wrap(text: &str, room: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::flag;

    #[derive(Default)]
    struct Args {
        all: bool,
        format: String,
        last: Option<i64>,
        hidden: bool,
    }

    const FLAGS: &[Flag<Args>] = &[
        flag!(Args, last, 'n', "last", "Show the last so many"),
        flag!(Args, all, 'a', "all", "Show all"),
        flag!(Args, format, "format", "One:\ntwo words that are so long that they go on below"),
        flag!(Args, hidden, "hidden", ""),
    ];

    #[test]
    fn flags_are_sorted_aligned_and_wrapped() {
        let want = "  -a, --all             Show all
      --format string   One:
                        two words that are so
                        long that they go on
                        below
  -n, --last int        Show the last so many
";
        assert_eq!(flags(&[FLAGS], 48), want);
    }
}
