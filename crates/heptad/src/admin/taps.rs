//! `/tap`: an open tap as a stream of lines. It is closed when whoever reads has gone.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use heptad_config::TapPolicy;
use heptad_route::Match;
use serde::Deserialize;
use serde_json::json;

use super::App;
use crate::{TapError, TapOptions, Tapping};

/// How often a tap is read.
const EVERY: Duration = Duration::from_millis(20);
/// A reader that nothing is said to is asked so often whether it is still there.
const QUIET: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Wanted {
    listener: Option<String>,
    #[serde(rename = "match")]
    matches: Option<String>,
    percent: Option<f64>,
}

pub(super) async fn tap(State(app): State<App>, Query(wanted): Query<Wanted>) -> Response {
    let bad = |why: String| (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
    // As it was started: a file that is read again opens nothing to others.
    let policy = app.running.tap_policy();
    if policy == TapPolicy::Off {
        let text = "Taps are off; `admin.tap` in the configuration turns them on.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let known: Vec<_> = app.running.listeners().map(|one| one.name.clone()).collect();
    let listener = match (&wanted.listener, &known[..]) {
        (Some(name), _) => name.clone(),
        (None, [one]) => one.clone(),
        (None, _) => return bad(format!("Which listener? There are: {}", known.join(", "))),
    };
    let mut options = TapOptions { frames: policy == TapPolicy::Full, ..TapOptions::default() };
    if let Some(text) = &wanted.matches {
        match serde_json::from_str::<Match>(text) {
            Ok(matches) => options.when = matches.into(),
            Err(error) => return bad(format!("match: {error}")),
        }
    }
    match wanted.percent {
        None => {}
        Some(percent) if (0.0..=100.0).contains(&percent) => options.percent = percent,
        Some(percent) => return bad(format!("percent: {percent} is not from 0 to 100")),
    }
    match app.running.tap(&listener, options) {
        Err(error @ TapError::NoListener { .. }) => {
            bad(format!("{error}; there are: {}", known.join(", ")))
        }
        Err(error) => (StatusCode::CONFLICT, format!("{error}\n")).into_response(),
        Ok(tapping) => {
            let info = app.running.listeners().find(|one| one.name == listener);
            let begin = json!({
                "listener": listener,
                "codec": info.map(|info| &info.codec),
                "address": info.map(|info| &info.address),
                "frames": policy == TapPolicy::Full,
            });
            let lines = Lines { tapping, first: Some(begin.to_string()), quiet: 0, dropped: 0 };
            let body = Body::from_stream(stream::unfold(lines, next));
            ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
        }
    }
}

struct Lines {
    tapping: Tapping,
    first: Option<String>,
    quiet: u32,
    dropped: u64,
}

async fn next(mut lines: Lines) -> Option<(Result<Bytes, std::convert::Infallible>, Lines)> {
    let mut text = String::new();
    if let Some(first) = lines.first.take() {
        text += &first;
        text.push('\n');
    }
    while text.is_empty() {
        tokio::time::sleep(EVERY).await;
        lines.tapping.read(&mut |frame| {
            text += &frame.to_json().to_string();
            text.push('\n');
        });
        let dropped = lines.tapping.dropped();
        if dropped != lines.dropped {
            lines.dropped = dropped;
            text += &json!({ "dropped": dropped }).to_string();
            text.push('\n');
        }
        lines.quiet += 1;
        if lines.quiet >= QUIET {
            text.push('\n');
        }
    }
    lines.quiet = 0;
    Some((Ok(text.into()), lines))
}
