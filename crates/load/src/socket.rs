//! A non-blocking connection: bytes in to a closure that takes whole frames, bytes out in one write.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

/// Bytes read at once.
pub(crate) const SCRATCH: usize = 256 << 10;

pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    /// The beginning of a frame whose end has not come yet.
    left: Vec<u8>,
    /// What is to be written.
    pub(crate) out: Vec<u8>,
    sent: usize,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, left: Vec::new(), out: Vec::new(), sent: 0 })
    }

    /// Reads all there is. `take` gets everything that is not taken yet, may append to the output,
    /// and returns how many bytes it took. `Ok(false)`: the other side has closed.
    pub(crate) fn read<E>(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, E>,
    ) -> Result<bool, Option<E>> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(None),
            };
            let fresh = &scratch[..read];
            if self.left.is_empty() {
                let taken = take(fresh, &mut self.out).map_err(Some)?;
                self.left.extend_from_slice(&fresh[taken..]);
            } else {
                self.left.extend_from_slice(fresh);
                let taken = take(&self.left, &mut self.out).map_err(Some)?;
                self.left.drain(..taken);
            }
            // Less than asked for: the kernel has no more, and says so when it has.
            if read < scratch.len() {
                return Ok(true);
            }
        }
    }

    /// Writes what it can; the rest goes when the connection is writable again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}
