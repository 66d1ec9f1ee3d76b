//! What the demo's clients saw of policies: who may not ask at all, who asks too often, and what
//! they were told. Knows the words of a refusal; how a protocol says them is its client's business.

/// The tenant, and what the keys begin with, for which there is a rate limit.
pub(crate) const GREEDY: &str = "greedy";
/// A tenant for which there is none.
pub(crate) const MODEST: &str = "modest";
/// One in so many that may be of the greedy tenant is.
pub(crate) const ONE_IN: u32 = 8;

/// How the refusals of the two policies begin.
const DENIED: &str = "denied by rule deny[0] of authorize";
const LIMITED: &str = "over the limit of 10/s for ";

/// Who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody, for what nobody may ask for.
    Private,
    /// The greedy tenant, for what everybody may ask for.
    Greedy,
    /// Anybody else.
    Other,
}

/// A refusal that says by which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Denied,
    Limited,
}

impl Told {
    /// What a client was told, if the text is that of this policy.
    pub(crate) fn by(self, text: &str) -> Option<Self> {
        let words = match self {
            Self::Denied => DENIED,
            Self::Limited => LIMITED,
        };
        text.starts_with(words).then_some(self)
    }
}

/// The account of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policed {
    /// Requests for what is private that were answered in some way.
    pub(crate) private: u64,
    /// Those of them whose client was told that they are denied.
    pub(crate) denied: u64,
    /// Requests of the greedy tenant that a server answered.
    pub(crate) passed: u64,
    /// Requests of the greedy tenant that was told of the limit.
    pub(crate) limited: u64,
    /// Requests of others that a server answered.
    pub(crate) others: u64,
    /// Requests of others that were told of a limit that is not theirs.
    pub(crate) wronged: u64,
}

impl Policed {
    /// Takes an answer down; whether it was a refusal that needs no further look.
    pub(crate) fn settle(&mut self, who: Who, told: Option<Told>) -> bool {
        self.private += u64::from(who == Who::Private);
        let (count, refused) = match (who, told) {
            (Who::Private, Some(Told::Denied)) => (&mut self.denied, true),
            (Who::Greedy, Some(Told::Limited)) => (&mut self.limited, true),
            (_, Some(Told::Limited)) => (&mut self.wronged, true),
            (Who::Greedy, None) => (&mut self.passed, false),
            (Who::Other, None) => (&mut self.others, false),
            (Who::Private, None) | (_, Some(Told::Denied)) => return false,
        };
        *count += 1;
        refused
    }

    /// Adds another account.
    pub(crate) fn merge(&mut self, other: Self) {
        self.private += other.private;
        self.denied += other.denied;
        self.passed += other.passed;
        self.limited += other.limited;
        self.others += other.others;
        self.wronged += other.wronged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_only_for_whom_it_is_meant() {
        let limited = "over the limit of 10/s for header.tenant \"greedy\"";
        let denied = "denied by rule deny[0] of authorize";
        assert_eq!(Told::Limited.by(limited), Some(Told::Limited));
        assert_eq!(Told::Denied.by(denied), Some(Told::Denied));
        assert_eq!((Told::Denied.by(limited), Told::Limited.by(denied)), (None, None));
        let mut seen = Policed::default();
        let (no, yes) = (Some(Told::Denied), Some(Told::Limited));
        let asked = [Who::Private, Who::Greedy, Who::Other];
        assert_eq!(asked.map(|who| seen.settle(who, no)), [true, false, false]);
        assert_eq!(asked.map(|who| seen.settle(who, yes)), [true; 3]);
        assert_eq!(asked.map(|who| seen.settle(who, None)), [false; 3]);
        let once = Policed { private: 3, denied: 1, passed: 1, limited: 1, others: 1, wronged: 2 };
        assert_eq!(seen, once);
    }
}
