//! Licences of all dependencies against the allow list of `deny.toml`.

use std::fs;

use crate::tree::Repository;

/// Packages whose licence expression cannot be met with what `deny.toml` allows.
pub(crate) fn are_allowed(repository: &Repository) -> Vec<String> {
    let config = fs::read_to_string(repository.root.join("deny.toml")).unwrap_or_default();
    let allowed = allow_list(&config);
    let foreign = repository.packages.values().filter(|package| !package.ours);
    foreign
        .filter_map(|package| match &package.licence {
            Some(licence) if is_met(licence, &allowed) => None,
            Some(licence) => Some(format!("{}: {licence}", package.name)),
            None => Some(format!("{} names no licence", package.name)),
        })
        .collect()
}

/// The quoted strings of `allow = [ … ]`.
fn allow_list(config: &str) -> Vec<&str> {
    let list = config.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map(|(list, _)| list.split('"').skip(1).step_by(2).collect()).unwrap_or_default()
}

/// Whether a choice within the SPDX expression is allowed. `A/B` is the old way to write `A OR B`.
fn is_met(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed)
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = all_of(rest, allowed);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = one(rest, allowed);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = any_of(rest, allowed);
            *rest = rest.get(1..).unwrap_or_default();
            met
        }
        [licence, "WITH", exception, tail @ ..] => {
            *rest = tail;
            allowed.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, tail @ ..] => {
            *rest = tail;
            allowed.contains(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_a_choice_that_is_allowed_as_a_whole() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        let table = [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(GPL-2.0 OR Apache-2.0) AND Unicode-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("Apache-2.0", false),
            ("", false),
        ];
        for (expression, met) in table {
            assert_eq!(is_met(expression, &allowed), met, "{expression}");
        }
    }

    #[test]
    fn the_allow_list_is_read_with_its_comments() {
        assert_eq!(allow_list("x\nallow = [\n \"MIT\", # why\n \"ISC\",\n]\n"), ["MIT", "ISC"]);
    }
}
