//! Charts: plain bars, written by hand. One chart a workload and place, the longest bar is the slowest.

use std::fmt::Write;

use super::groups;
use crate::case::Threads;
use crate::measure::Measured;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 120.0;
const ROW: f64 = 26.0;
const TOP: f64 = 44.0;

/// File name without ending, and the text.
pub fn charts(results: &[Measured<'_>]) -> Vec<(String, String)> {
    let mut charts = Vec::new();
    for group in groups(results) {
        let case = group[0].case;
        let threads = case.threads.name().replace(' ', "-");
        let place = case.transport.map_or("local", |on| on.name());
        if !group[0].facts_only() {
            let name = format!("{}-{place}-{threads}", case.workload);
            let per = if case.threads == Threads::One { "processor time" } else { "elapsed time" };
            let title = format!("{}, {place}, threads: {}: us of {per} an operation", case.workload, threads);
            let bars = group.iter().map(|row| (row.case.contender.as_str(), row.time() / 1000.0)).collect();
            charts.push((name, chart(&title, bars)));
        } else if group[0].fact("bytes").is_some() {
            let bars = group.iter().filter_map(|row| Some((row.case.contender.as_str(), row.fact("bytes")?)));
            let title = format!("{}, {place}: bytes of heap a channel, both ends", case.workload);
            charts.push((format!("{}-{place}", case.workload), chart(&title, bars.collect())));
        }
    }
    charts
}

fn chart(title: &str, mut bars: Vec<(&str, f64)>) -> String {
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"15\" fill=\"#222222\">{}</text>\n",
        escaped(title)
    );
    for (at, (name, value)) in bars.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let width = ((WIDTH - LEFT - RIGHT) * value / longest).max(1.0);
        let colour = match *name {
            name if name.starts_with("libchan") => "#c2410c",
            name if name.starts_with("raw") => "#6b7280",
            _ => "#3b6ea5",
        };
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222222\">{}</text>",
            LEFT - 8.0,
            y + 15.0,
            escaped(name),
            y + 2.0,
            ROW - 8.0,
            LEFT + width + 6.0,
            y + 15.0,
            short(*value),
        );
    }
    text.push_str("</svg>\n");
    text
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
