//! Flags as Docker's command line has them.
//!
//! A command's flags are a constant table that says where each value goes ([`Flag`], written with [`flag!`]); parsing
//! walks the arguments once and looks names up in it, so a process pays for the flags it was given and for nothing
//! else. The grammar is that of Docker's own parser, which people's scripts rely on: `-itv/a:/b`, `--rm=false`, a
//! repeated flag adds or replaces, `--` ends the flags, and where a command runs another one ([`Order::FlagsFirst`])
//! so does the first operand. clap was tried on paper and left: it cannot tell `unknown shorthand flag: 'x' in -x`
//! from its neighbours, lays out help differently, and costs 0.7 ms for a tree of this size.
//!
//! - [`value`]: the types of values
//! - [`help`]: the text of `--help`

use oci::nearest::{did_you_mean, nearest};

pub(crate) mod help;
pub(crate) mod value;

/// One flag of a command whose values live in an `A`.
pub(crate) struct Flag<A> {
    /// Name after two dashes.
    pub(crate) long: &'static str,
    /// Letter after one dash.
    pub(crate) short: Option<char>,
    /// What it does, for `--help`. Empty: not shown there.
    pub(crate) help: &'static str,
    /// Word for the value in `--help`; empty for a switch.
    pub(crate) kind: &'static str,
    /// Takes no value unless it is attached with `=`.
    pub(crate) switch: bool,
    /// Reads a value.
    pub(crate) set: fn(&mut A, &str) -> Result<(), String>,
    /// The value as it is now, if `--help` is to show it.
    pub(crate) shown: fn(&A) -> Option<String>,
}

/// The flags of a command: one table, or several that commands share.
pub(crate) type Tables<A> = &'static [&'static [Flag<A>]];

/// A row of a flag table: `flag!(Type, field, 's', "long", "help")`. The letter is optional; `field as "word"`
/// replaces the type's own word for the value; `field via function` lets a function check or change the text first.
macro_rules! flag {
    ($args:ty, $field:ident $(as $kind:literal)? $(via $check:path)?, $short:literal, $long:literal, $help:literal) => {
        $crate::flags::flag!(@row $args, $field, Some($short), $long, $help, [$($kind)?], [$($check)?])
    };
    ($args:ty, $field:ident $(as $kind:literal)? $(via $check:path)?, $long:literal, $help:literal) => {
        $crate::flags::flag!(@row $args, $field, None, $long, $help, [$($kind)?], [$($check)?])
    };
    (@row $args:ty, $field:ident, $short:expr, $long:literal, $help:literal, [$($kind:literal)?], [$($check:path)?]) => {
        $crate::flags::Flag {
            long: $long,
            short: $short,
            help: $help,
            kind: {
                #[allow(unused_variables, reason = "the type's own word is replaced by some rows")]
                let kind = $crate::flags::value::kind_of(|args: &$args| &args.$field);
                $(let kind = $kind;)?
                kind
            },
            switch: $crate::flags::value::is_switch(|args: &$args| &args.$field),
            set: |args: &mut $args, text: &str| {
                $(let text = &*$check(text)?;)?
                $crate::flags::value::Value::set(&mut args.$field, text)
            },
            shown: |args: &$args| $crate::flags::value::Value::shown(&args.$field),
        }
    };
}
pub(crate) use flag;

/// Where flags may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Anywhere.
    Mixed,
    /// Before the first operand; what follows it belongs to another program.
    FlagsFirst,
}

/// What the arguments amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Values are set; these are left.
    Operands(Vec<String>),
    /// The user asks for help, with `-h` where that is no flag of the command's own, or with `--help`.
    Help {
        /// Asked with the deprecated letter.
        short: bool,
    },
}

/// Reads `words` into `values`. The error is one line without the usage hint.
pub(crate) fn parse<A: 'static>(
    tables: Tables<A>,
    words: &[String],
    order: Order,
    values: &mut A,
) -> Result<Parsed, String> {
    let mut operands = Vec::new();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        if word == "--" {
            operands.extend_from_slice(rest);
            break;
        }
        let done = if let Some(long) = word.strip_prefix("--") {
            parse_long(tables, long, word, &mut rest, values)?
        } else if word.len() > 1 && word.starts_with('-') {
            parse_short(tables, &word[1..], &mut rest, values)?
        } else {
            operands.push(word.clone());
            if order == Order::FlagsFirst {
                operands.extend_from_slice(rest);
                break;
            }
            None
        };
        if let Some(help) = done {
            return Ok(help);
        }
    }
    Ok(Parsed::Operands(operands))
}

fn parse_long<A: 'static>(
    tables: Tables<A>,
    long: &str,
    word: &str,
    rest: &mut &[String],
    values: &mut A,
) -> Result<Option<Parsed>, String> {
    let (name, attached) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(format!("bad flag syntax: {word}"));
    }
    let Some(flag) = tables.iter().copied().flatten().find(|flag| flag.long == name) else {
        if name == "help" {
            return Ok(Some(Parsed::Help { short: false }));
        }
        let known = tables.iter().copied().flatten().map(|flag| flag.long);
        let near = nearest(name, known).map(|flag| format!("--{flag}"));
        return Err(format!("unknown flag: --{name}{}", did_you_mean(near.as_deref())));
    };
    let text = match attached {
        Some(text) => text,
        None if flag.switch => "true",
        None => next(rest).ok_or_else(|| format!("flag needs an argument: --{name}"))?,
    };
    set(flag, values, text)?;
    Ok(None)
}

