//! Requests that an endpoint says should go elsewhere: sent again, a bounded number of times.
//!
//! Knows no protocol: the codec reads the reply. Only exchanges with one attempt on a link that the
//! session does not hold are redirected; what is bound to a held link stays there, and its client
//! sees the reply.

use heptad_core::{Bind, Codec, Redirect, Time};

use crate::{Engine, arena::Key};

/// How often one request is sent elsewhere before its client sees the reply.
const MOST: u8 = 5;

impl<C: Codec> Engine<C> {
    /// Keeps a frame that may have to be sent again.
    pub(crate) fn keep(&mut self, key: Key, pool: usize, frame: &[u8]) {
        if self.pools.get(pool).is_none_or(|p| !p.redirects) {
            return;
        }
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let free = matches!(x.meta.bind, Bind::Shared | Bind::Exchange);
        let held = self.sessions.get(x.session.0).is_none_or(|s| !s.held.is_empty());
        if free && !held && x.rare.kept.is_empty() {
            let mut kept = self.spare_frames.pop().unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(frame);
            self.buffered += kept.len();
            x.rare.kept = kept;
        }
    }

    /// Sends a request to where its reply points; whether it could.
    pub(crate) fn redirect(&mut self, now: Time, key: Key, to: &Redirect<'_>) -> bool {
        let Some(x) = self.exchanges.get_mut(key) else {
            return false;
        };
        let Some(p) = x.pool().and_then(|at| self.pools.get_mut(at)) else {
            return false;
        };
        if x.rare.redirects >= MOST {
            return false;
        }
        let Some(endpoint) = p.learn(to.address) else {
            return false;
        };
        if let Some(slot) = to.slot {
            p.balancer.move_slot(slot, endpoint);
        }
        x.rare.redirects += 1;
        x.rare.chosen = Some(endpoint);
        x.rare.ahead = to.ahead;
        let frame = std::mem::take(&mut x.rare.kept);
        self.buffered = self.buffered.saturating_sub(frame.len());
        self.stats.redirects += 1;
        self.dispatch(now, key, &frame, None);
        true
    }
}
