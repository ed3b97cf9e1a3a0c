//! Bytes between processes, their log and their clients.

use super::client::Received;
use super::poller::EventFlags;
use super::process::Phase;
use super::stream::Stream;
use super::{INIT, LARGE_READ, SMALL_READ, Supervisor};
use crate::protocol::Event;

impl Supervisor {
    /// A process has written something, or has closed a stream.
    pub(super) fn on_output(&mut self, number: u32, stream: Stream) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if self.buffer.is_empty() {
            self.buffer.resize(SMALL_READ, 0);
        }
        let Some(count) = process.read_output(stream, &mut self.buffer) else {
            return self.on_output_end(number, stream);
        };
        if matches!(process.phase, Phase::Told(_)) {
            return;
        }
        let bytes = &self.buffer[..count];
        if number == INIT
            && let Some(log) = &mut self.log
        {
            log.append(stream, bytes);
        }
        let mut holding = false;
        for client in self.clients.values_mut().filter(|client| client.process == number) {
            client.deliver(stream, bytes);
            client.watch(process.input_room() != Some(0));
            holding |= client.is_holding(process.is_ending());
        }
        if holding {
            let _ = process.watch_output(false);
        }
        if count == self.buffer.len() && count < LARGE_READ {
            self.buffer.resize(LARGE_READ, 0);
        }
    }

    fn on_output_end(&mut self, number: u32, stream: Stream) {
        if number == INIT
            && let Some(log) = &mut self.log
        {
            log.end(stream);
        }
    }

    /// Reads output again of processes that no client holds up any more.
    pub(super) fn resume_output(&mut self) {
        for (number, process) in &mut self.processes {
            let mut clients = self.clients.values().filter(|client| client.process == *number);
            let holding = clients.any(|client| client.is_holding(process.is_ending()));
            let _ = process.watch_output(!holding);
        }
    }

    /// A process takes input again.
    pub(super) fn on_input(&mut self, number: u32) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.flush_input();
        }
        self.watch_clients(number);
    }

    /// Watches the clients of a process for what can be done now.
    fn watch_clients(&mut self, number: u32) {
        let room = self.processes.get(&number).is_none_or(|process| process.input_room() != Some(0));
        for client in self.clients.values_mut().filter(|client| client.process == number) {
            client.watch(room);
        }
    }

    /// A client can be read from or written to, or has hung up.
    pub(super) fn on_client(&mut self, number: u32, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let process = client.process;
        if flags.contains(EventFlags::OUT) {
            client.flush();
        }
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            client.hang_up();
        }
        self.receive(number);
        if self.processes.get(&process).is_some_and(|process| process.tied) {
            self.kill_untied();
        }
        self.watch_clients(process);
        self.resume_output();
    }

    /// Reads what a client has sent, as far as its process takes it.
    fn receive(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let process = self.processes.get_mut(&client.process);
        let forwarded = client.wants_stdin();
        let room = process.as_ref().filter(|_| forwarded).and_then(|process| process.input_room());
        if room == Some(0) {
            return;
        }
        if self.buffer.is_empty() {
            self.buffer.resize(SMALL_READ, 0);
        }
        let count = room.unwrap_or(usize::MAX).min(self.buffer.len());
        let mut input = Vec::new();
        let received = client.receive(&mut self.buffer[..count], &mut input);
        if let Some(process) = process.filter(|_| forwarded) {
            process.feed(&input);
        }
        self.on_received(number, received);
    }

    /// What follows from the state of a client's input.
    pub(super) fn on_received(&mut self, number: u32, received: Received) {
        match received {
            Received::Input | Received::Nothing => {}
            Received::Detached => self.detach(number),
            Received::Ended => self.end_input(number),
            Received::Broken => {
                self.end_input(number);
                if let Some(client) = self.clients.get_mut(&number) {
                    client.hang_up();
                }
            }
        }
    }

    /// A client typed its detach keys: it is let go, and the process does not notice.
    fn detach(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.close();
        let process = client.process;
        if let Some(process) = self.processes.get(&process) {
            let target = process.target.clone();
            self.tell(&Event::Detached { target });
        }
    }

    /// A client has ended its input. As with Docker, that either ends the process's input, or, where that stays
    /// open (a terminal, or no `stdin_once`), the client's attachment.
    fn end_input(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.end_input();
        if !client.wants_stdin() {
            return;
        }
        let Some(process) = self.processes.get_mut(&client.process) else { return };
        if process.ends_with_client && !process.has_terminal() {
            process.close_input();
        } else {
            client.close();
        }
    }
}
