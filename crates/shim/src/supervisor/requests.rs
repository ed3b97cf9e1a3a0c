//! What daemons ask for.

use std::os::fd::{AsFd, OwnedFd};

use super::client::{Client, Received as ClientInput};
use super::container::{Container, Created, Failure};
use super::log::Log;
use super::poller::{EventFlags, Token};
use super::process::{Phase, Process};
use super::stdio::Ends;
use super::{INIT, LARGE_READ, Supervisor};
use crate::codec::sequence_of;
use crate::failpoints;
use crate::plan::{ExecPlan, Plan};
use crate::protocol::{
    Attach, Framing, MAJOR, MAX_PACKET, MINOR, ProcessState, Received, Reply, Request, Target,
};

/// Longest exec id: everything about all processes must fit into one packet.
const MAX_EXEC_ID: usize = 64;

/// Most exec'd processes at once, for the same reason.
const MAX_EXECS: usize = 400;

/// What an exec's error starts with, as clients know it from Docker.
const EXEC_FAILED: &str = "OCI runtime exec failed: exec failed: ";

/// Requests that are read from one connection before the others get their turn.
const AT_ONCE: usize = 16;

type Answer = Result<(Reply, Option<OwnedFd>), Failure>;

fn ok() -> Answer {
    Ok((Reply::Ok, None))
}

