//! `update`: changes the limits and the restart policy of containers.

use std::io::Write;

use api_types::container::UpdateRequest;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::value::{Bytes, NanoCpus, SwapBytes};
use crate::flags::{Flag, Tables, flag};
use crate::request::{self, restart_policy};
use crate::ui::Ui;

use super::each::finish;

/// Values of the flags; none: not given, which says more than a zero.
#[derive(Debug, Default)]
pub(crate) struct UpdateArgs {
    blkio_weight: Option<u16>,
    cpu_period: Option<i64>,
    cpu_quota: Option<i64>,
    cpu_rt_period: Option<i64>,
    cpu_rt_runtime: Option<i64>,
    cpu_shares: Option<i64>,
    cpus: Option<NanoCpus>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    kernel_memory: Option<Bytes>,
    memory: Option<Bytes>,
    memory_reservation: Option<Bytes>,
    memory_swap: Option<SwapBytes>,
    pids_limit: Option<i64>,
    restart: Option<String>,
}

const FLAGS: &[Flag<UpdateArgs>] = &[
    flag!(
        UpdateArgs,
        blkio_weight,
        "blkio-weight",
        "Relative weight of block I/O, 10 to 1000; 0 leaves it (default 0)"
    ),
    flag!(UpdateArgs, cpu_period, "cpu-period", "Length of a CPU scheduling period in microseconds"),
    flag!(UpdateArgs, cpu_quota, "cpu-quota", "Microseconds of CPU time in each period"),
    flag!(
        UpdateArgs,
        cpu_rt_period,
        "cpu-rt-period",
        "Length of a real-time scheduling period in microseconds"
    ),
    flag!(UpdateArgs, cpu_rt_runtime, "cpu-rt-runtime", "Microseconds of real-time CPU time in each period"),
    flag!(UpdateArgs, cpu_shares, 'c', "cpu-shares", "Relative weight of CPU time"),
    flag!(UpdateArgs, cpus, "cpus", "Number of CPUs, with a fraction"),
    flag!(UpdateArgs, cpuset_cpus, "cpuset-cpus", "CPUs to run on (0-3, 0,1)"),
    flag!(UpdateArgs, cpuset_mems, "cpuset-mems", "Memory nodes to use (0-3, 0,1)"),
    flag!(UpdateArgs, kernel_memory, "kernel-memory", ""),
    flag!(UpdateArgs, memory, 'm', "memory", "Limit of memory"),
    flag!(UpdateArgs, memory_reservation, "memory-reservation", "Soft limit of memory"),
    flag!(UpdateArgs, memory_swap, "memory-swap", "Limit of memory and swap together; -1: no limit on swap"),
    flag!(UpdateArgs, pids_limit, "pids-limit", "Number of tasks; -1: no limit"),
    flag!(UpdateArgs, restart, "restart", "What happens when a container ends"),
];

/// `update`.
pub(crate) struct Update;

impl Command for Update {
    type Args = UpdateArgs;
    const FLAGS: Tables<UpdateArgs> = &[FLAGS];
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Change the limits and the restart policy of containers";
    const ARITY: Arity = Arity::AtLeast(1);

    async fn run(args: UpdateArgs, operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let body = body(&args)?;
        if args.kernel_memory.is_some() {
            ui.tell(request::KERNEL_MEMORY);
        }
        let engine = context.engine(ui)?;
        let (mut warnings, mut failures) = (Vec::new(), Vec::new());
        for name in &operands {
            match engine.update_container(name, &body).await {
                Ok(told) => {
                    writeln!(ui.stdout(), "{name}")?;
                    warnings.extend(told);
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        if !warnings.is_empty() {
            ui.flush()?;
            ui.tell(&warnings.join("\n"));
        }
        finish(failures)
    }
}

fn body(args: &UpdateArgs) -> Result<UpdateRequest, CommandError> {
    let given = [
        args.blkio_weight.is_some(),
        args.cpu_period.is_some(),
        args.cpu_quota.is_some(),
        args.cpu_rt_period.is_some(),
        args.cpu_rt_runtime.is_some(),
        args.cpu_shares.is_some(),
        args.cpus.is_some(),
        args.cpuset_cpus.is_some(),
        args.cpuset_mems.is_some(),
        args.kernel_memory.is_some(),
        args.memory.is_some(),
        args.memory_reservation.is_some(),
        args.memory_swap.is_some(),
        args.pids_limit.is_some(),
        args.restart.is_some(),
    ];
    if !given.contains(&true) {
        return Err(CommandError::new("you must provide one or more flags when using this command"));
    }
    let policy = args.restart.as_deref().unwrap_or_default();
    Ok(UpdateRequest {
        cpu_shares: args.cpu_shares.unwrap_or_default(),
        memory: args.memory.as_ref().map_or(0, |bytes| bytes.0),
        nano_cpus: args.cpus.as_ref().map_or(0, |cpus| cpus.0),
        blkio_weight: args.blkio_weight.unwrap_or_default(),
        cpu_period: args.cpu_period.unwrap_or_default(),
        cpu_quota: args.cpu_quota.unwrap_or_default(),
        cpu_realtime_period: args.cpu_rt_period.unwrap_or_default(),
        cpu_realtime_runtime: args.cpu_rt_runtime.unwrap_or_default(),
        cpuset_cpus: args.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: args.cpuset_mems.clone().unwrap_or_default(),
        memory_reservation: args.memory_reservation.as_ref().map_or(0, |bytes| bytes.0),
        memory_swap: args.memory_swap.as_ref().map_or(0, |bytes| bytes.0),
        pids_limit: args.pids_limit.filter(|limit| *limit != 0),
        restart_policy: restart_policy(policy).map_err(CommandError::new)?,
        ..UpdateRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_needed_and_a_zero_is_one() {
        let error = body(&UpdateArgs::default()).unwrap_err();
        assert_eq!(error.message, "you must provide one or more flags when using this command");
        let args = UpdateArgs { cpu_shares: Some(0), ..UpdateArgs::default() };
        assert_eq!(body(&args).unwrap(), UpdateRequest::default());
    }
}
