//! Which requests chance picks where only a share of them is of interest.

use fastrand::Rng;
use heptad_core::OptionsError;

/// A share of requests; all unless told.
pub(crate) fn percent(option: &str, value: Option<f64>) -> Result<f64, OptionsError> {
    let value = value.unwrap_or(100.0);
    if (0.0..=100.0).contains(&value) {
        return Ok(value);
    }
    Err(OptionsError::new(option, "a share of the requests, per cent: 0 to 100"))
}

/// One worker's draw of such a share.
pub(crate) struct Sample {
    /// Random numbers below this are of the sample, if not all are.
    below: u64,
    /// Also for what else its filter leaves to chance.
    pub(crate) rng: Rng,
    /// The request that comes now was drawn already.
    drawn: bool,
}

impl Sample {
    /// Of so many per cent.
    pub(crate) fn new(percent: f64, seed: u64) -> Self {
        Self { below: share(percent), rng: Rng::with_seed(seed), drawn: false }
    }

    /// Whether nothing is left to chance.
    pub(crate) fn is_all(&self) -> bool {
        self.below == u64::MAX
    }

    /// Whether it has the request that comes now.
    #[inline]
    pub(crate) fn has_this(&mut self) -> bool {
        std::mem::take(&mut self.drawn) || self.draw()
    }

    /// The same, asked before the request is shown: if it has it, [`Sample::has_this`] will say so.
    #[inline]
    pub(crate) fn has_next(&mut self) -> bool {
        self.drawn = self.draw();
        self.drawn
    }

    fn draw(&mut self) -> bool {
        self.is_all() || self.rng.u64(..) < self.below
    }
}

/// So many of all random numbers are a share in per cent.
fn share(percent: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "it saturates, and a sample need not be more exact"
    )]
    let share = (percent / 100.0 * u64::MAX as f64) as u64;
    share
}
