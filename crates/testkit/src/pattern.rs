//! Expected output with placeholders for what changes from run to run.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `[AGO]` | `3 seconds ago`, `About a minute ago`, `Less than a second ago` |
//! | `[FOR]` | the same without `ago`, as in `Up [FOR]` |
//! | `[ID]` | 12 hexadecimal digits |
//! | `[ID64]` | 64 hexadecimal digits |
//! | `[TIME]` | an RFC 3339 time |
//! | `[SIZE]` | `0B`, `4.33MB` |
//! | `[N]` | a number |
//! | `[..]` | anything within the line |
//!
//! A run of blanks matches any other run of blanks, because column widths follow what the placeholders hide.

/// Whether the whole of `text` matches `pattern`. Blanks and newlines at the end of either do not count.
pub fn matches(pattern: &str, text: &str) -> bool {
    matches_here(pattern.trim_end(), text.trim_end())
}

/// Whether `pattern` matches some part of `text`.
pub fn contained(pattern: &str, text: &str) -> bool {
    let pattern = pattern.trim_end();
    text.char_indices().any(|(at, _)| matches_here(&format!("{pattern}[REST]"), &text[at..]))
        || (pattern.is_empty() && text.is_empty())
}

fn matches_here(pattern: &str, text: &str) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    for (name, ends) in PLACEHOLDERS {
        if let Some(rest) = pattern.strip_prefix(name) {
            return ends(text).into_iter().any(|end| matches_here(rest, &text[end..]));
        }
    }
    if pattern.starts_with(' ') {
        return text.starts_with(' ')
            && matches_here(pattern.trim_start_matches(' '), text.trim_start_matches(' '));
    }
    let (mut wanted, mut got) = (pattern.chars(), text.chars());
    wanted.next() == got.next() && matches_here(wanted.as_str(), got.as_str())
}

/// Name, and the places in a text where the placeholder that starts there may end.
type Placeholder = (&'static str, fn(&str) -> Vec<usize>);

const PLACEHOLDERS: [Placeholder; 9] = [
    ("[AGO]", |text| duration_ends(text).into_iter().filter_map(|end| after(text, end, " ago")).collect()),
    ("[FOR]", duration_ends),
    ("[ID64]", |text| exactly(text, 64)),
    ("[ID]", |text| exactly(text, 12)),
    ("[TIME]", time_ends),
    ("[SIZE]", size_ends),
    ("[N]", |text| Vec::from_iter(run(text, |c| c.is_ascii_digit()))),
    ("[..]", |text| {
        let line = text.find('\n').unwrap_or(text.len());
        (0..=line).filter(|end| text.is_char_boundary(*end)).collect()
    }),
    ("[REST]", |text| vec![text.len()]),
];

fn after(text: &str, at: usize, suffix: &str) -> Option<usize> {
    text[at..].starts_with(suffix).then_some(at + suffix.len())
}

/// Length of the leading characters that `wanted` accepts; none if there are none.
fn run(text: &str, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    (end > 0).then_some(end)
}

fn exactly(text: &str, digits: usize) -> Vec<usize> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    run(text, hex).filter(|end| *end == digits).into_iter().collect()
}

fn duration_ends(text: &str) -> Vec<usize> {
    for fixed in ["Less than a second", "1 second", "About a minute", "About an hour"] {
        if let Some(rest) = text.strip_prefix(fixed) {
            return vec![text.len() - rest.len()];
        }
    }
    let units = ["seconds", "minutes", "hours", "days", "weeks", "months", "years"];
    run(text, |c| c.is_ascii_digit())
        .and_then(|end| after(text, end, " "))
        .and_then(|end| units.iter().find_map(|unit| after(text, end, unit)))
        .into_iter()
        .collect()
}

fn time_ends(text: &str) -> Vec<usize> {
    let end = run(text, |c| c.is_ascii_digit() || "-:.TZ+".contains(c)).unwrap_or(0);
    let shape: String =
        text[..end].chars().take(19).map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
    if shape == "dddd-dd-ddTdd:dd:dd" { vec![end] } else { Vec::new() }
}

fn size_ends(text: &str) -> Vec<usize> {
    let units = ["B", "kB", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB"];
    let number = run(text, |c| c.is_ascii_digit() || c == '.');
    number.map(|end| units.iter().filter_map(|unit| after(text, end, unit)).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_match_what_they_stand_for_and_nothing_else() {
        let table = [
            ("job: Exited (7) [AGO]", "job: Exited (7) Less than a second ago\n", true),
            ("job: Exited (7) [AGO]", "job: Exited (7) 3 seconds ago", true),
            ("job: Exited (7) [AGO]", "job: Exited (7) About an hour ago", true),
            ("job: Exited (7) [AGO]", "job: Exited (7)", false),
            ("Up [FOR]", "Up 2 minutes", true),
            ("Up [FOR]", "Up 2 minutes (healthy)", false),
            ("[ID]", "0123456789ab", true),
            ("[ID]", "0123456789abc", false),
            ("sha256:[ID64]", &format!("sha256:{}", "a".repeat(64)), true),
            ("[ID]   busybox   [SIZE]", "0123456789ab busybox 4.33MB", true),
            ("[TIME] hi", "2026-11-24T14:31:00.123456789Z hi", true),
            ("[TIME] hi", "yesterday hi", false),
            ("a [..] z", "a b c z", true),
            ("a [..] z", "a b\nc z", false),
            ("pid [N].", "pid 4711.", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, text, wanted) in table {
            assert_eq!(matches(pattern, text), wanted, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn a_contained_pattern_may_stand_anywhere() {
        assert!(contained("no container named [..]", "error: no container named nope\n"));
        assert!(contained("Conflict", "docker: Conflict. The name"));
        assert!(!contained("Conflict", "fine"));
    }
}
