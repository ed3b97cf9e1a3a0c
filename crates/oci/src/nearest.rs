//! The name that somebody probably meant: the closest one to what was typed, if any is close.

/// Longest name that is compared, in characters: nobody has typed a longer one.
const LONGEST: usize = 64;

/// The candidate that needs the fewest typing errors to become `word`; none when that would be more than one in three
/// characters, or when `word` is too short to say anything.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).collect();
    if !(3..=LONGEST).contains(&word.len()) {
        return None;
    }
    let close = |candidate: &'a str| {
        let letters: Vec<char> = candidate.chars().take(LONGEST + 1).collect();
        let allowed = word.len().min(letters.len()) / 3;
        if letters.len() > LONGEST || letters.len().abs_diff(word.len()) > allowed {
            return None;
        }
        let errors = typing_errors(&word, &letters);
        (errors <= allowed).then_some((errors, candidate))
    };
    candidates.into_iter().filter_map(close).min().map(|(_, candidate)| candidate)
}

/// ` (did you mean "web"?)`, or nothing: what an error text that names something unknown ends with.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// Letters added, left out, replaced, or swapped with their neighbour (optimal string alignment).
fn typing_errors(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, wanted) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != wanted);
            let mut least = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *wanted;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_found_and_nothing_else() {
        let names = ["web", "webserver", "database", "db", "busybox:latest", "dct-late"];
        for (typed, meant) in [
            ("webservr", Some("webserver")),
            ("wbeserver", Some("webserver")),
            ("datbaase", Some("database")),
            ("wbe", Some("web")),
            ("busybx:latest", Some("busybox:latest")),
            ("dba", None),
            ("d", None),
            ("dct-none", None),
            ("nothing-like-it", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(65), ["x"]), None);
        assert_eq!(nearest("xxxx", [&*"x".repeat(1000)]), None);
    }

    #[test]
    fn errors_are_counted_as_a_person_would() {
        for (from, to, count) in
            [("", "", 0), ("ab", "ba", 1), ("abc", "abd", 1), ("abc", "ab", 1), ("kitten", "sitting", 3)]
        {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(typing_errors(&letters(from), &letters(to)), count, "{from} {to}");
        }
    }
}
