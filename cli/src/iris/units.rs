//! Sizes and durations as people write them: `64M`, `1.5s`, `200ms`.

use std::time::Duration;

/// A number of bytes: digits, and `K`, `M` or `G` for powers of 1,024.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<usize>().ok());
    let number = number.flatten().ok_or("a size is a number of bytes, such as 4096, 64K, 64M or 1G")?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err("a size of 0 would admit nothing".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("more bytes than this machine can address".to_owned()),
    }
}

/// A duration of at least a millisecond: a number, and `ms`, `s` (which may be left out), `m` or `h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time: ms, s, m or h")),
    };
    let plain = number.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let number = plain.then(|| number.parse::<f64>().ok()).flatten();
    let number = number.ok_or("a duration is a number with a unit, such as 200ms, 1.5s, 2m or 1h")?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| "that is too long")?;
    if duration < Duration::from_millis(1) {
        return Err("a duration is at least 1ms".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64k"), Ok(64 << 10));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("1G"), Ok(1 << 30));
        for wrong in ["", "M", "-1", "+1", "1.5M", "1T", "ü", "1 M"] {
            assert!(size(wrong).unwrap_err().contains("a number of bytes"), "{wrong}");
        }
        assert!(size("0M").unwrap_err().contains("nothing"));
        assert!(size("99999999999999999G").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "s", "-1s", "1e3", "inf", "nan", "1d", "0.5ms", "0", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration(&"9".repeat(400)).is_err());
    }
}
