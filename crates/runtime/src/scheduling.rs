//! How the kernel is to run a process: scheduler, I/O priority, execution domain, processors.

use linux::scheduling::{Domain, SchedulerAttributes, set_io_priority, set_personality, set_scheduler};
use oci::runtime::{IoPriority, Personality, Process, Scheduler};
use rustix::thread::CpuSet;

use crate::error::{During, StartError};

/// What a process sets for itself on the way to its program; understood, and sensible as far as that can be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scheduling {
    scheduler: Option<SchedulerAttributes>,
    io: Option<(u8, u8)>,
    domain: Option<Domain>,
}

impl Scheduling {
    pub(crate) fn new(process: &Process, personality: Option<&Personality>) -> Result<Self, StartError> {
        Ok(Self {
            scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
            io: process.io_priority.as_ref().map(io_priority).transpose()?,
            domain: personality.map(domain).transpose()?,
        })
    }

    /// Applies it to the calling process, while that has the rights for it.
    pub(crate) fn apply(&self) -> Result<(), StartError> {
        if let Some(attributes) = self.scheduler {
            set_scheduler(attributes)
                .during(|| format!("set the scheduler (policy {})", attributes.policy))?;
        }
        if let Some((class, level)) = self.io {
            set_io_priority(class, level)
                .during(|| format!("set I/O priority (class {class}, level {level})"))?;
        }
        if let Some(domain) = self.domain {
            set_personality(domain).during(|| format!("set the personality to {domain:?}"))?;
        }
        Ok(())
    }
}

/// The number that a table has for a name.
fn number<T: Copy>(what: &str, name: &str, table: &[(&str, T)]) -> Result<T, StartError> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        StartError::refused(format!("set {what} {name:?}"), format!("it is none of {}", names.join(", ")))
            .about(name)
    })
}

fn scheduler(wanted: &Scheduler) -> Result<SchedulerAttributes, StartError> {
    const POLICIES: [(&str, u32); 6] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: [(&str, u64); 5] = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ];
    let policy = number("scheduler policy", &wanted.policy, &POLICIES)?;
    let mut flags = 0;
    for flag in &wanted.flags {
        flags |= number("scheduler flag", flag, &FLAGS)?;
    }
    let refused = |what: String, why: &str| Err(StartError::refused(format!("set scheduler {what}"), why));
    let (nice, priority) = (wanted.nice.unwrap_or(0), wanted.priority.unwrap_or(0));
    if !(-20..=19).contains(&nice) {
        return refused(format!("nice {nice}"), "it is from -20 to 19");
    }
    // Of FIFO and RR; the others have none.
    let allowed = if matches!(policy, 1 | 2) { 1..=99 } else { 0..=0 };
    if !allowed.contains(&priority) {
        let why = format!("with {} it is from {} to {}", wanted.policy, allowed.start(), allowed.end());
        return refused(format!("priority {priority}"), &why);
    }
    let times = [wanted.runtime, wanted.deadline, wanted.period].map(Option::unwrap_or_default);
    if policy != 6 && times != [0; 3] {
        return refused("runtime, deadline and period".into(), "only SCHED_DEADLINE has them");
    }
    let [runtime, deadline, period] = times;
    let priority = priority.unsigned_abs();
    Ok(SchedulerAttributes { policy, flags, nice, priority, runtime, deadline, period })
}

fn io_priority(wanted: &IoPriority) -> Result<(u8, u8), StartError> {
    const CLASSES: [(&str, u8); 3] =
        [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let class = number("I/O priority class", &wanted.class, &CLASSES)?;
    match u8::try_from(wanted.priority) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => Err(StartError::refused(format!("set I/O priority {}", wanted.priority), "it is from 0 to 7")),
    }
}

fn domain(wanted: &Personality) -> Result<Domain, StartError> {
    if let Some(flag) = wanted.flags.first() {
        return Err(StartError::refused(format!("set personality flag {flag:?}"), "there are none yet"));
    }
    number("personality", &wanted.domain, &[("LINUX", Domain::Linux), ("LINUX32", Domain::Linux32)])
}

/// Binds the calling process to the processors of a list such as `0-2,7`.
pub(crate) fn set_affinity(list: &str) -> Result<(), StartError> {
    let step = || format!("set CPU affinity {list:?}");
    let set = processors(list).ok_or_else(|| StartError::refused(step(), "it is no list of processors"))?;
    rustix::thread::sched_setaffinity(None, &set).during(step)
}

fn processors(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CpuSet::MAX_CPU {
            return None;
        }
        (first..=last).for_each(|processor| set.set(processor));
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(process: &str, personality: &str) -> String {
        let process: Process = serde_json::from_str(process).unwrap();
        let personality: Option<Personality> = serde_json::from_str(personality).unwrap();
        match Scheduling::new(&process, personality.as_ref()) {
            Ok(Scheduling { scheduler, io, domain }) => {
                let scheduler = scheduler.map(|it| (it.policy, it.flags, it.nice, it.priority, it.period));
                format!("{scheduler:?} {io:?} {domain:?}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn attributes_are_understood_or_refused() {
        let cases = [
            ("{}", "null", "None None None"),
            (
                r#"{"scheduler": {"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
                    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4}}"#,
                r#"{"domain": "LINUX32"}"#,
                "Some((3, 1, 5, 0, 0)) Some((2, 4)) Some(Linux32)",
            ),
            (
                r#"{"scheduler": {"policy": "SCHED_FIFO", "priority": 9}}"#,
                "null",
                "Some((1, 0, 0, 9, 0)) None None",
            ),
            (
                r#"{"scheduler": {"policy": "SCHED_DEADLINE", "period": 7}}"#,
                "null",
                "Some((6, 0, 0, 0, 7)) None None",
            ),
        ];
        for (process, personality, wanted) in cases {
            assert_eq!(plan(process, personality), wanted, "{process}");
        }
        let refused = [
            (r#"{"scheduler": {"policy": "X"}}"#, "null", "it is none of SCHED_OTHER, SCHED_FIFO"),
            (r#"{"scheduler": {"policy": "SCHED_RR"}}"#, "null", "with SCHED_RR it is from 1 to 99"),
            (r#"{"scheduler": {"policy": "SCHED_OTHER", "priority": 3}}"#, "null", "it is from 0 to 0"),
            (r#"{"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}"#, "null", "it is from -20 to 19"),
            (
                r#"{"scheduler": {"policy": "SCHED_OTHER", "runtime": 1}}"#,
                "null",
                "only SCHED_DEADLINE has them",
            ),
            (r#"{"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}"#, "null", "it is from 0 to 7"),
            ("{}", r#"{"domain": "BSD"}"#, "it is none of LINUX, LINUX32"),
            ("{}", r#"{"domain": "LINUX", "flags": ["x"]}"#, "there are none yet"),
        ];
        for (process, personality, wanted) in refused {
            let text = plan(process, personality);
            assert!(text.contains(wanted), "{process} {personality}: {text}");
        }
    }

    #[test]
    fn processors_are_listed_as_the_kernel_lists_them() {
        let members = |list| {
            let set = processors(list)?;
            Some((0..64).filter(|cpu| set.is_set(*cpu)).collect::<Vec<_>>())
        };
        assert_eq!(members("0-2,7"), Some(vec![0, 1, 2, 7]));
        for bad in ["", "x", "3-1", "0-99999", "1,"] {
            assert_eq!(members(bad), None, "{bad}");
        }
    }
}
