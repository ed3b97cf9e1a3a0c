//! Device rules: one policy from the specification's list, written to v1 files or compiled to eBPF for v2.
//!
//! A policy is a default and exceptions to it, which is what the v1 controller can hold. What it cannot hold is
//! refused on both versions, so that a container means the same on either.

use std::io;

use oci::runtime::DeviceRule;

/// Device access bits; the numbers are those of the BPF context.
pub(super) const MKNOD: u32 = 1;
pub(super) const READ: u32 = 2;
pub(super) const WRITE: u32 = 4;
const ALL_ACCESS: u32 = MKNOD | READ | WRITE;

/// Device kinds, numbered likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block = 1,
    Char = 2,
}

/// A set of devices and what may (or may not) be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) kind: Kind,
    /// None: all.
    pub(super) major: Option<u32>,
    /// None: all.
    pub(super) minor: Option<u32>,
    pub(super) access: u32,
}

impl Exception {
    fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access & other.access != 0
    }

    /// As in `devices.allow` and `devices.list`.
    pub(super) fn to_line(self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let kind = if self.kind == Kind::Char { 'c' } else { 'b' };
        let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
        let access: String =
            letters.iter().filter(|(bit, _)| self.access & bit != 0).map(|(_, letter)| letter).collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// Who may use which devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) allow: bool,
    /// Denied when `allow`, else allowed.
    pub(super) exceptions: Vec<Exception>,
}

/// Devices that every container has (specification "Default Devices"), beside its own pseudo-terminals; and making
/// nodes, which by itself opens nothing.
const DEFAULTS: [(Kind, Option<u32>, Option<u32>, u32); 11] = [
    (Kind::Char, None, None, MKNOD),
    (Kind::Block, None, None, MKNOD),
    (Kind::Char, Some(1), Some(3), ALL_ACCESS),
    (Kind::Char, Some(1), Some(5), ALL_ACCESS),
    (Kind::Char, Some(1), Some(7), ALL_ACCESS),
    (Kind::Char, Some(1), Some(8), ALL_ACCESS),
    (Kind::Char, Some(1), Some(9), ALL_ACCESS),
    (Kind::Char, Some(5), Some(0), ALL_ACCESS),
    (Kind::Char, Some(5), Some(1), ALL_ACCESS),
    (Kind::Char, Some(5), Some(2), ALL_ACCESS),
    (Kind::Char, Some(136), None, ALL_ACCESS),
];

impl Policy {
    /// The rules in order, from "deny all"; then the default devices, unless everything is allowed. No rules at all: no
    /// policy.
    pub(super) fn of_rules(rules: &[DeviceRule]) -> io::Result<Option<Self>> {
        if rules.is_empty() {
            return Ok(None);
        }
        let mut policy = Self { allow: false, exceptions: Vec::new() };
        for rule in rules {
            policy.apply(rule)?;
        }
        if !policy.allow {
            for (kind, major, minor, access) in DEFAULTS {
                policy.add(Exception { kind, major, minor, access });
            }
        }
        Ok(Some(policy))
    }

    fn apply(&mut self, rule: &DeviceRule) -> io::Result<()> {
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_| invalid(rule, "device numbers are 0 to 4294967295")),
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let kinds = match rule.kind.as_deref() {
            None | Some("" | "a") => vec![Kind::Block, Kind::Char],
            Some("b") => vec![Kind::Block],
            Some("c" | "u") => vec![Kind::Char],
            Some(_) => return Err(invalid(rule, "the type must be a, b or c")),
        };
        let access = access_bits(rule)?;
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == ALL_ACCESS {
            *self = Self { allow: rule.allow, exceptions: Vec::new() };
            return Ok(());
        }
        for kind in kinds {
            let exception = Exception { kind, major, minor, access };
            if rule.allow == self.allow {
                self.remove(exception, rule)?;
            } else {
                self.add(exception);
            }
        }
        Ok(())
    }

    fn add(&mut self, exception: Exception) {
        match self.exceptions.iter_mut().find(|known| known.same_devices(&exception)) {
            Some(known) => known.access |= exception.access,
            None => self.exceptions.push(exception),
        }
    }

    fn remove(&mut self, exception: Exception, rule: &DeviceRule) -> io::Result<()> {
        for known in &mut self.exceptions {
            if known.same_devices(&exception) {
                known.access &= !exception.access;
            } else if known.overlaps(&exception) {
                return Err(invalid(rule, "it takes a part of what an earlier rule with a wildcard says"));
            }
        }
        self.exceptions.retain(|known| known.access != 0);
        Ok(())
    }

    /// Whether it forbids nothing.
    pub(super) fn is_free(&self) -> bool {
        self.allow && self.exceptions.is_empty()
    }

    /// An eBPF program of type `CGROUP_DEVICE`: 8 bytes an instruction.
    pub(super) fn to_bpf(&self) -> Vec<u8> {
        bpf::program(self)
    }
}