fn parse_short<A: 'static>(
    tables: Tables<A>,
    letters: &str,
    rest: &mut &[String],
    values: &mut A,
) -> Result<Option<Parsed>, String> {
    let mut letters = letters;
    while let Some(letter) = letters.chars().next() {
        let after = &letters[letter.len_utf8()..];
        let Some(flag) = tables.iter().copied().flatten().find(|flag| flag.short == Some(letter)) else {
            if letter == 'h' {
                return Ok(Some(Parsed::Help { short: true }));
            }
            return Err(format!("unknown shorthand flag: '{letter}' in -{letters}"));
        };
        if let Some(text) = after.strip_prefix('=').filter(|text| !text.is_empty()) {
            set(flag, values, text)?;
            return Ok(None);
        }
        if flag.switch {
            set(flag, values, "true")?;
            letters = after;
            continue;
        }
        let text = match after {
            "" => next(rest).ok_or_else(|| format!("flag needs an argument: '{letter}' in -{letters}"))?,
            text => text,
        };
        set(flag, values, text)?;
        return Ok(None);
    }
    Ok(None)
}

fn next<'a>(rest: &mut &'a [String]) -> Option<&'a str> {
    let (word, after) = rest.split_first()?;
    *rest = after;
    Some(word)
}

fn set<A>(flag: &Flag<A>, values: &mut A, text: &str) -> Result<(), String> {
    (flag.set)(values, text).map_err(|why| {
        let name = match flag.short {
            Some(short) => format!("-{short}, --{}", flag.long),
            None => format!("--{}", flag.long),
        };
        format!("invalid argument {} for \"{name}\" flag: {why}", value::quoted(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Args {
        interactive: bool,
        tty: bool,
        name: String,
        env: Vec<String>,
        count: Option<i64>,
    }

    const FLAGS: &[Flag<Args>] = &[
        flag!(Args, interactive, 'i', "interactive", "x"),
        flag!(Args, tty, 't', "tty", "x"),
        flag!(Args, name, "name", "x"),
        flag!(Args, env via no_space, 'e', "env", "x"),
        flag!(Args, count, 'c', "count", "x"),
    ];

    fn no_space(text: &str) -> Result<String, String> {
        if text.contains(' ') { Err("has a space".to_owned()) } else { Ok(text.to_uppercase()) }
    }

    fn run(line: &str, order: Order) -> Result<(Args, Parsed), String> {
        let words: Vec<String> = line.split('|').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        let mut args = Args::default();
        let parsed = parse(&[FLAGS], &words, order, &mut args)?;
        Ok((args, parsed))
    }

    #[test]
    fn values_are_attached_or_follow() {
        let want = Args {
            interactive: true,
            tty: true,
            name: "n".into(),
            env: vec!["A=B".into(), "C".into(), "-X".into(), "".into()],
            count: Some(5),
        };
        let (args, parsed) =
            run("-ite|a=b|--env=c|x|--env|-x|-c5|--name|n|--env=|y|-|--|-i", Order::Mixed).unwrap();
        assert_eq!(args, want);
        assert_eq!(parsed, Parsed::Operands(["x", "y", "-", "-i"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn switches_can_be_switched_off() {
        let (args, _) = run("-it|--tty=false|-i=0", Order::Mixed).unwrap();
        assert_eq!((args.interactive, args.tty), (false, false));
    }

    #[test]
    fn another_programs_arguments_are_left_alone() {
        let (args, parsed) = run("-i|image|-t|--|--name", Order::FlagsFirst).unwrap();
        assert!(args.interactive && !args.tty);
        assert_eq!(parsed, Parsed::Operands(["image", "-t", "--", "--name"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn errors_are_worded_as_dockers() {
        for (line, want) in [
            ("--foo", "unknown flag: --foo"),
            ("--foo=1", "unknown flag: --foo"),
            ("-itx", "unknown shorthand flag: 'x' in -x"),
            ("-xit", "unknown shorthand flag: 'x' in -xit"),
            ("--name", "flag needs an argument: --name"),
            ("-ie", "flag needs an argument: 'e' in -e"),
            ("--=x", "bad flag syntax: --=x"),
            ("---x", "bad flag syntax: ---x"),
            (
                "-cx",
                "invalid argument \"x\" for \"-c, --count\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "--tty=maybe",
                "invalid argument \"maybe\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            ("--env|a b", "invalid argument \"a b\" for \"-e, --env\" flag: has a space"),
        ] {
            assert_eq!(run(line, Order::Mixed).unwrap_err(), want, "{line}");
        }
    }

    #[test]
    fn help_is_asked_for_in_two_ways() {
        assert_eq!(run("-i|--help|--foo", Order::Mixed).unwrap().1, Parsed::Help { short: false });
        assert_eq!(run("-ih", Order::Mixed).unwrap().1, Parsed::Help { short: true });
    }
}
