//! The latencies as a picture: over the run, and by how many are slower.

use std::{error::Error, path::Path};

use hdrhistogram::Histogram;
use plotters::prelude::*;

use super::{client::Run, report::whole};

const SIZE: (u32, u32) = (840, 900);
const BLUE: RGBColor = RGBColor(0x08, 0x51, 0x9c);
const LIGHT: RGBColor = RGBColor(0x5b, 0xa3, 0xd9);
const ORANGE: RGBColor = RGBColor(0xb3, 0x42, 0x00);
const TEXT: (&str, u32) = ("sans-serif", 16);
const TITLE: (&str, u32) = ("sans-serif", 20);

type Points = Vec<(f64, f64)>;

pub(crate) fn draw(path: &Path, run: &Run, clients: usize) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(SIZE.1 / 2);

    let seconds = run.latencies.seconds();
    let over = |of: fn(&super::count::Second) -> u64| -> Points {
        seconds.iter().map(|second| (second.at, millis(of(second)))).collect()
    };
    let curves = [
        ("max", over(|second| second.max), ORANGE),
        ("p99", over(|second| second.p99), LIGHT),
        ("p50", over(|second| second.median), BLUE),
    ];
    let title = format!("Publish to answer, {} clients, by the second", whole(clients as u64));
    let end = seconds.last().map_or(1.0, |second| second.at);
    let mut chart = ChartBuilder::on(&above);
    let mut chart = chart
        .caption(title, TITLE)
        .margin(20)
        .margin_right(48)
        .x_label_area_size(56)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..end, bounds(&curves).log_scale())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("seconds of the run").y_desc("milliseconds").label_style(TEXT);
    mesh.axis_desc_style(TEXT).light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.15));
    mesh.y_label_formatter(&short).x_label_formatter(&|x| format!("{x:.0}")).x_labels(10).draw()?;
    drop(mesh);
    for (name, points, color) in curves {
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2)));
    }
    legend(&mut chart.configure_series_labels())?;

    let mut curves = vec![("publish to answer", tail(&run.latencies.all()), BLUE)];
    let page = run.page_times.all();
    if !page.is_empty() {
        curves.push(("the page", tail(&page), ORANGE));
    }
    let end = curves.iter().flat_map(|(_, points, _)| points).map(|point| point.0);
    let end = end.fold(100.0, f64::max);
    let mut chart = ChartBuilder::on(&below);
    let mut chart = chart
        .caption("How slow the slowest are", TITLE)
        .margin(20)
        .margin_right(48)
        .x_label_area_size(56)
        .y_label_area_size(80)
        .build_cartesian_2d((1.0..end).log_scale(), bounds(&curves).log_scale())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("one in so many is slower than").y_desc("milliseconds").label_style(TEXT);
    mesh.axis_desc_style(TEXT).light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.15));
    mesh.y_label_formatter(&short).x_label_formatter(&|x| whole(x.round() as u64)).draw()?;
    drop(mesh);
    for (name, points, color) in curves {
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2)));
    }
    legend(&mut chart.configure_series_labels())?;
    area.present()?;
    Ok(())
}

fn legend<'a, 'b, B: DrawingBackend + 'a, C: plotters::coord::CoordTranslate>(
    labels: &mut plotters::chart::SeriesLabelStyle<'a, 'b, B, C>,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    labels.position(SeriesLabelPosition::UpperLeft).margin(12).legend_area_size(32);
    labels.background_style(WHITE).border_style(BLACK.mix(0.3)).label_font(TEXT).draw()?;
    Ok(())
}

/// What one in 1, in 2, in 3, … is slower than: up to one in all.
fn tail(times: &Histogram<u64>) -> Points {
    let all = times.len() as f64;
    let steps = (0..).map(|step| 10_f64.powf(f64::from(step) / 20.0));
    let steps = steps.take_while(|&one_in| one_in <= all);
    steps.map(|in_| (in_, millis(times.value_at_quantile(1.0 - 1.0 / in_)))).collect()
}

/// From below the lowest point to above the highest, with room for the legend.
fn bounds(curves: &[(&str, Points, RGBColor)]) -> std::ops::Range<f64> {
    let points = || curves.iter().flat_map(|(_, points, _)| points).map(|point| point.1);
    let (low, high) = (points().fold(f64::MAX, f64::min), points().fold(0.1, f64::max));
    let low = low.min(high) * 0.7;
    low..high * (high / low).powf(0.45)
}

/// A logarithm has no zero.
fn millis(micros: u64) -> f64 {
    micros.max(1) as f64 / 1e3
}

fn short(millis: &f64) -> String {
    if *millis < 1.0 { format!("{millis}") } else { whole(millis.round() as u64) }
}
