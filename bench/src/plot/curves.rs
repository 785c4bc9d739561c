//! Curves over sizes, both axes logarithmic.

use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Circle, Color as _, IntoDrawingArea as _, IntoLogRange as _, PathElement, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use serde_json::Value;

use super::{COLOURS, Drawn, name_series, save};
use crate::figures::Spread;

/// A curve.
pub struct Curve {
    /// What it shows.
    pub name: &'static str,
    /// Sizes, and the figure at each.
    pub points: Vec<(f64, Spread)>,
}

/// A picture of some.
pub struct Curves<'a> {
    /// What is above it.
    pub title: &'a str,
    /// What the sizes are.
    pub x: &'a str,
    /// What its height means.
    pub y: &'a str,
    /// The curves.
    pub curves: &'a [Curve],
}

impl Curves<'_> {
    /// Writes `NAME.svg` and `NAME.json` into the folder, if there is one.
    pub fn save(&self, folder: Option<&Path>, name: &str, figures: &Value) -> anyhow::Result<()> {
        save(folder, name, figures, |picture| self.draw(picture))
    }

    fn draw(&self, picture: &mut String) -> Drawn {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values.fold((f64::INFINITY, 1e-3), |(low, high), at| (low.min(at), f64::max(high, at)));
            (low.min(high).max(1e-3) / 1.5, high * 1.5)
        };
        let (left, right) = range(&mut points().map(|(size, _)| *size));
        let (low, high) = range(&mut points().map(|(_, spread)| spread.median));
        let area = SVGBackend::with_string(picture, (860, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d((left..right).log_scale(), (low..high * 3.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|size| format!("{size:.0}"))
            .y_label_formatter(&|cost| cost.to_string())
            .label_style(("sans-serif", 13))
            .draw()?;
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            let line: Vec<(f64, f64)> = curve.points.iter().map(|(size, spread)| (*size, spread.median)).collect();
            chart
                .draw_series([PathElement::new(line.clone(), colour.stroke_width(2))])?
                .label(curve.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], colour.stroke_width(3)));
            chart.draw_series(line.iter().map(|at| Circle::new(*at, 4, colour.filled())))?;
        }
        name_series(&mut chart, SeriesLabelPosition::UpperLeft)?;
        Ok(area.present()?)
    }
}
