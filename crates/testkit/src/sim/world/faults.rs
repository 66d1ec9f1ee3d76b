//! What can go wrong at an endpoint, and with the links to it.

use std::time::Duration;

use super::{End, Sim, What};

impl Sim {
    /// Kills an endpoint with its links, or brings it back.
    pub fn set_up(&mut self, address: &str, up: bool) {
        self.trace.note(self.now, format_args!("{address} is {}", if up { "up" } else { "dead" }));
        if let Some(e) = self.endpoints.get_mut(address) {
            e.up = up;
        }
        if !up {
            self.cut_links(address);
        }
    }

    /// Breaks every link to an endpoint, which lives on.
    pub fn cut_links(&mut self, address: &str) {
        for at in 0..self.wires.len() {
            let ours = self.wire(at).is_some_and(|w| w.address.as_deref() == Some(address));
            if ours {
                self.later(Duration::ZERO, What::EngineHearsEnd(at, End::Reset));
            }
        }
    }

    /// Ends every link to an endpoint from its side, after what it said.
    pub fn end_links(&mut self, address: &str, how: End) {
        for at in 0..self.wires.len() {
            if self.wire(at).is_some_and(|w| w.address.as_deref() == Some(address)) {
                self.ask_script(at, |_, io| io.end(how));
            }
        }
    }

    /// Stops or resumes the reading of every link to an endpoint by its script.
    pub fn stall_links(&mut self, address: &str, stalled: bool) {
        for at in 0..self.wires.len() {
            if self.wire(at).is_some_and(|w| w.address.as_deref() == Some(address)) {
                self.ask_script(at, |_, io| io.read(!stalled));
            }
        }
    }

    /// Sends bytes on every link of an endpoint, without being asked.
    pub fn say_on_links(&mut self, address: &str, bytes: &[u8]) {
        for at in 0..self.wires.len() {
            if self.wire(at).is_some_and(|w| w.address.as_deref() == Some(address)) {
                self.ask_script(at, |_, io| io.send(bytes));
            }
        }
    }

    /// Whether dials to an endpoint are neither accepted nor refused.
    pub fn set_deaf(&mut self, address: &str, deaf: bool) {
        if let Some(e) = self.endpoints.get_mut(address) {
            e.deaf = deaf;
        }
    }
}
