//! Go's `path.Match`: `*` and `?` never cross a slash, `[a-z]` and `[^a-z]`, `\` escapes.

/// Whether `text` as a whole matches `pattern`; a malformed pattern matches nothing.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where to go on after a mismatch: behind the last star, and one character further in the text.
    let (mut at, mut to) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if at < pattern.len() && pattern[at] == '*' {
            star = Some((at + 1, to));
            at += 1;
            continue;
        }
        if to == text.len() && at == pattern.len() {
            return true;
        }
        let step =
            if to < text.len() && at < pattern.len() { one(&pattern[at..], text[to]) } else { Some(0) };
        match step {
            None => return false,
            Some(length) if length > 0 => {
                at += length;
                to += 1;
            }
            Some(_) => match star {
                Some((after, from)) if from < text.len() && text[from] != '/' => {
                    star = Some((after, from + 1));
                    (at, to) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// Whether a pattern can match anything at all: its classes are closed, and its escapes escape something.
pub(crate) fn is_well_formed(pattern: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < pattern.len() {
        at += match pattern[at] {
            '[' => match class_length(&pattern[at..]) {
                Some(length) => length,
                None => return false,
            },
            '\\' if at + 1 == pattern.len() => return false,
            '\\' => 2,
            _ => 1,
        };
    }
    true
}

/// Length of the pattern's first element if it matches `character`, 0 if it does not, none when it is malformed.
fn one(pattern: &[char], character: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(usize::from(character != '/')),
        '[' => class(pattern, character),
        '\\' => pattern.get(1).map(|literal| if *literal == character { 2 } else { 0 }),
        literal => Some(usize::from(literal == character)),
    }
}

fn class(pattern: &[char], character: char) -> Option<usize> {
    let (matched, length) = read_class(pattern, character)?;
    Some(if matched { length } else { 0 })
}

fn class_length(pattern: &[char]) -> Option<usize> {
    read_class(pattern, ' ').map(|(_, length)| length)
}

/// Whether a class has a character, and how long the class is.
fn read_class(pattern: &[char], character: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'^');
    let mut at = if negated { 2 } else { 1 };
    let (mut found, mut first) = (false, true);
    loop {
        match pattern.get(at)? {
            ']' if !first => break,
            _ => {}
        }
        first = false;
        let (low, length) = member(&pattern[at..])?;
        at += length;
        let high = if pattern.get(at) == Some(&'-') {
            let (high, length) = member(&pattern[at + 1..])?;
            at += 1 + length;
            high
        } else {
            low
        };
        found |= low <= character && character <= high;
    }
    Some((found != negated, at + 1))
}

fn member(pattern: &[char]) -> Option<(char, usize)> {
    match pattern.first()? {
        '\\' => pattern.get(1).map(|literal| (*literal, 2)),
        '-' | ']' => None,
        literal => Some((*literal, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*", "team/web", false),
            ("*/*", "team/web:1", true),
            ("b?x", "box", true),
            ("b?x", "b/x", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[", "[", false),
            ("[]a]", "]", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("**", "abc", true),
            ("", "", true),
            ("*x", "xxx", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
