//! Which endpoints of a cluster a frame is for, as far as the frame says so itself. Knows what the
//! codec found and nothing of links; what serves requests and what explains them ask the same here.

use heptad_core::{Codec, FanOut, Meta, Outcome, Reason};

use crate::{plan::End, pool::Pool};

/// A whole request and the state of the connection it came on.
pub(crate) struct Whole<'a, C: Codec> {
    pub(crate) codec: &'a C,
    pub(crate) conn: &'a C::Conn,
    pub(crate) meta: &'a Meta,
    pub(crate) tag: C::Tag,
    pub(crate) frame: &'a [u8],
}

impl<C: Codec> Whole<'_, C> {
    /// The endpoint of a frame that goes to one of `of`; `None` if it goes to several, or to
    /// nobody. `spread`: parts of it may live apart. `chosen` is the endpoint that an attribute's
    /// hash decided. `pick` is the balancer, given the key that decides, if one does.
    pub(crate) fn one(
        &self,
        of: usize,
        spread: bool,
        chosen: Option<usize>,
        scratch: &mut Vec<u8>,
        mut pick: impl FnMut(Option<&[u8]>) -> Option<usize>,
    ) -> Option<usize> {
        if of == 1 {
            return Some(0);
        }
        let Self { codec, conn, meta, tag, frame } = *self;
        match meta.fan_out {
            FanOut::All => None,
            FanOut::Split if spread => None,
            FanOut::Home => Some(0),
            FanOut::Index => Some(codec.index(meta, tag, frame, of).min(of - 1)),
            FanOut::Same | FanOut::Split => {
                let mut first = None;
                let _ = codec.keys(conn, meta, tag, frame, &mut |k| {
                    first = first.or_else(|| pick(Some(k)));
                });
                first.or_else(|| pick(None))
            }
            _ => match chosen {
                Some(at) => Some(at),
                None => pick(codec.key(conn, meta, frame, scratch).ok().flatten()),
            },
        }
    }

    /// Refuses what cannot be done with the several endpoints of a pool, of which the session may
    /// hold a link to one.
    pub(crate) fn together(&self, held: Option<usize>, pool: &Pool) -> Result<(), End> {
        if self.meta.fan_out == FanOut::Alone {
            return Err((Outcome::BadRequest, Reason::SingleEndpoint));
        }
        let same = match self.meta.fan_out {
            FanOut::Same => true,
            FanOut::One | FanOut::Split => held.is_some(),
            _ => false,
        };
        if !same || !pool.balancer.is_hashing() {
            return Ok(());
        }
        let mut home = held;
        let mut crossed = false;
        let _ = self.codec.keys(self.conn, self.meta, self.tag, self.frame, &mut |k| {
            let at = pool.locate(k);
            crossed |= home.is_some() && at != home;
            home = home.or(at);
        });
        if crossed { Err((Outcome::BadRequest, Reason::CrossShard)) } else { Ok(()) }
    }
}
