//! What few exchanges have: edits, copies, a fan-out, a reply that waits. It costs those that have
//! nothing of it a pointer and two marks.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use heptad_core::{Chain, HeaderEdit, Outcome};

use crate::{Mirror, arena::Key, fan::Fan, plan::End};

/// What few exchanges have. Kept apart, and told by marks whether any of it was touched: the usual
/// exchange neither reads nor clears it.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    away: Box<Away>,
    touched: bool,
    ahead: bool,
}

#[derive(Debug, Default)]
struct Away {
    extras: Extras,
    /// The finished reply, while it waits for its turn.
    ready: Chain,
    /// What filters remember.
    numbers: Vec<u64>,
}

impl Rare {
    /// Whether everything is as at the beginning.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        !self.touched
    }

    /// What is changed of the request's headers: where a filter wants something, that and the
    /// route's, which are in front of it by then.
    #[inline]
    pub(crate) fn request_edits(&self) -> &[HeaderEdit] {
        if self.is_plain() {
            return &[];
        }
        match &self.away.extras {
            Extras { edits, .. } if !edits.is_empty() => edits,
            Extras { request_headers: Some(headers), .. } => headers,
            _ => &[],
        }
    }

    /// The finished reply, while it waits for its turn.
    #[inline]
    pub(crate) fn ready(&self) -> &Chain {
        &self.away.ready
    }

    #[inline]
    pub(crate) fn ready_mut(&mut self) -> &mut Chain {
        self.ahead = true;
        &mut self.away.ready
    }

    /// What filters remember, for [`Memory`].
    #[inline]
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.away.numbers
    }

    #[inline]
    pub(crate) fn numbers_mut(&mut self) -> &mut Vec<u64> {
        &mut self.away.numbers
    }

    /// The extras, and what filters remember.
    pub(crate) fn parts(&mut self) -> (&mut Extras, &mut Vec<u64>) {
        self.touched = true;
        let Away { extras, numbers, .. } = &mut *self.away;
        (extras, numbers)
    }

    /// Gives back what it owns, but for short memory.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.ahead {
            self.away.ready = Chain::default();
            self.ahead = false;
        }
        if self.touched {
            self.away.extras.clear();
            self.touched = false;
        }
    }
}

impl Deref for Rare {
    type Target = Extras;

    #[inline]
    fn deref(&self) -> &Extras {
        &self.away.extras
    }
}

impl DerefMut for Rare {
    #[inline]
    fn deref_mut(&mut self) -> &mut Extras {
        self.touched = true;
        &mut self.away.extras
    }
}

/// The parts of an exchange that few have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// What filters want changed.
    pub(crate) edits: Vec<HeaderEdit>,
    /// What an answer must repeat of the request, if it is long.
    pub(crate) long: Vec<u8>,
    pub(crate) reply_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) request_headers: Option<Arc<[HeaderEdit]>>,
    /// The endpoint, where an attribute's hash decided it.
    pub(crate) chosen: Option<usize>,
    pub(crate) fan: Option<Fan>,
    /// The frame, while it waits.
    pub(crate) frame: Vec<u8>,
    /// The frame as it was sent, where it may have to be sent again elsewhere.
    pub(crate) kept: Vec<u8>,
    /// How often it was, and what goes right ahead of it the next time.
    pub(crate) redirects: u8,
    pub(crate) ahead: (&'static [u8], u32),
    /// Where a copy of it goes (the cluster is a pool's number here), and the copy that is on its way.
    pub(crate) mirror: Option<Mirror>,
    pub(crate) copied: Option<Key>,
    /// What its route answers without asking anybody.
    pub(crate) direct: Option<(Outcome, Arc<str>)>,
    /// A digest of its reply, where the copy's is compared by bytes.
    pub(crate) digest: u64,
    /// Its number among the requests that a tap took; 0 for none.
    pub(crate) tapped: u64,
    /// How it ended and its code's number, for the tap, until it is its turn.
    pub(crate) told: Option<(End, u16)>,
}

impl Extras {
    /// As at the beginning, but for short memory.
    fn clear(&mut self) {
        let mut edits = std::mem::take(&mut self.edits);
        edits.clear();
        let mut long = std::mem::take(&mut self.long);
        long.clear();
        *self = Self { edits, long, ..Self::default() };
    }
}
