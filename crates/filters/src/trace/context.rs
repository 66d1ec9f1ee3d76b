//! The W3C's trace context: reading and writing `traceparent`, version 00.

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    /// The span of whoever sent it.
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

impl Context {
    /// Reads a header. `None`: it is not valid, and so a trace of its own begins.
    pub(super) fn parse(header: &[u8]) -> Option<Self> {
        let mut rest = header;
        let [version] = hex(take(&mut rest, 2)?)?;
        dash(&mut rest)?;
        let trace: [u8; 16] = hex(take(&mut rest, 32)?)?;
        dash(&mut rest)?;
        let span: [u8; 8] = hex(take(&mut rest, 16)?)?;
        dash(&mut rest)?;
        let [flags] = hex(take(&mut rest, 2)?)?;
        // Later versions may add to it, behind another dash.
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.first() == Some(&b'-'),
        };
        let valid = ends && trace != [0; 16] && span != [0; 8];
        valid.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// What is sent on.
    pub(super) fn header(&self) -> Box<str> {
        let mut out = String::with_capacity(55);
        out.push_str("00-");
        put_hex(&mut out, &self.trace);
        out.push('-');
        put_hex(&mut out, &self.span);
        out.push_str(if self.sampled { "-01" } else { "-00" });
        out.into_boxed_str()
    }
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(n)?;
    *rest = left;
    Some(taken)
}

fn dash(rest: &mut &[u8]) -> Option<()> {
    (take(rest, 1)? == b"-").then_some(())
}

/// Lower case only, as the specification demands.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    const fn digit(c: u8) -> Option<u8> {
        match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        }
    }
    let mut out = [0; N];
    let (pairs, _) = text.as_chunks::<2>();
    for (to, [high, low]) in out.iter_mut().zip(pairs) {
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    (pairs.len() == N).then_some(out)
}

fn put_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = Context::parse(GOOD.as_bytes()).expect("the specification's example");
        assert_eq!((context.trace[0], context.trace[15]), (0x4b, 0x36));
        assert_eq!(context.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(context.sampled);
        assert_eq!(&*context.header(), GOOD);
        // Flags that are not known are not sent on.
        let flags = GOOD.replace("-01", "-fe");
        let context = Context::parse(flags.as_bytes()).expect("good");
        assert!(!context.sampled && context.header().ends_with("-00"));
    }

    #[test]
    fn later_versions_may_be_longer() {
        for (header, good) in [
            (GOOD.replace("00-4b", "01-4b"), true),
            (GOOD.replace("00-4b", "cc-4b") + "-more", true),
            (GOOD.replace("00-4b", "cc-4b") + "more", false),
            (GOOD.to_owned() + "-more", false),
            (GOOD.replace("00-4b", "ff-4b"), false),
        ] {
            assert_eq!(Context::parse(header.as_bytes()).is_some(), good, "{header}");
        }
    }

    #[test]
    fn what_is_not_valid_begins_a_new_trace() {
        for bad in [
            String::new(),
            "00".to_owned(),
            GOOD[..54].to_owned(),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!(" {GOOD}"),
            GOOD.replace("0e0e", "é0e"),
        ] {
            assert_eq!(Context::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
