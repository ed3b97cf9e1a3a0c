//! Lines of a Dockerfile: comments left out, continued lines joined.

/// The lines that hold instructions.
pub(super) fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut continued = false;
    for line in text.lines() {
        let is_comment = line.trim_start().starts_with('#');
        // Comments and blank lines may stand between the parts of a continued line.
        if is_comment || (continued && line.trim().is_empty()) {
            continue;
        }
        let line = if continued { line } else { line.trim_start() };
        // A backslash at the end, blanks after it aside.
        match line.trim_end().strip_suffix('\\') {
            Some(start) => {
                current.push_str(start);
                continued = true;
            }
            None => {
                current.push_str(line);
                continued = false;
                push(&mut lines, &mut current);
            }
        }
    }
    push(&mut lines, &mut current);
    lines
}

fn push(lines: &mut Vec<String>, current: &mut String) {
    let line = std::mem::take(current);
    let line = line.trim();
    if !line.is_empty() {
        lines.push(line.to_owned());
    }
}
