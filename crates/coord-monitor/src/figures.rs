//! Figures as people read them, and as lines of blocks.

/// What a figure is of, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// How many: `12,345`, `1.2 M`.
    Count,
    /// How many a second: `1.2 k/s`.
    PerSecond,
    /// A duration, given in seconds: `1.5 ms`, `2 min 3 s`.
    Seconds,
    /// Bytes: `12.3 MiB`.
    Bytes,
    /// Percent: `12.5 %`.
    Percent,
}

impl Unit {
    /// A figure, with its unit.
    pub fn of(self, figure: f64) -> String {
        match self {
            Self::Count => count(figure),
            Self::PerSecond => format!("{}/s", count(figure)),
            Self::Seconds => seconds(figure),
            Self::Bytes => bytes(figure),
            Self::Percent => format!("{} %", digits(figure)),
        }
    }

    /// The end of an axis that goes beyond this: 1, 2, 2.5 or 5 times a power of ten, or of two for
    /// bytes.
    pub(crate) fn end_of_axis(self, most: f64) -> f64 {
        if most <= 0.0 || !most.is_finite() {
            return 1.0;
        }
        let unit = match self {
            Self::Bytes => 1024_f64.powf(most.log(1024.0).floor()),
            _ => 1.0,
        };
        let most = most / unit;
        let power = 10_f64.powf(most.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let end = steps.into_iter().find(|end| *end >= most * 0.9999);
        end.unwrap_or(10.0 * power) * unit
    }
}

fn count(count: f64) -> String {
    match count.abs() {
        small if small < 10_000.0 && small.fract() == 0.0 => grouped(count as i64),
        small if small < 1000.0 => digits(count),
        small if small < 1e6 => format!("{} k", digits(count / 1e3)),
        middling if middling < 1e9 => format!("{} M", digits(count / 1e6)),
        _ => format!("{} G", digits(count / 1e9)),
    }
}

fn grouped(number: i64) -> String {
    match number {
        thousands @ 1000.. => format!("{},{:03}", thousands / 1000, thousands % 1000),
        _ => number.to_string(),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        none if none <= 0.0 => "0 s".to_owned(),
        short if short < 1e-6 => format!("{} ns", digits(short * 1e9)),
        short if short < 1e-3 => format!("{} µs", digits(short * 1e6)),
        short if short < 1.0 => format!("{} ms", digits(short * 1e3)),
        middling if middling < 60.0 => format!("{} s", digits(middling)),
        long if long < 3600.0 => format!("{} min {} s", long as u64 / 60, long as u64 % 60),
        long => format!("{} h {} min", long as u64 / 3600, long as u64 % 3600 / 60),
    }
}

fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut figure, mut unit) = (bytes, 0);
    while figure.abs() >= 1000.0 && unit + 1 < UNITS.len() {
        figure /= 1024.0;
        unit += 1;
    }
    format!("{} {}", digits(figure), UNITS[unit])
}

/// About three digits of it.
fn digits(figure: f64) -> String {
    let places = match figure.abs() {
        large if large >= 99.95 => 0,
        middling if middling >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{figure:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The last `width` of these as a line of blocks, from nothing to the most of them.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |value: &f64| BARS[((value / top).clamp(0.0, 1.0) * 7.0).round() as usize];
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_about_three_digits_and_their_unit() {
        for (unit, figure, text) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 9876.0, "9,876"),
            (Unit::Count, 12_345.0, "12.3 k"),
            (Unit::Count, 1_234_567.0, "1.23 M"),
            (Unit::PerSecond, 0.5, "0.5/s"),
            (Unit::PerSecond, 100.25, "100/s"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Seconds, 250e-9, "250 ns"),
            (Unit::Seconds, 0.0015, "1.5 ms"),
            (Unit::Seconds, 123.0, "2 min 3 s"),
            (Unit::Seconds, 7260.0, "2 h 1 min"),
            (Unit::Bytes, 12_900_000.0, "12.3 MiB"),
            (Unit::Percent, 12.5, "12.5 %"),
        ] {
            assert_eq!(unit.of(figure), text);
        }
    }

    #[test]
    fn an_axis_ends_at_a_round_figure_that_is_not_far_beyond() {
        for (unit, most, end) in [
            (Unit::Count, 0.0, 1.0),
            (Unit::Count, 1.0, 1.0),
            (Unit::Count, 1.1, 2.0),
            (Unit::Count, 430.0, 500.0),
            (Unit::Seconds, 0.0021, 0.0025),
            (Unit::Bytes, 3.0 * 1024.0 * 1024.0, 5.0 * 1024.0 * 1024.0),
        ] {
            assert!((unit.end_of_axis(most) - end).abs() < end * 1e-9, "{most}");
        }
    }

    #[test]
    fn a_sparkline_is_of_the_last_values_from_nothing_to_the_most() {
        assert_eq!(sparkline(&[9.0, 0.0, 3.5, 7.0], 3), "▁▅█");
        assert_eq!(sparkline(&[0.0, 0.0], 8), "▁▁");
        assert_eq!(sparkline(&[], 8), "");
    }
}
