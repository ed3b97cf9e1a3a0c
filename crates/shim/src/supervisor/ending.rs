//! The end of processes, and of the shim.

use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};

use super::client::Client;
use super::process::{Phase, exit_code};
use super::{INIT, Supervisor, log};
use crate::failpoints;
use crate::protocol::{Event, Exit, Target};
use crate::record::ExitRecord;

/// How long output is awaited after a process has ended, when somebody else holds its pipes.
const DRAIN: Duration = Duration::from_secs(2);

/// Exec'd processes that are remembered after their end.
const REMEMBERED: usize = 64;

impl Supervisor {
    /// Takes the exit status of every child that has ended: ours, and those that became ours.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let found =
                self.processes.iter_mut().find(|(_, process)| process.pid == pid && process.is_alive());
            let Some((number, process)) = found else { continue };
            let exit = Exit { code: exit_code(status), oom_killed: false, at: log::now() };
            process.phase = Phase::Ended { exit, deadline: Instant::now() + DRAIN };
            process.release_terminal();
            // Clients hold nothing up any more: what is left is no more than the pipes hold.
            let _ = process.watch_output(true);
            if *number == INIT
                && let Some(container) = &self.container
            {
                container.kill_rest();
            }
        }
    }

    /// Tells the end of processes whose output has been read, or has been waited for long enough.
    pub(super) fn end_processes(&mut self) {
        let now = Instant::now();
        let ended: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| process.has_ended(now))
            .map(|(number, _)| *number)
            .collect();
        for number in ended.into_iter().rev() {
            if number != INIT {
                self.end_exec(number);
            } else if self.execs_have_ended(now) {
                self.end_init();
            }
        }
        self.processes.retain(|_, process| !process.is_forgotten());
    }

    /// Init's end is told after that of the others, which it has taken with it.
    fn execs_have_ended(&self, now: Instant) -> bool {
        let late = self.processes.get(&INIT).and_then(|init| init.deadline()).is_some_and(|at| now >= at);
        late || self
            .processes
            .iter()
            .all(|(number, process)| *number == INIT || matches!(process.phase, Phase::Told(_)))
    }

    fn end_exec(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Phase::Ended { mut exit, .. } = process.phase else { return };
        let killed = exit.code == 128 + libc::SIGKILL;
        exit.oom_killed = killed && self.container.as_ref().is_some_and(|it| it.was_oom_killed());
        process.phase = Phase::Told(exit);
        process.keep_output_only();
        let target = process.target.clone();
        let tied = process.tied;
        if let (Some(scope), Some(container)) = (process.scope.take(), &self.container) {
            container.dissolve(&scope);
        }
        if let Target::Exec(exec_id) = &target
            && !tied
        {
            if self.ended_execs.len() == REMEMBERED {
                self.ended_execs.pop_front();
            }
            self.ended_execs.push_back((exec_id.clone(), exit));
        }
        failpoints::EXEC_ENDED.pass();
        self.tell(&Event::Exited { target, exit });
        self.close_clients(number);
    }

    /// Kills processes that are tied to a client and have none any more.
    pub(super) fn kill_untied(&mut self) {
        for (number, process) in self.processes.iter().filter(|(_, process)| process.tied) {
            let clients = || self.clients.values().filter(|client| client.process == *number);
            if !matches!(process.phase, Phase::Told(_)) && !clients().any(Client::is_there) {
                process.kill_all();
            }
        }
    }

    /// Those that were not reaped or not drained in time are killed by the end of init's namespace, or of its cgroup.
    fn end_other_execs(&mut self) {
        let others = self
            .processes
            .iter_mut()
            .filter(|(number, process)| **number != INIT && !matches!(process.phase, Phase::Told(_)));
        let mut numbers = Vec::new();
        for (number, process) in others {
            if process.is_alive() {
                let exit = Exit { code: 128 + libc::SIGKILL, oom_killed: false, at: log::now() };
                process.phase = Phase::Ended { exit, deadline: Instant::now() };
            }
            numbers.push(*number);
        }
        for number in numbers {
            self.end_exec(number);
        }
    }

    fn end_init(&mut self) {
        self.end_other_execs();
        failpoints::EXIT_REAPED.pass();
        let Some(process) = self.processes.get_mut(&INIT) else { return };
        let Phase::Ended { mut exit, .. } = process.phase else { return };
        process.phase = Phase::Told(exit);
        process.close_streams();
        if let Some(mut log) = self.log.take() {
            log.finish();
        }
        if let Some(container) = &mut self.container {
            exit.oom_killed = container.was_oom_killed();
            if exit.oom_killed {
                container.record_oom();
            }
            let record = ExitRecord { exit, sure: true };
            // Without a record the daemon finds out otherwise; there is nobody else to tell it to.
            let _ = record.write_in(container.run_dir());
            failpoints::EXIT_RECORDED.pass();
            container.remove();
        }
        self.init_exit = Some(exit);
        self.listener = None;
        self.processes.clear();
        failpoints::EXIT_REMOVED.pass();
        self.tell(&Event::Exited { target: Target::Init, exit });
        failpoints::EXIT_TOLD.pass();
        let clients: Vec<u32> = self.clients.values().map(|client| client.process).collect();
        for process in clients {
            self.close_clients(process);
        }
        self.leaving = Some(Instant::now());
    }

    /// Closes the sockets of a process's clients, as soon as they have been sent everything.
    pub(super) fn close_clients(&mut self, number: u32) {
        for client in self.clients.values_mut().filter(|client| client.process == number) {
            client.close();
            client.flush();
            client.watch(true);
        }
        self.clients.retain(|_, client| !client.is_done());
    }

    /// The container could not be created or started: nothing is left of it, and we go.
    pub(super) fn abandon(&mut self) {
        self.processes.clear();
        self.listener = None;
        self.log = None;
        if let Some(mut container) = self.container.take() {
            container.remove();
        }
        self.close_clients(INIT);
        self.leaving = Some(Instant::now());
    }
}
