//! Lines to a file or a standard stream. A line is written whole or counted as failed.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use heptad_core::Feed;

use super::Sink;

/// How long a line may wait for others.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct File {
    to: To,
    /// An error was logged, and nothing could be written since.
    failing: bool,
    /// Half a line was written.
    torn: bool,
}

enum To {
    Path(PathBuf, fs::File),
    Stdout,
    Stderr,
}

impl File {
    pub(super) fn open(target: &str) -> Result<Self, String> {
        let to = match target {
            "stdout" => To::Stdout,
            "stderr" => To::Stderr,
            path => {
                let path = PathBuf::from(path);
                let file = append(&path)
                    .map_err(|error| format!("cannot write to {}: {error}", path.display()))?;
                To::Path(path, file)
            }
        };
        Ok(Self { to, failing: false, torn: false })
    }

    /// Writes as much as it can; how much that was, and why not all.
    fn write(&mut self, mut bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while !bytes.is_empty() {
            let wrote = match &mut self.to {
                To::Path(_, file) => file.write(bytes),
                To::Stdout => io::stdout().write(bytes),
                To::Stderr => io::stderr().write(bytes),
            };
            match wrote {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    written += n;
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        let flushed = match &mut self.to {
            To::Stdout => io::stdout().flush(),
            _ => Ok(()),
        };
        (written, flushed)
    }

    fn name(&self) -> String {
        match &self.to {
            To::Path(path, _) => path.display().to_string(),
            To::Stdout => "stdout".to_owned(),
            To::Stderr => "stderr".to_owned(),
        }
    }

    /// Says once that it goes wrong, and once that it goes on.
    fn tell(&mut self, result: &io::Result<()>) {
        match result {
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                let file = self.name();
                tracing::error!(file, %error, "cannot write records; counting those that are lost");
            }
            Ok(()) if std::mem::take(&mut self.failing) => {
                let file = self.name();
                tracing::info!(file, "records are written again");
            }
            _ => {}
        }
    }
}

impl Sink for File {
    fn pause(&self) -> Duration {
        PAUSE
    }

    fn take(&mut self, feed: &Arc<Feed>, lines: &[u8], records: u64, _: &dyn Fn() -> bool) {
        if std::mem::take(&mut self.torn) && self.write(b"\n").1.is_err() {
            // Still no room.
            self.torn = true;
            feed.fail(records);
            return;
        }
        let (written, result) = self.write(lines);
        if result.is_err() {
            let done = lines.get(..written).unwrap_or_default();
            self.torn = done.last().is_some_and(|byte| *byte != b'\n');
            let whole = done.iter().filter(|byte| **byte == b'\n').count() as u64;
            feed.fail(records.saturating_sub(whole));
        }
        self.tell(&result);
    }

    fn reopen(&mut self) {
        let To::Path(path, file) = &mut self.to else {
            return;
        };
        match append(path) {
            Ok(new) => {
                *file = new;
                self.torn = false;
            }
            Err(error) => {
                let file = self.name();
                tracing::error!(file, %error, "cannot open the file anew; the old one stays");
            }
        }
    }
}

fn append(path: &PathBuf) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).open(path)
}
