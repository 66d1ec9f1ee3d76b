//! How a request ended, in the one closed vocabulary that metrics, logs, retries and answers share.

use std::fmt;

macro_rules! words {
    ($(#[$m:meta])* $name:ident { $($(#[$vm:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vm])* $variant,)* }

        impl $name {
            /// Every word, in declaration order; `ALL[x as usize] == x`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as it appears in metrics, logs, configuration and documentation.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a request ended. A closed list: a codec classifies its replies into it, and everything
    /// that Heptad itself decides is one of these too.
    Outcome {
        /// The endpoint answered and the answer is a success.
        #[default]
        Ok = "ok",
        /// The application answered with an error of its own; does not count against the endpoint.
        AppError = "app_error",
        /// The endpoint answered that the protocol was not followed, or could not serve the call.
        ProtocolError = "protocol_error",
        /// The client sent something that is not the protocol, or that it may not send.
        BadRequest = "bad_request",
        /// A frame, head, depth or count passed its limit.
        TooLarge = "too_large",
        /// The client has not logged in.
        Unauthenticated = "unauthenticated",
        /// A rule forbids the request.
        Denied = "denied",
        /// A rate or concurrency limit was reached.
        Limited = "limited",
        /// Heptad or the endpoint has no room.
        Overloaded = "overloaded",
        /// No route matched.
        NoRoute = "no_route",
        /// The cluster has no usable endpoint.
        NoEndpoint = "no_endpoint",
        /// A connection to the endpoint could not be opened or prepared.
        ConnectFailed = "connect_failed",
        /// The link died before the reply came.
        Reset = "reset",
        /// The deadline passed.
        Timeout = "timeout",
        /// The client left, or cancelled.
        Cancelled = "cancelled",
        /// Heptad or the endpoint is shutting down.
        Draining = "draining",
        /// A fault was injected on purpose.
        FaultInjected = "fault_injected",
    }
}

words! {
    /// Which limit, fault or rule is behind an [`Outcome`]; `none` where the outcome says it all.
    Reason {
        /// Nothing to add.
        #[default]
        None = "none",
        /// Bytes that are not the protocol.
        Malformed = "malformed",
        /// A frame longer than `max_frame`.
        FrameSize = "frame_size",
        /// A head longer than `max_head`.
        HeadSize = "head_size",
        /// Nesting deeper than `max_depth`.
        Depth = "depth",
        /// More parts or keys than `max_parts`.
        Parts = "parts",
        /// More bytes buffered by one worker than `max_buffered`.
        Buffered = "buffered",
        /// A session's unread replies passed their hard mark.
        SlowReader = "slow_reader",
        /// The queue of requests waiting for a link is full.
        Queue = "queue",
        /// A link's out-buffer is full.
        LinkBuffer = "link_buffer",
        /// Too many links to the endpoint.
        LinkCount = "link_count",
        /// Too many sessions.
        Sessions = "sessions",
        /// No free id on the link.
        Ids = "ids",
        /// Too many replies outstanding that nobody waits for.
        Orphans = "orphans",
        /// The time to open a connection passed.
        ConnectTimeout = "connect_timeout",
        /// The peer refused the connection.
        Refused = "refused",
        /// The link's login or set-up was refused by the endpoint.
        Greeting = "greeting",
        /// The keys of one request live on different endpoints.
        CrossShard = "cross_shard",
        /// The command needs a cluster with a single endpoint.
        SingleEndpoint = "single_endpoint",
        /// The command is not supported through a router.
        Unsupported = "unsupported",
        /// The connection was idle for too long.
        Idle = "idle",
        /// The peer closed the connection.
        Closed = "closed",
        /// The time for the request passed.
        Request = "request",
        /// A filter refused or dropped it.
        Filter = "filter",
        /// A frame the receiver does not expect in its state.
        Unexpected = "unexpected",
        /// Wrong name or password.
        Credentials = "credentials",
        /// A route answered directly.
        Direct = "direct",
        /// Part of a fanned-out request failed.
        Partial = "partial",
        /// The endpoint did not answer a ping.
        Ping = "ping",
    }
}

/// What [`Codec::answer`](crate::Codec::answer) is asked to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// The reply to a [`Kind::Ping`](crate::Kind::Ping).
    Pong,
    /// The codec's own answer to a frame for which `accepted` returned
    /// [`Accepted::Local`](crate::Accepted::Local).
    Local,
    /// An error in the protocol's own words. `text` is for the human at the client: one line, no
    /// control characters, at most 512 bytes.
    Error {
        /// What happened; `AppError` and `Ok` do not occur here.
        outcome: Outcome,
        /// Which limit, fault or rule.
        reason: Reason,
        /// Text for the human at the client.
        text: &'a str,
    },
    /// A success with a body from the configuration (a route's direct answer).
    Direct {
        /// The text that the protocol should carry as its simplest successful reply.
        text: &'a str,
    },
}
