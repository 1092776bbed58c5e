//! The curves as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use super::Curve;

const SIZE: (u32, u32) = (720, 440);

pub(super) fn draw(path: &Path, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|(_, spread)| spread.median).fold(0.0, f64::max);
    let fewest = points().map(|(parked, _)| *parked).min().unwrap_or(1);
    let many = points().map(|(parked, _)| *parked).max().unwrap_or(1);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((fewest as f64..many as f64).log_scale(), 0.0..most * 1.1)?;
    let whole = |number: &f64| format!("{number:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("parked waits").y_desc("nanoseconds");
    mesh.x_label_formatter(&whole).y_label_formatter(&whole).draw()?;
    drop(mesh);
    for (place, curve) in curves.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let line = curve.points.iter().map(|(parked, spread)| (*parked as f64, spread.median));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(3))?
            .label(format!("{}: {}", curve.subject, curve.operation))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    let position = SeriesLabelPosition::UpperLeft;
    chart.configure_series_labels().position(position).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}
