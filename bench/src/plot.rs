//! One picture for each benchmark, as SVG: groups of bars with their spread, or curves over sizes.

mod curves;

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::CoordTranslate;
use plotters::prelude::{
    BLACK, ChartBuilder, ChartContext, Color as _, IntoDrawingArea as _, PathElement, RGBColor, Rectangle, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use serde_json::Value;

pub use curves::{Curve, Curves};

use crate::figures::{Spread, float};

/// Bars that belong together.
pub struct Group {
    /// What stands below them.
    pub name: String,
    /// One for each side.
    pub bars: Vec<Spread>,
}

/// A picture.
pub struct Bars<'a> {
    /// What is above it.
    pub title: &'a str,
    /// What its height means.
    pub unit: &'a str,
    /// The sides, in the order of the bars.
    pub sides: &'a [&'a str],
    /// The groups.
    pub groups: &'a [Group],
}

const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Writes `NAME.svg` and `NAME.json` into the folder, if there is one.
fn save(
    folder: Option<&Path>,
    name: &str,
    figures: &Value,
    draw: impl FnOnce(&mut String) -> Drawn,
) -> anyhow::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{name}.json")), format!("{figures:#}\n"))?;
    let mut picture = String::new();
    draw(&mut picture).map_err(|error| anyhow!("the picture of {name} cannot be drawn: {error}"))?;
    Ok(std::fs::write(folder.join(format!("{name}.svg")), picture)?)
}

impl Bars<'_> {
    /// Writes `NAME.svg` and `NAME.json` into the folder, if there is one.
    pub fn save(&self, folder: Option<&Path>, name: &str, figures: &Value) -> anyhow::Result<()> {
        save(folder, name, figures, |picture| self.draw(picture))
    }

    fn draw(&self, picture: &mut String) -> Drawn {
        let highest = self.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.max).fold(1e-9, f64::max) * 1.3;
        let area = SVGBackend::with_string(picture, (860, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..float(self.groups.len()), 0.0..highest)?;
        let name = |at: &f64| {
            let middle = (at - at.floor() - 0.5).abs() < 0.01;
            let at = at.floor().max(0.0);
            let found = self.groups.iter().enumerate().find(|(index, _)| middle && (float(*index) - at).abs() < 0.01);
            found.map(|(_, group)| group.name.clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(self.groups.len() * 2 + 1)
            .x_label_formatter(&name)
            .y_desc(self.unit)
            .label_style(("sans-serif", 13))
            .draw()?;
        let width = 0.8 / float(self.sides.len());
        for (side, label) in self.sides.iter().enumerate() {
            let colour = COLOURS[side % COLOURS.len()];
            let bars = self.groups.iter().enumerate().filter_map(|(group, bars)| {
                let left = float(group) + 0.1 + float(side) * width;
                Some((left, bars.bars.get(side)?))
            });
            let drawn = bars
                .clone()
                .map(|(left, bar)| Rectangle::new([(left, 0.0), (left + width * 0.92, bar.median)], colour.filled()));
            chart
                .draw_series(drawn)?
                .label(*label)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
            let spreads = bars.map(|(left, bar)| {
                let middle = left + width * 0.46;
                PathElement::new(vec![(middle, bar.min), (middle, bar.max)], BLACK.stroke_width(2))
            });
            chart.draw_series(spreads)?;
        }
        name_series(&mut chart, SeriesLabelPosition::UpperRight)?;
        Ok(area.present()?)
    }
}

/// Which colour is whose.
fn name_series<'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, C>,
    position: SeriesLabelPosition,
) -> Drawn {
    let mut names = chart.configure_series_labels();
    Ok(names.position(position).background_style(WHITE.mix(0.8)).label_font(("sans-serif", 13)).draw()?)
}
