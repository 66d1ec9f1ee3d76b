//! Times and numbers as text, without allocation. Knows no clock.

use std::cell::RefCell;

const NANOS: u64 = 1_000_000_000;

thread_local! {
    /// The second that was asked for last: moments come in nearly the order of time.
    static LAST: RefCell<(u64, [u8; 27])> =
        const { RefCell::new((0, *b"1970-01-01T00:00:00.000000Z")) };
}

/// Writes a point in time, in nanoseconds since the Unix epoch, as RFC 3339 with microseconds:
/// `2026-02-03T04:05:06.123456Z`.
pub(crate) fn set_moment(text: &mut [u8; 27], nanos: u64) {
    let seconds = nanos / NANOS;
    LAST.with_borrow_mut(|(last, known)| {
        if *last != seconds {
            (*last, *known) = (seconds, whole(seconds));
        }
        *text = *known;
    });
    let micros = (nanos - seconds * NANOS) as u32 / 1000;
    if let Some(fraction) = text.get_mut(20..).and_then(|rest| rest.first_chunk_mut()) {
        *fraction = six(micros);
    }
}

fn whole(seconds: u64) -> [u8; 27] {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let ([y0, y1], [y2, y3]) = (pair(year / 100), pair(year));
    let ([m0, m1], [d0, d1]) = (pair(month), pair(day));
    text[..10].copy_from_slice(&[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1]);
    let ([h0, h1], [m0, m1], [s0, s1]) = (pair(hour), pair(minute), pair(second));
    text[11..19].copy_from_slice(&[h0, h1, b':', m0, m1, b':', s0, s1]);
    text
}

/// The last two digits of a number.
const fn pair(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// The last six digits of a number.
const fn six(number: u32) -> [u8; 6] {
    const fn two(number: u32) -> [u8; 2] {
        [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
    }
    let ([a, b], [c, d]) = (two(number / 10_000 % 100), two(number / 100 % 100));
    let [e, f] = two(number % 100);
    [a, b, c, d, e, f]
}

/// The date of a day since the Unix epoch in the Gregorian calendar. Years are counted from the
/// first of March, so that the leap day is a year's last.
const fn date(days: u64) -> (u64, u64, u64) {
    // Days since the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    // Leap days of the 4, 100 and 400 years before that day.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months of 31, 30, 31, 30, 31 days repeat: 153 days in five months.
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (400 * era + year + (month <= 2) as u64, month, day)
}

/// Appends nanoseconds as seconds with microseconds: `0.001234`.
#[inline]
pub(crate) fn put_seconds(out: &mut Vec<u8>, nanos: u64) {
    if nanos < 10 * NANOS {
        let [a, b, c, d, e, f] = six((nanos % NANOS / 1000) as u32);
        out.extend_from_slice(&[b'0' + (nanos / NANOS) as u8, b'.', a, b, c, d, e, f]);
    } else {
        put_number(out, nanos / NANOS);
        let [a, b, c, d, e, f] = six((nanos % NANOS / 1000) as u32);
        out.extend_from_slice(&[b'.', a, b, c, d, e, f]);
    }
}

/// Appends a whole number. The standard formatter takes ten times as long, and a line has a dozen
/// numbers.
#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    if number >= 10_000 {
        return put_long(out, number);
    }
    // All four digits, of which those in front are cut off.
    let number = number as u32;
    let digits = |n: u32| u32::from(b'0') + n % 10;
    let [a, b] = [digits(number / 1000), digits(number / 100)];
    let [c, d] = [digits(number / 10), digits(number)];
    let word = a | b << 8 | c << 16 | d << 24;
    let skip = 3 - u32::min(
        3,
        u32::from(number >= 10) + u32::from(number >= 100) + u32::from(number >= 1000),
    );
    let end = out.len() + 4 - skip as usize;
    out.extend_from_slice(&(word >> (8 * skip)).to_le_bytes());
    out.truncate(end);
}

fn put_long(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut left = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        left = at;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(left..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(nanos: u64) -> String {
        let mut text = [0; 27];
        set_moment(&mut text, nanos);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
            (1_770_091_506, "2026-02-03T04:05:06.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(moment(seconds * NANOS), text);
        }
        assert_eq!(moment(123_456_789), "1970-01-01T00:00:00.123456Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        assert_eq!(before, (1970, 1, 1));
        for day in 1..200_000 {
            let (year, month, date) = date(day);
            let next_day = (year, month) == (before.0, before.1) && date == before.2 + 1;
            let next_month =
                year == before.0 && month == before.1 + 1 && date == 1 && before.2 >= 28;
            let next_year = year == before.0 + 1 && (month, date) == (1, 1) && before.1 == 12;
            assert!(next_day || next_month || next_year, "{before:?} {year}-{month}-{date}");
            before = (year, month, date);
        }
    }

    #[test]
    fn seconds_and_numbers() {
        let mut out = Vec::new();
        put_seconds(&mut out, 12_001_234_999);
        out.push(b' ');
        put_number(&mut out, 7);
        out.push(b' ');
        put_number(&mut out, 0);
        out.push(b' ');
        put_number(&mut out, u64::MAX);
        assert_eq!(out, b"12.001234 7 0 18446744073709551615");
    }
}
