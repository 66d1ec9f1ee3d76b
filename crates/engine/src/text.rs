//! What is told to a human whose request Heptad ended itself. It knows no protocol: codecs put it into
//! their own words.

use heptad_core::{Outcome, Reason};

/// What is told to a human whose request Heptad ended itself.
pub(crate) const fn text(outcome: Outcome, reason: Reason) -> &'static str {
    match (outcome, reason) {
        (_, Reason::CrossShard) => "keys of the request live on different endpoints",
        (_, Reason::SingleEndpoint) => "the command needs a cluster with a single endpoint",
        (_, Reason::Unsupported) => "not supported through this router",
        (_, Reason::Queue) => "too many requests wait for a link to the endpoint",
        (_, Reason::LinkBuffer) => "the link's buffer to the endpoint is full",
        (_, Reason::LinkCount) => "too many links to the endpoint",
        (_, Reason::Buffered) => "too many bytes are buffered",
        (_, Reason::FrameSize) => "the frame is longer than the limit",
        (_, Reason::HeadSize) => "the head of the frame is longer than the limit",
        (_, Reason::ConnectTimeout) => "the endpoint could not be connected in time",
        (_, Reason::Refused) => "the endpoint refused the connection",
        (_, Reason::Greeting) => "the endpoint refused the login or set-up of the link",
        (Outcome::NoRoute, _) => "no route matches the request",
        (Outcome::NoEndpoint, _) => "the cluster has no usable endpoint",
        (Outcome::ConnectFailed, _) => "the endpoint cannot be connected",
        (Outcome::Reset, _) => "the connection to the endpoint broke before the reply came",
        (Outcome::Timeout, _) => "no reply within the time-out",
        (Outcome::Draining, _) => "shutting down",
        (Outcome::Denied, _) => "denied",
        (Outcome::Limited, _) => "over the limit",
        (Outcome::Overloaded, _) => "overloaded",
        _ => "the request could not be served",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads an error must not have to guess which of two limits it was.
    #[test]
    fn what_is_told_says_what_happened() {
        let reasons = [
            (Reason::CrossShard, "different endpoints"),
            (Reason::SingleEndpoint, "single endpoint"),
            (Reason::Unsupported, "not supported"),
            (Reason::Queue, "wait for a link"),
            (Reason::LinkBuffer, "link's buffer"),
            (Reason::LinkCount, "too many links"),
            (Reason::Buffered, "bytes are buffered"),
            (Reason::FrameSize, "the frame is longer"),
            (Reason::HeadSize, "the head of the frame is longer"),
            (Reason::ConnectTimeout, "connected in time"),
            (Reason::Refused, "refused the connection"),
            (Reason::Greeting, "login or set-up"),
        ];
        for (reason, words) in reasons {
            // A reason says more than an outcome.
            for outcome in [Outcome::BadRequest, Outcome::Overloaded, Outcome::ConnectFailed] {
                assert!(text(outcome, reason).contains(words), "{reason:?}: {words}");
            }
        }
        let outcomes = [
            (Outcome::NoRoute, "no route"),
            (Outcome::NoEndpoint, "no usable endpoint"),
            (Outcome::ConnectFailed, "cannot be connected"),
            (Outcome::Reset, "broke before the reply"),
            (Outcome::Timeout, "time-out"),
            (Outcome::Draining, "shutting down"),
            (Outcome::Denied, "denied"),
            (Outcome::Limited, "over the limit"),
            (Outcome::Overloaded, "overloaded"),
            (Outcome::BadRequest, "could not be served"),
        ];
        for (outcome, words) in outcomes {
            assert!(text(outcome, Reason::None).contains(words), "{outcome:?}: {words}");
        }
    }
}
