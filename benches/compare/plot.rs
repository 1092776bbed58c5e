//! The curves as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use super::Curve;

const SIZE: (u32, u32) = (840, 520);
/// A hue for each subject, a shade for each operation.
const COLORS: [RGBColor; 4] = [
    RGBColor(0x08, 0x51, 0x9c),
    RGBColor(0x5b, 0xa3, 0xd9),
    RGBColor(0xb3, 0x42, 0x00),
    RGBColor(0xf0, 0x8c, 0x3a),
];
const TEXT: (&str, u32) = ("sans-serif", 16);
const LINE: u32 = 2;
/// How much higher than the highest point the picture is: the legend has its place there.
const ROOM: f64 = 1.45;

pub(super) fn draw(path: &Path, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|(_, spread)| spread.median).fold(0.0, f64::max);
    let fewest = points().map(|(parked, _)| *parked).min().unwrap_or(1);
    let many = points().map(|(parked, _)| *parked).max().unwrap_or(1);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("What an operation takes, by how many waits are parked", ("sans-serif", 20))
        .margin(20)
        .margin_right(48)
        .x_label_area_size(56)
        .y_label_area_size(72)
        .build_cartesian_2d((fewest as f64..many as f64).log_scale(), 0.0..most * ROOM)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("parked waits, each on a channel of its own").y_desc("nanoseconds, median");
    mesh.x_labels(4).y_labels(8).label_style(TEXT).axis_desc_style(TEXT);
    mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.15));
    mesh.x_label_formatter(&whole).y_label_formatter(&whole).draw()?;
    drop(mesh);
    for (curve, color) in curves.iter().zip(COLORS) {
        let points = || curve.points.iter().map(|(parked, spread)| (*parked as f64, spread.median));
        chart
            .draw_series(LineSeries::new(points(), color.stroke_width(LINE)))?
            .label(format!("{}: {}", curve.subject, curve.operation))
            .legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 24, y)], color.stroke_width(LINE))
            });
        chart.draw_series(points().map(|point| Circle::new(point, 4, color.filled())))?;
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).margin(12).legend_area_size(32);
    legend.background_style(WHITE).border_style(BLACK.mix(0.3)).label_font(TEXT).draw()?;
    drop(legend);
    area.present()?;
    Ok(())
}

/// With separators: 1,000,000.
fn whole(number: &f64) -> String {
    let digits = format!("{number:.0}");
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