impl Supervisor {
    /// A daemon has sent something, or can be sent something.
    pub(super) fn on_connection(&mut self, number: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT)
            && let Some(connection) = self.connections.get_mut(&number)
        {
            connection.flush();
        }
        if self.buffer.len() < MAX_PACKET {
            self.buffer.resize(LARGE_READ.max(MAX_PACKET), 0);
        }
        for _ in 0..AT_ONCE {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let Some((length, fds)) = connection.receive(&mut self.buffer) else { return };
            let packet = &self.buffer[..length];
            let sequence = sequence_of(packet);
            let request = Request::decode(packet);
            let answer = match request {
                Ok(Received::Known { message, .. }) => self.answer(number, message, fds),
                Ok(Received::Unknown { kind, .. }) => {
                    Err(Failure::new(format!("shim does not know requests of kind {kind}")))
                }
                Err(error) => Err(Failure::new(error.to_string())),
            };
            let (reply, fd) = answer
                .unwrap_or_else(|Failure { exit_code, message }| (Reply::Error { exit_code, message }, None));
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.reply(sequence, &reply, fd);
            }
        }
    }

    fn answer(&mut self, connection: u32, request: Request, fds: Vec<OwnedFd>) -> Answer {
        let greeted = self.connections.get(&connection).is_some_and(|connection| connection.greeted);
        match request {
            Request::Hello { major, .. } => {
                none(fds)?;
                self.hello(connection, major)
            }
            _ if !greeted => Err(Failure::new("shim wants a hello first")),
            Request::Create => {
                let [plan] = exactly(fds)?;
                self.create(&plan)
            }
            Request::Start => {
                none(fds)?;
                self.start()
            }
            Request::Attach { target, attach } => {
                let [socket] = exactly(fds)?;
                self.attach(&target, attach, socket)
            }
            Request::Exec { exec_id, attach } => self.exec(exec_id, attach, fds),
            Request::Signal { target, signal } => {
                none(fds)?;
                self.signal(&target, signal)
            }
            Request::Resize { target, height, width } => {
                none(fds)?;
                self.resize(&target, height, width)
            }
            Request::State => {
                none(fds)?;
                Ok((self.state(), None))
            }
            Request::Root => {
                none(fds)?;
                self.root()
            }
            Request::FlushLog => {
                none(fds)?;
                self.flush_log()
            }
        }
    }

    fn hello(&mut self, connection: u32, major: u16) -> Answer {
        if major != MAJOR {
            return Err(Failure::new(format!("shim speaks protocol {MAJOR}, not {major}")));
        }
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.greeted = true;
        }
        Ok((self.state(), None))
    }

    fn state(&self) -> Reply {
        let init = self.processes.get(&INIT).map(Process::state);
        let running = self.processes.values().filter(|process| !matches!(process.phase, Phase::Told(_)));
        let execs = running.filter_map(|process| match &process.target {
            Target::Exec(exec_id) => Some((exec_id.clone(), process.state())),
            Target::Init => None,
        });
        let ended =
            self.ended_execs.iter().map(|(exec_id, exit)| (exec_id.clone(), ProcessState::Exited(*exit)));
        Reply::Hello {
            major: MAJOR,
            minor: MINOR,
            shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
            plan_digest: self.container.as_ref().map_or_else(String::new, |it| it.plan_digest.clone()),
            init: self.init_exit.map(ProcessState::Exited).or(init),
            execs: ended.chain(execs).collect(),
        }
    }

    fn create(&mut self, plan: &OwnedFd) -> Answer {
        if self.container.is_some() || self.leaving.is_some() {
            return Err(Failure::new("shim has a container already"));
        }
        let created = self.create_from(plan);
        if created.is_err() {
            self.abandon();
        }
        created
    }

    fn create_from(&mut self, plan: &OwnedFd) -> Answer {
        let mut loaded = Plan::from_memfd(plan.as_fd()).map_err(|error| Failure::new(error.to_string()))?;
        let log = loaded.document.log.take().map(|log| {
            let path = log.path.clone();
            Log::open(log).map_err(|error| Failure::new(format!("open log {}: {error}", path.display())))
        });
        let log = log.transpose()?;
        failpoints::CREATE_PLANNED.check()?;
        // One that waited was called otherwise.
        rustix::thread::set_name(super::NAME)
            .map_err(|error| Failure::new(format!("set our name: {error}")))?;
        let Created { container, listener, ends, console, pidfd } =
            Container::create(loaded, self.network.take())?;
        let pid = container.pid();
        let stdin_once = container.stdin_once;
        // From here on `abandon` takes the container away again.
        self.container = Some(container);
        let failed = |what: &str, error: std::io::Error| Failure::new(format!("{what}: {error}"));
        let mut listener = self.poller.adopt(listener, Token::Listener);
        listener.watch(Some(EventFlags::IN)).map_err(|error| failed("watch the socket", error))?;
        let mut process = Process::new(&self.poller, INIT, Target::Init, (pid, pidfd), ends, console)
            .map_err(|error| failed("watch init's streams", error))?;
        process.ends_with_client = stdin_once;
        self.processes.insert(INIT, process);
        self.listener = Some(listener);
        self.log = log;
        Ok((Reply::Created { pid }, None))
    }

    fn start(&mut self) -> Answer {
        let phase = self.processes.get(&INIT).map(|process| process.phase);
        let (Some(Phase::Created), Some(container)) = (phase, &mut self.container) else {
            return Err(Failure::new("container is not in the state created"));
        };
        if let Err(failure) = container.start() {
            self.abandon();
            return Err(failure);
        }
        failpoints::START_RUNNING.pass();
        if let Some(process) = self.processes.get_mut(&INIT) {
            process.phase = Phase::Running;
        }
        ok()
    }

    /// The number of a process that has not ended.
    fn alive(&self, target: &Target) -> Result<u32, Failure> {
        let found = self.processes.iter().find(|(_, process)| process.target == *target);
        match found {
            Some((number, process)) if process.is_alive() => Ok(*number),
            _ => Err(Failure::new(format!("{}: No such process", name(target)))),
        }
    }

    fn attach(&mut self, target: &Target, attach: Attach, socket: OwnedFd) -> Answer {
        let process = self.alive(target)?;
        self.add_client(process, attach, socket)?;
        ok()
    }

    fn add_client(&mut self, process: u32, mut attach: Attach, socket: OwnedFd) -> Result<(), Failure> {
        let number = self.number();
        let early = std::mem::take(&mut attach.early_input);
        // A process without an input of its own: what the client sends is dropped.
        let takes_input = self.processes.get(&process).is_some_and(|process| process.input_room().is_some());
        attach.stdin &= takes_input;
        let mut client = Client::new(&self.poller, number, socket, process, attach)
            .map_err(|error| Failure::new(format!("attach a client: {error}")))?;
        let mut received = ClientInput::Nothing;
        if client.wants_stdin() && !early.is_empty() {
            let mut input = Vec::new();
            received = client.early_input(&early, &mut input);
            if let Some(process) = self.processes.get_mut(&process) {
                process.feed(&input);
            }
        }
        self.clients.insert(number, client);
        self.on_received(number, received);
        Ok(())
    }

    fn exec(&mut self, exec_id: String, attach: Option<Attach>, mut fds: Vec<OwnedFd>) -> Answer {
        let expected = if attach.is_some() { 2 } else { 1 };
        if fds.len() != expected {
            return Err(wrong_count(expected, fds.len()));
        }
        let client = attach.and_then(|attach| Some((attach, fds.pop()?)));
        let framing = client.as_ref().map(|(attach, socket)| (attach.framing, socket.try_clone()));
        let [plan] = exactly(fds)?;
        match self.exec_from(exec_id, &plan, client) {
            Ok(pid) => Ok((Reply::Started { pid }, None)),
            Err(Failure { exit_code, message }) => {
                let message = format!("{EXEC_FAILED}{message}");
                if let Some((framing, Ok(socket))) = framing {
                    self.say_goodbye(framing, socket, &message);
                }
                Err(Failure { exit_code, message })
            }
        }
    }

    fn exec_from(
        &mut self,
        exec_id: String,
        plan: &OwnedFd,
        client: Option<(Attach, OwnedFd)>,
    ) -> Result<i32, Failure> {
        self.check_exec_id(&exec_id)?;
        let running = self.processes.get(&INIT).is_some_and(|init| init.phase == Phase::Running);
        let Some(container) = self.container.as_ref().filter(|_| running) else {
            return Err(Failure::new("container is not running"));
        };
        let loaded = ExecPlan::from_memfd(plan.as_fd()).map_err(|error| Failure::new(error.to_string()))?;
        let tied = loaded.document.tied;
        let number = self.next_number;
        let scope = if tied { container.scope(number) } else { None };
        let started = container.exec(loaded, scope.as_ref());
        let (started, ends) = started.inspect_err(|_| {
            if let Some(scope) = &scope {
                container.dissolve(scope);
            }
        })?;
        failpoints::EXEC_RUNNING.pass();
        let pid = started.pid;
        // Nobody else will ever type: its input is at its end from the start.
        let typed = client.as_ref().is_some_and(|(attach, _)| attach.stdin);
        let number = self.number();
        let mut process = self.adopt(number, Target::Exec(exec_id), started, ends)?;
        process.phase = Phase::Running;
        process.ends_with_client = true;
        process.tied = tied;
        process.scope = scope;
        self.processes.insert(number, process);
        if let Some((attach, socket)) = client {
            // It runs; a client that cannot be attached is as one that has gone already.
            let _ = self.add_client(number, attach, socket);
        }
        self.kill_untied();
        if let Some(process) = self.processes.get_mut(&number).filter(|_| !typed) {
            process.close_input();
        }
        Ok(pid)
    }

    fn adopt(
        &self,
        number: u32,
        target: Target,
        started: runtime::ExecProcess,
        ends: Ends,
    ) -> Result<Process, Failure> {
        let runtime::ExecProcess { pid, pidfd, console } = started;
        let kill = pidfd.try_clone();
        Process::new(&self.poller, number, target, (pid, pidfd), ends, console).map_err(|error| {
            if let Ok(pidfd) = kill {
                let _ = linux::event::send_signal(pidfd.as_fd(), libc::SIGKILL);
            }
            Failure::new(format!("watch the process's streams: {error}"))
        })
    }

    fn check_exec_id(&self, exec_id: &str) -> Result<(), Failure> {
        let target = Target::Exec(exec_id.to_owned());
        let known = self.processes.values().any(|process| process.target == target)
            || self.ended_execs.iter().any(|(ended, _)| ended == exec_id);
        if known {
            return Err(Failure::new(format!("exec {exec_id} exists already")));
        }
        if exec_id.is_empty() || exec_id.len() > MAX_EXEC_ID {
            return Err(Failure::new(format!("an exec id has 1 to {MAX_EXEC_ID} bytes")));
        }
        if self.processes.len() > MAX_EXECS {
            return Err(Failure::new(format!("{MAX_EXECS} processes were exec'd and still run")));
        }
        Ok(())
    }

    /// Sends a client why it gets nothing else, and closes its socket.
    fn say_goodbye(&mut self, framing: Framing, socket: OwnedFd, message: &str) {
        let attach = Attach {
            stdin: false,
            stdout: true,
            stderr: false,
            framing,
            detach_keys: Vec::new(),
            early_input: Vec::new(),
        };
        let number = self.number();
        // A process number that nobody has.
        if let Ok(mut client) = Client::new(&self.poller, number, socket, number, attach) {
            client.deliver(super::stream::Stream::Stdout, format!("{message}\r\n").as_bytes());
            client.close();
            client.watch(true);
            self.clients.insert(number, client);
        }
    }

    fn signal(&mut self, target: &Target, signal: i32) -> Answer {
        let number = self.alive(target)?;
        let sent = self.processes.get(&number).map(|process| process.signal(signal));
        match sent {
            Some(Err(error)) => {
                Err(Failure::new(format!("send signal {signal} to {}: {error}", name(target))))
            }
            _ => ok(),
        }
    }

    fn resize(&mut self, target: &Target, height: u16, width: u16) -> Answer {
        let number = self.alive(target)?;
        let resized = self.processes.get(&number).map(|process| process.resize(height, width));
        match resized {
            Some(Ok(false)) => Err(Failure::new(format!("{} has no terminal", name(target)))),
            Some(Err(error)) => {
                Err(Failure::new(format!("resize the terminal of {}: {error}", name(target))))
            }
            _ => ok(),
        }
    }

    fn root(&mut self) -> Answer {
        let root = self.container.as_ref().and_then(Container::root);
        let root = root.ok_or_else(|| Failure::new("there is no container"))?;
        let copy =
            root.try_clone_to_owned().map_err(|error| Failure::new(format!("copy the root: {error}")))?;
        Ok((Reply::Ok, Some(copy)))
    }

    fn flush_log(&mut self) -> Answer {
        if let Some(log) = &self.log {
            log.flush().map_err(|error| Failure::new(format!("flush the log: {error}")))?;
        }
        ok()
    }
}

fn name(target: &Target) -> String {
    match target {
        Target::Init => "init".into(),
        Target::Exec(exec_id) => format!("exec {exec_id}"),
    }
}

fn wrong_count(expected: usize, found: usize) -> Failure {
    Failure::new(format!("the request carries {found} descriptors, not {expected}"))
}

fn none(fds: Vec<OwnedFd>) -> Result<(), Failure> {
    exactly::<0>(fds).map(|_| ())
}

fn exactly<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N], Failure> {
    fds.try_into().map_err(|fds: Vec<OwnedFd>| wrong_count(N, fds.len()))
}
