//! Times and numbers as text, without allocation. Knows no clock.

const NANOS: u64 = 1_000_000_000;

/// Appends a point in time, in nanoseconds since the Unix epoch, as RFC 3339 with microseconds:
/// `2026-02-03T04:05:06.123456Z`.
pub(crate) fn put_moment(out: &mut Vec<u8>, nanos: u64) {
    let (seconds, micros) = (nanos / NANOS, nanos % NANOS / 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (micros, 6, b'Z'),
    ] {
        put_digits(out, number, width);
        out.push(after);
    }
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
pub(crate) fn put_seconds(out: &mut Vec<u8>, nanos: u64) {
    put_number(out, nanos / NANOS);
    out.push(b'.');
    put_digits(out, nanos % NANOS / 1000, 6);
}

/// Appends a whole number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    put_digits(out, number, 1);
}

/// Appends a whole number with at least so many digits. The standard formatter takes ten times as
/// long, and a line has a dozen numbers.
fn put_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 || digits.len() - at < width {
        let Some(digit) = at.checked_sub(1).and_then(|before| digits.get_mut(before)) else {
            break;
        };
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut out = Vec::new();
            put_moment(&mut out, seconds * NANOS);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
        let mut out = Vec::new();
        put_moment(&mut out, 123_456_789);
        assert_eq!(String::from_utf8_lossy(&out), "1970-01-01T00:00:00.123456Z");
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
