//! A small plot: calls per minute as bars, the pace as a line.

use std::fmt::Write;

const HEIGHT: f64 = 48.0;
/// From bar to bar, and what of it is bar.
const STEP: usize = 5;
const WIDTH: usize = 4;

/// An image of counts against a limit; `says` is what it shows, in words. Where the counts stay far below the limit, its line
/// is left out and the bars are drawn to their own scale.
pub(super) fn bars(counts: &[u32], limit: f64, says: &str) -> String {
    let top = f64::from(counts.iter().max().copied().unwrap_or_default()).max(1.0);
    let near = limit <= top * 8.0;
    let scale = HEIGHT / if near { top.max(limit) * 1.1 } else { top * 1.1 };
    let mut out = format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{says}\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\">",
        counts.len() * STEP
    );
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let high = (f64::from(*count) * scale).max(1.0);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"{WIDTH}\" height=\"{high:.1}\"/>",
            at * STEP,
            HEIGHT - high
        );
    }
    if near {
        let y = HEIGHT - limit * scale;
        let _ = write!(
            out,
            "<path d=\"M0 {y:.1}H{}\" vector-effect=\"non-scaling-stroke\"/>",
            counts.len() * STEP
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_below_the_line_of_the_limit() {
        let plot = bars(&[0, 10, 20], 40.0, "says");
        assert!(plot.contains("viewBox=\"0 0 15 48\"") && plot.contains("aria-label=\"says\""));
        assert!(
            plot.contains("<rect x=\"5\" y=\"37.1\" width=\"4\" height=\"10.9\"/>"),
            "{plot}"
        );
        assert!(plot.contains("M0 4.4H15"), "{plot}");
        assert_eq!(plot.matches("<rect").count(), 2);
        // Far below: the bars can be seen.
        let low = bars(&[1], 1_000.0, "");
        assert!(!low.contains("<path") && low.contains("height=\"43.6\""), "{low}");
    }
}
