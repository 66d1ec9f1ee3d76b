//! The parts of an exchange that goes to several endpoints, and what became of each.

use heptad_core::{Meta, Outcome, Reason};

use crate::machine::LinkId;

/// The parts of a fanned-out exchange. Recycled with its buffers.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    pub(crate) parts: Vec<FanPart>,
    /// How many of `parts` are in use.
    pub(crate) used: usize,
    /// How many have no reply yet.
    pub(crate) left: usize,
}

#[derive(Debug, Default)]
pub(crate) struct FanPart {
    pub(crate) endpoint: usize,
    pub(crate) picks: Vec<u32>,
    pub(crate) place: Option<(LinkId, u64)>,
    pub(crate) reply: PartState,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PartState {
    #[default]
    Open,
    Reply(Meta),
    Failed(Outcome, Reason),
}

impl Fan {
    /// The part for an endpoint; a new one if there is none yet.
    pub(crate) fn part_for(&mut self, endpoint: usize) -> &mut FanPart {
        let used = self.used;
        let at = self.parts.iter().take(used).position(|p| p.endpoint == endpoint);
        let at = at.unwrap_or_else(|| {
            if self.parts.len() == used {
                self.parts.push(FanPart::default());
            }
            self.used += 1;
            used
        });
        let fresh = at == used;
        let part = &mut self.parts[at];
        if fresh {
            part.endpoint = endpoint;
            part.picks.clear();
            part.place = None;
            part.reply = PartState::Open;
            part.bytes.clear();
        }
        part
    }

    pub(crate) fn active(&self) -> &[FanPart] {
        self.parts.get(..self.used).unwrap_or_default()
    }
}
