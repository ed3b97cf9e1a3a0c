//! `kill`, `pause`, `resume`, `update`.

use std::os::fd::AsFd;

use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};

use super::args::{Args, Option as Opt};
use super::{Context, Failure, HELP, Naming};

/// Options of `kill`.
pub(crate) const OPTIONS: &[Opt] = &[Opt::flag("--all", Some("-a"), "Send it to every process"), HELP];

/// Names of signals 1 … 31 on every architecture that Linux numbers alike.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

fn signal(text: &str) -> Result<i32, Failure> {
    let unknown = || Failure::new(format_args!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // RTMIN+n and RTMAX-n, with the C library's idea of the first: the kernel's first two are its own.
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(offset, 34, 1).ok_or_else(unknown);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(offset, 64, -1).ok_or_else(unknown);
    }
    let position = SIGNALS.iter().position(|known| *known == name).ok_or_else(unknown)?;
    i32::try_from(position + 1).map_err(|_| unknown())
}

fn real_time(offset: &str, base: i32, sign: i32) -> Option<i32> {
    let offset = match (offset.is_empty(), sign) {
        (true, _) => 0,
        (false, 1) => offset.strip_prefix('+')?.parse().ok()?,
        (false, _) => offset.strip_prefix('-')?.parse().ok()?,
    };
    Some(base + sign * offset).filter(|number| (34..=64).contains(number))
}

/// `kill`: a signal to the first process, or to all.
pub(crate) fn kill(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(1)?;
    let number = signal(&args.rest.get(1).map_or("TERM".into(), |text| text.to_string_lossy()))?;
    let container = context.store.container(&id)?;
    if let (true, Some(cgroup)) = (args.has("--all"), container.cgroup()) {
        return kill_all(&cgroup, number, &id);
    }
    // containerd looks for this phrase.
    let gone = || Failure::new(format_args!("container not running: {id}"));
    let process = container.process().ok_or_else(gone)?;
    linux::event::send_signal(process.as_fd(), number).map_err(|error| match error.raw_os_error() {
        Some(libc::ESRCH) => gone(),
        _ => Failure::new(format_args!("send signal {number} to container {id}: {error}")),
    })?;
    Ok(0)
}

fn kill_all(cgroup: &runtime::cgroup::Cgroup, number: i32, id: &str) -> Result<u8, Failure> {
    if number == libc::SIGKILL {
        cgroup.kill().naming(|| format!("kill the processes of container {id}"))?;
        return Ok(0);
    }
    let pids = cgroup.pids().naming(|| format!("list the processes of container {id}"))?;
    for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
        // A process that ended since it was listed needs no signal.
        if let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            let _ = linux::event::send_signal(process.as_fd(), number);
        }
    }
    Ok(0)
}

fn cgroup_of(context: &Context, args: &Args) -> Result<(String, runtime::cgroup::Cgroup), Failure> {
    let id = args.container(0)?;
    let container = context.store.container(&id)?;
    if container.process().is_none() {
        return Err(Failure::new(format_args!("container not running: {id}")));
    }
    let cgroup = container.cgroup();
    let cgroup = cgroup.ok_or_else(|| Failure::new(format_args!("container {id} has no cgroup")))?;
    Ok((id, cgroup))
}

/// `pause`: stops every process.
pub(crate) fn pause(context: &Context, args: Args) -> Result<u8, Failure> {
    let (id, cgroup) = cgroup_of(context, &args)?;
    cgroup.freeze().naming(|| format!("pause container {id}"))?;
    Ok(0)
}

/// `resume`: lets them run again.
pub(crate) fn resume(context: &Context, args: Args) -> Result<u8, Failure> {
    let (id, cgroup) = cgroup_of(context, &args)?;
    cgroup.thaw().naming(|| format!("resume container {id}"))?;
    Ok(0)
}

/// Options of `update`.
pub(crate) const UPDATE_OPTIONS: &[Opt] = &[
    Opt::value("--resources", Some("-r"), "FILE", "Read linux.resources from a file, - is standard input"),
    Opt::value("--memory", None, "BYTES", "Memory limit; -1 is none"),
    Opt::value("--memory-reservation", None, "BYTES", "Memory soft limit"),
    Opt::value("--memory-swap", None, "BYTES", "Limit of memory and swap together; -1 is none"),
    Opt::value("--cpu-share", None, "N", "CPU weight, 2 to 262144"),
    Opt::value("--cpu-quota", None, "MICROSECONDS", "CPU time per period; -1 is no limit"),
    Opt::value("--cpu-period", None, "MICROSECONDS", "CPU period"),
    Opt::value("--cpuset-cpus", None, "LIST", "CPUs to run on"),
    Opt::value("--cpuset-mems", None, "LIST", "Memory nodes to use"),
    Opt::value("--pids-limit", None, "N", "Number of tasks; -1 is no limit"),
    Opt::value("--blkio-weight", None, "N", "Block I/O weight, 10 to 1000"),
    HELP,
];

/// `update`: new limits for a live container.
pub(crate) fn update(context: &Context, args: Args) -> Result<u8, Failure> {
    let (id, cgroup) = cgroup_of(context, &args)?;
    let resources = match args.value("--resources") {
        Some(path) => {
            let bytes = if path == "-" {
                std::io::read_to_string(std::io::stdin()).map(String::into_bytes)
            } else {
                std::fs::read(path)
            };
            let bytes = bytes.naming(|| format!("read {}", path.display()))?;
            serde_json::from_slice(&bytes).naming(|| format!("read {}", path.display()))?
        }
        None => resources(&args)?,
    };
    if let Some(unit) = context.store.container(&id)?.record.unit {
        super::systemd::update(&unit, &resources)?;
    }
    cgroup.update(&resources).naming(|| format!("update container {id}"))?;
    Ok(0)
}

fn resources(args: &Args) -> Result<Resources, Failure> {
    let memory = Memory {
        limit: args.number("--memory")?,
        reservation: args.number("--memory-reservation")?,
        swap: args.number("--memory-swap")?,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: args.number("--cpu-share")?,
        quota: args.number("--cpu-quota")?,
        period: args.number("--cpu-period")?,
        cpus: args.text("--cpuset-cpus")?,
        mems: args.text("--cpuset-mems")?,
        ..Cpu::default()
    };
    Ok(Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: args.number("--pids-limit")?.map(|limit| Pids { limit }),
        block_io: args
            .number("--blkio-weight")?
            .map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("SIGKILL", Some(9)),
            ("sigusr1", Some(10)),
            ("9", Some(9)),
            ("SYS", Some(31)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX", Some(64)),
            ("RTMAX-31", None),
            ("0", None),
            ("65", None),
            ("NOPE", None),
            ("", None),
        ] {
            assert_eq!(signal(text).ok(), number, "{text}");
        }
    }
}
