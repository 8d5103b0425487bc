//! Job: the `Date` header, formatted at most once a second.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;

/// The date as text, with the second it is for.
#[derive(Debug)]
pub(super) struct Date {
    second: u64,
    text: [u8; LENGTH],
}

impl Date {
    pub(super) fn new() -> Date {
        Date { second: 0, text: format(0) }
    }

    /// Formats the date if its second is over.
    pub(super) fn refresh(&mut self) {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if second != self.second {
            *self = Date { second, text: format(second) };
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The format of RFC 9110, section 5.6.7, for seconds since 1970.
fn format(second: u64) -> [u8; LENGTH] {
    const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (days, time) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    let weekday = (days % 7) as usize * 3;
    let mut text = *b"___, __ ___ ____ __:__:__ GMT";
    text[..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(&MONTHS[month * 3..month * 3 + 3]);
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year % 100);
    two(&mut text[17..19], time / 3600);
    two(&mut text[20..22], time / 60 % 60);
    two(&mut text[23..25], time % 60);
    text
}

fn two(to: &mut [u8], n: u64) {
    to.copy_from_slice(&[b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]);
}

/// Year, month from 0, day from 1 of a day since 1970. It runs through the years: this happens
/// once a second.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn known_dates() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ];
        for (second, text) in cases {
            assert_eq!(str::from_utf8(&format(second)), Ok(text));
        }
    }
}