fn access_bits(rule: &DeviceRule) -> io::Result<u32> {
    let Some(access) = rule.access.as_deref().filter(|access| !access.is_empty()) else {
        return Ok(ALL_ACCESS);
    };
    access.chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        _ => Err(invalid(rule, "the access must be some of r, w and m")),
    })
}

fn invalid(rule: &DeviceRule, why: &str) -> io::Error {
    let number = |number: Option<i64>| number.filter(|&n| n != -1).map_or("*".to_owned(), |n| n.to_string());
    let text = format!(
        "cannot {} devices {} {}:{} {}: {why}",
        if rule.allow { "allow" } else { "deny" },
        rule.kind.as_deref().unwrap_or("a"),
        number(rule.major),
        number(rule.minor),
        rule.access.as_deref().unwrap_or("rwm"),
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The policy as instructions.
mod bpf {
    use super::{ALL_ACCESS, Exception, Policy};

    // Opcodes, linux/bpf.h and linux/bpf_common.h.
    const LOAD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
    const MOVE: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
    const MOVE_CONSTANT: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
    const AND_CONSTANT: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
    const JUMP_IF_NOT: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
    const JUMP_IF: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
    const JUMP_IF_NOT_REGISTER: u8 = 0x5e; // BPF_JMP32 | BPF_JNE | BPF_X
    const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

    // Registers: r0 is the answer, r1 arrives as `struct bpf_cgroup_dev_ctx *` and is scratch once that is read.
    const ANSWER: u8 = 0;
    const CONTEXT: u8 = 1;
    const KIND: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;

    /// `struct bpf_insn`.
    #[derive(Clone, Copy)]
    struct Instruction {
        code: u8,
        to: u8,
        from: u8,
        offset: i16,
        constant: u32,
    }

    impl Instruction {
        fn new(code: u8, to: u8, from: u8, constant: u32) -> Self {
            Self { code, to, from, offset: 0, constant }
        }

        fn bytes(self) -> [u8; 8] {
            let registers = if cfg!(target_endian = "little") {
                self.from << 4 | self.to
            } else {
                self.to << 4 | self.from
            };
            let [o0, o1] = self.offset.to_ne_bytes();
            let [c0, c1, c2, c3] = self.constant.to_ne_bytes();
            [self.code, registers, o0, o1, c0, c1, c2, c3]
        }
    }

    pub(super) fn program(policy: &Policy) -> Vec<u8> {
        let mut code = vec![
            load(KIND, 0),
            Instruction::new(MOVE, ACCESS, KIND, 0),
            Instruction::new(AND_CONSTANT, KIND, 0, 0xffff),
            Instruction::new(SHIFT_RIGHT, ACCESS, 0, 16),
            load(MAJOR, 4),
            load(MINOR, 8),
        ];
        for exception in &policy.exceptions {
            code.extend(block(exception, policy.allow));
        }
        code.extend(answer(policy.allow));
        code.into_iter().flat_map(Instruction::bytes).collect()
    }

    /// Answers if the request is the exception's, else falls out at the end.
    fn block(exception: &Exception, default: bool) -> Vec<Instruction> {
        let mut tests = vec![Instruction::new(JUMP_IF_NOT, KIND, 0, exception.kind as u32)];
        if exception.access != ALL_ACCESS {
            tests.push(Instruction::new(MOVE, CONTEXT, ACCESS, 0));
            tests.push(Instruction::new(AND_CONSTANT, CONTEXT, 0, exception.access));
            // Denied if any of the access is, allowed only if all of it is.
            tests.push(if default {
                Instruction::new(JUMP_IF, CONTEXT, 0, 0)
            } else {
                Instruction::new(JUMP_IF_NOT_REGISTER, CONTEXT, ACCESS, 0)
            });
        }
        tests.extend(exception.major.map(|major| Instruction::new(JUMP_IF_NOT, MAJOR, 0, major)));
        tests.extend(exception.minor.map(|minor| Instruction::new(JUMP_IF_NOT, MINOR, 0, minor)));
        let verdict = answer(!default);
        let total = tests.len() + verdict.len();
        for (at, test) in tests.iter_mut().enumerate() {
            if test.code & 0x07 == 0x06 {
                test.offset = i16::try_from(total - at - 1).expect("a block has at most eight instructions");
            }
        }
        tests.extend(verdict);
        tests
    }

    fn answer(allow: bool) -> [Instruction; 2] {
        [Instruction::new(MOVE_CONSTANT, ANSWER, 0, u32::from(allow)), Instruction::new(EXIT, 0, 0, 0)]
    }

    fn load(register: u8, offset: i16) -> Instruction {
        Instruction { offset, ..Instruction::new(LOAD, register, CONTEXT, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `allow|deny type major:minor access`, as v1 writes it.
    fn rule(text: &str) -> DeviceRule {
        let words: Vec<&str> = text.split(' ').collect();
        let (major, minor) = words[2].split_once(':').unwrap();
        let number = |text: &str| text.parse().ok();
        DeviceRule {
            allow: words[0] == "allow",
            kind: Some(words[1].to_owned()),
            major: number(major),
            minor: number(minor),
            access: Some(words[3].to_owned()),
        }
    }

    fn policy(rules: &[&str]) -> io::Result<Policy> {
        let rules: Vec<DeviceRule> = rules.iter().map(|text| rule(text)).collect();
        Ok(Policy::of_rules(&rules)?.unwrap())
    }

    /// The policy without the default devices.
    fn text(rules: &[&str]) -> String {
        match policy(rules) {
            Ok(mut policy) => {
                if !policy.allow {
                    policy.exceptions.truncate(policy.exceptions.len() - DEFAULTS.len());
                }
                let lines: Vec<String> =
                    policy.exceptions.iter().map(|exception| exception.to_line()).collect();
                format!("{} {}", if policy.allow { "all but" } else { "none but" }, lines.join(", "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rules_add_up_to_a_default_and_exceptions() {
        let cases: &[(&[&str], &str)] = &[
            (&["deny a *:* rwm"], "none but "),
            (&["deny a *:* rwm", "allow c 10:229 rw"], "none but c 10:229 rw"),
            (&["allow c 10:229 r", "allow c 10:229 w"], "none but c 10:229 rw"),
            (&["allow a 7:1 r"], "none but b 7:1 r, c 7:1 r"),
            (&["allow c 10:229 rwm", "deny c 10:229 w"], "none but c 10:229 rm"),
            (&["allow c 10:229 r", "deny c 10:229 r", "deny b 8:0 rwm"], "none but "),
            (&["deny a *:* rwm", "allow a *:* rwm"], "all but "),
            (&["allow a *:* rwm", "deny b 8:* w"], "all but b 8:* w"),
            (&["allow a *:* rwm", "deny b 8:* rw", "allow b 8:* r"], "all but b 8:* w"),
            (
                &["allow a *:* rwm", "deny b 8:* rw", "allow b 8:1 r"],
                "cannot allow devices b 8:1 r: it takes a part of what an earlier rule with a wildcard says",
            ),
            (&["allow x 1:1 r"], "cannot allow devices x 1:1 r: the type must be a, b or c"),
            (&["allow c 1:1 rx"], "cannot allow devices c 1:1 rx: the access must be some of r, w and m"),
            (&["deny c -7:1 r"], "cannot deny devices c -7:1 r: device numbers are 0 to 4294967295"),
        ];
        for (rules, expected) in cases {
            assert_eq!(text(rules), *expected, "{rules:?}");
        }
        assert_eq!(Policy::of_rules(&[]).unwrap(), None);
        let default = policy(&["deny a *:* rwm"]).unwrap().exceptions;
        assert_eq!(default.iter().map(|exception| exception.to_line()).next().unwrap(), "c *:* m");
    }
}
