//! The one call with which a codec is put through all checks.

/// Tests that a codec keeps its contract: a module `conformance` with one test per
/// [`Group`](crate::Group).
///
/// A sample is a list of frames that come one behind the other on a new connection; of a server,
/// behind the frames that it answers. `headers` names headers that occur in the requests, and is
/// left out for protocols without. `with` sets whatever else
/// [`Conformance`](crate::Conformance) can be told.
///
/// ```
/// use awesomerpc::{AwesomeRpc, wire::Message};
///
/// fn list() -> Vec<u8> {
///     Message::request(7, "reviews", "list").header("user", "jason").to_bytes()
/// }
///
/// heptad_testkit::conformance! {
///     codec: AwesomeRpc::default(),
///     requests: [[list(), Message::oneway("audit", "note").to_bytes()], [list()]],
///     replies: [[list()] => [Message::reply(7, "five stars").to_bytes()]],
///     headers: ["user"],
///     with: |suite| suite.rounds(100).hostile(b"GET / HTTP/1.1\r\n", heptad_core::Outcome::BadRequest),
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    (
        codec: $codec:expr,
        requests: [$([$($request:expr),* $(,)?]),* $(,)?],
        replies: [$([$($asked:expr),* $(,)?] => [$($reply:expr),* $(,)?]),* $(,)?]
        $(, headers: [$($header:expr),* $(,)?])?
        $(, with: $with:expr)?
        $(,)?
    ) => {
        #[cfg(test)]
        mod conformance {
            #[allow(unused_imports, reason = "samples may need nothing of what is around")]
            use super::*;

            fn suite() -> $crate::Conformance<impl ::heptad_core::Codec> {
                let suite = $crate::Conformance::new($codec);
                $(let suite = {
                    let (bytes, frames) = $crate::frames(&[$(&($request)[..]),*]);
                    suite.requests(&bytes, frames)
                };)*
                $(let suite = {
                    let (asked, _) = $crate::frames(&[$(&($asked)[..]),*]);
                    let (bytes, frames) = $crate::frames(&[$(&($reply)[..]),*]);
                    suite.replies(&asked, &bytes, frames)
                };)*
                $(let suite = suite.headers(&[$($header),*]);)?
                $(let suite = $crate::with(suite, $with);)?
                suite
            }

            #[test]
            fn frames() {
                suite().assert_groups(&[$crate::Group::Frames]);
            }

            #[test]
            fn garbage() {
                suite().assert_groups(&[$crate::Group::Garbage]);
            }

            #[test]
            fn rewrite() {
                suite().assert_groups(&[$crate::Group::Rewrite]);
            }

            #[test]
            fn answers() {
                suite().assert_groups(&[$crate::Group::Answers]);
            }

            #[test]
            fn state() {
                suite().assert_groups(&[$crate::Group::State]);
            }
        }
    };
}

/// The frames of a sample as bytes, and how many they are.
#[doc(hidden)]
pub fn frames(all: &[&[u8]]) -> (Vec<u8>, usize) {
    (all.concat(), all.len())
}

/// Applies a closure whose parameter's type nobody has to write.
#[doc(hidden)]
pub fn with<C: heptad_core::Codec>(
    suite: super::Conformance<C>,
    more: impl FnOnce(super::Conformance<C>) -> super::Conformance<C>,
) -> super::Conformance<C> {
    more(suite)
}

/// A fuzz target of a codec: `decode`, `chunks` or `rewrite`, see [`fuzz`](crate::fuzz). To be called
/// in a binary with `#![no_main]` that depends on `libfuzzer-sys`; the second argument is an
/// expression for a [`Conformance`](crate::Conformance), which needs no samples.
///
/// ```ignore
/// #![no_main]
/// heptad_testkit::fuzz_target!(decode, Conformance::new(AwesomeRpc::default()).headers(&["user"]));
/// ```
#[macro_export]
macro_rules! fuzz_target {
    ($target:ident, $suite:expr) => {
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::fuzz::$target(&$suite, data));
    };
}
