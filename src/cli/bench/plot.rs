//! Owns the picture of a run: rate and backlog over time, as SVG.

use plotters::prelude::{
    BLUE, ChartBuilder, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement, RED, SVGBackend,
    SeriesLabelPosition, TRANSPARENT, WHITE,
};

use crate::cli::bench::BenchError;
use crate::cli::bench::series::{Sample, backlog_max, rates};

/// The size of one panel, in pixels.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 400;

/// A run to draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel<'a> {
    /// What it was.
    pub(super) name: &'a str,
    /// How it went.
    pub(super) samples: &'a [Sample],
}

/// Draws panels, one below the other.
pub(super) fn draw(panels: &[Panel<'_>]) -> Result<String, BenchError> {
    let mut text = String::new();
    let rows = u32::try_from(panels.len()).unwrap_or(1).max(1);
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT.saturating_mul(rows))).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        let parts = area.split_evenly((panels.len().max(1), 1));
        for (panel, part) in panels.iter().zip(parts) {
            draw_panel(panel, &part)?;
        }
        area.present().map_err(refused)?;
    }
    Ok(text)
}

fn refused(error: impl std::fmt::Display) -> BenchError {
    BenchError::Plot(error.to_string())
}

/// The rate on the left axis, the backlog on the right one.
fn draw_panel(
    panel: &Panel<'_>,
    area: &plotters::drawing::DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), BenchError> {
    let rates = rates(panel.samples);
    let backlogs = || panel.samples.iter().map(|sample| (sample.at_ms, sample.backlog()));
    let end = panel.samples.last().map_or(0, |sample| sample.at_ms).max(1);
    let rate_max = above(rates.iter().map(|(_, rate)| *rate).max().unwrap_or(0));
    let mut chart = ChartBuilder::on(area)
        .caption(panel.name, ("sans-serif", 20).into_font())
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .right_y_label_area_size(64)
        .build_cartesian_2d(0..end, 0..rate_max)
        .map_err(refused)?
        .set_secondary_coord(0..end, 0..above(backlog_max(panel.samples)));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .y_desc("payments posted a second")
        .x_label_formatter(&|millis| format!("{}.{}", millis.div_euclid(1000), millis.rem_euclid(1000).div_euclid(100)))
        .draw()
        .map_err(refused)?;
    chart.configure_secondary_axes().y_desc("accepted and not posted").draw().map_err(refused)?;
    chart
        .draw_series(LineSeries::new(rates, BLUE.stroke_width(2)))
        .map_err(refused)?
        .label("rate")
        .legend(|(x, y)| PathElement::new([(x, y), (x.saturating_add(16), y)], BLUE.stroke_width(2)));
    chart
        .draw_secondary_series(LineSeries::new(backlogs(), RED.stroke_width(2)))
        .map_err(refused)?
        .label("backlog")
        .legend(|(x, y)| PathElement::new([(x, y), (x.saturating_add(16), y)], RED.stroke_width(2)));
    let labels = &mut chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw().map_err(refused)
}

/// A little more than the greatest value, so that the line does not touch the frame.
fn above(greatest: u64) -> u64 {
    greatest.saturating_add(greatest.div_ceil(10)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::series::tests::run;

    #[test]
    fn a_picture_shows_both_lines_of_every_panel() {
        let samples = run();
        let panels = [Panel { name: "batch", samples: &samples }, Panel { name: "hot-loan", samples: &[] }];
        let text = draw(&panels).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains(r#"height="800""#), "two panels: {text}");
        for word in ["batch", "hot-loan", "seconds", "rate", "backlog"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        // A line for rate and one for backlog, besides the axes.
        assert!(text.matches("<polyline").count() >= 6, "{text}");
    }
}
