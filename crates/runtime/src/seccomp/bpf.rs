//! Classic BPF for seccomp: a binary search on the call's number, then conditions on its arguments.

use super::rules::{Condition, Interval, Leaf, Op, Rule};

/// `AUDIT_ARCH_X86_64`.
pub(super) const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`.
pub(super) const AUDIT_ARCH_I386: u32 = 0x4000_0003;
/// `SECCOMP_RET_KILL_PROCESS`.
pub(super) const RET_KILL_PROCESS: u32 = 0x8000_0000;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

// Opcodes, linux/bpf_common.h.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    /// Instructions to skip when the comparison holds.
    yes: u8,
    /// … and when not.
    no: u8,
    operand: u32,
}

impl Instruction {
    fn new(code: u16, operand: u32) -> Self {
        Self { code, yes: 0, no: 0, operand }
    }

    /// As the kernel reads it.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        let [code0, code1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.operand.to_ne_bytes();
        [code0, code1, self.yes, self.no, k0, k1, k2, k3]
    }
}

/// The program: for each `AUDIT_ARCH_*` its intervals, which start at 0 and rise. Any other architecture kills.
pub(super) fn assemble(sections: &[(u32, Vec<Interval>)]) -> Vec<Instruction> {
    let mut program = vec![Instruction::new(LOAD, ARCH)];
    for (arch, intervals) in sections {
        let body = search(intervals);
        program.push(Instruction { yes: 1, ..Instruction::new(JUMP_EQUAL, *arch) });
        program.push(Instruction::new(JUMP, distance(body.len() + 1)));
        program.push(Instruction::new(LOAD, NUMBER));
        program.extend(body);
    }
    program.push(Instruction::new(RETURN, RET_KILL_PROCESS));
    program
}

/// Binary search of the accumulator, the call's number. Every path ends in a return.
fn search(intervals: &[Interval]) -> Vec<Instruction> {
    if let [only] = intervals {
        return leaf(&only.leaf);
    }
    let (lower, upper) = intervals.split_at(intervals.len() / 2);
    let pivot = upper.first().map_or(0, |interval| interval.start);
    let (lower, upper) = (search(lower), search(upper));
    let compare = Instruction::new(JUMP_GREATER_EQUAL, pivot);
    let mut code = match u8::try_from(lower.len()) {
        Ok(near) => vec![Instruction { yes: near, ..compare }],
        Err(_) => vec![Instruction { no: 1, ..compare }, Instruction::new(JUMP, distance(lower.len()))],
    };
    code.extend(lower);
    code.extend(upper);
    code
}

fn leaf(leaf: &Leaf) -> Vec<Instruction> {
    match leaf {
        Leaf::Return(verdict) => vec![Instruction::new(RETURN, *verdict)],
        Leaf::Conditional { rules, otherwise } => {
            let mut code: Vec<Instruction> = rules.iter().flat_map(conditional).collect();
            code.push(Instruction::new(RETURN, *otherwise));
            code
        }
    }
}

/// Where a comparison goes.
#[derive(Clone, Copy)]
enum Goto {
    /// The following instruction.
    Next,
    /// The condition holds: on to the rule's next one.
    Holds,
    /// It does not: past the rule.
    Fails,
}

/// A rule: its conditions, then a return. Falls out at its end when a condition fails.
fn conditional(rule: &Rule) -> Vec<Instruction> {
    let conditions: Vec<_> = rule.conditions.iter().map(condition).collect();
    let total = conditions.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(total);
    for condition in conditions {
        let end = code.len() + condition.len();
        for (instruction, yes, no) in condition {
            let after = code.len() + 1;
            let skip = |goto| match goto {
                Goto::Next => 0,
                Goto::Holds => end - after,
                Goto::Fails => total - after,
            };
            let near =
                |goto| u8::try_from(skip(goto)).expect("six conditions of at most six instructions each");
            code.push(Instruction { yes: near(yes), no: near(no), ..instruction });
        }
    }
    code.push(Instruction::new(RETURN, rule.verdict));
    code
}

/// A comparison of 64 bits by two of 32: the high half decides unless it is equal.
fn condition(condition: &Condition) -> Vec<(Instruction, Goto, Goto)> {
    use Goto::{Fails, Holds, Next};
    let plain = |code, operand| (Instruction::new(code, operand), Next, Next);
    let test = |code, operand, yes, no| (Instruction::new(code, operand), yes, no);
    let (low, high) = halves(condition.value);
    let (load_low, load_high) =
        (plain(LOAD, argument(condition.index, 0)), plain(LOAD, argument(condition.index, 1)));

    if condition.op == Op::MaskedEqual {
        let (wanted_low, wanted_high) = halves(condition.value_two & condition.value);
        let mut code = Vec::new();
        if condition.wide && high != 0 {
            code.extend([load_high, plain(AND, high), test(JUMP_EQUAL, wanted_high, Next, Fails)]);
        }
        code.extend([load_low, plain(AND, low), test(JUMP_EQUAL, wanted_low, Holds, Fails)]);
        return code;
    }
    // What it means that the high half is greater, or smaller; and the comparison of the low half.
    let (greater, smaller, (compare, yes, no)) = match condition.op {
        Op::Equal | Op::MaskedEqual => (Fails, Fails, (JUMP_EQUAL, Holds, Fails)),
        Op::NotEqual => (Holds, Holds, (JUMP_EQUAL, Fails, Holds)),
        Op::Greater => (Holds, Fails, (JUMP_GREATER, Holds, Fails)),
        Op::GreaterEqual => (Holds, Fails, (JUMP_GREATER_EQUAL, Holds, Fails)),
        Op::Less => (Fails, Holds, (JUMP_GREATER_EQUAL, Fails, Holds)),
        Op::LessEqual => (Fails, Holds, (JUMP_GREATER, Fails, Holds)),
    };
    let mut code = Vec::new();
    if condition.wide {
        let upper =
            [load_high, test(JUMP_GREATER, high, greater, Next), test(JUMP_EQUAL, high, Next, smaller)];
        code.extend(upper);
    }
    code.extend([load_low, test(compare, low, yes, no)]);
    code
}

/// Offset of one half of an argument; 0 is the low one.
fn argument(index: u32, half: u32) -> u32 {
    let half = if cfg!(target_endian = "little") { half } else { 1 - half };
    ARGUMENTS + 8 * index + 4 * half
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit number")]
fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

fn distance(instructions: usize) -> u32 {
    u32::try_from(instructions).unwrap_or(u32::MAX)
}
