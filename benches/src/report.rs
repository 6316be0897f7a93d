//! Medians over interleaved rounds, printed as a table whose first column is the measure of all.

/// A table of one benchmark.
pub(crate) struct Report {
    contenders: Vec<&'static str>,
}

/// One row of it: for each contender, a figure a round.
pub(crate) struct Row {
    name: String,
    figures: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn new(name: String, contenders: usize) -> Self {
        Self {
            name,
            figures: vec![Vec::new(); contenders],
        }
    }

    pub(crate) fn add(&mut self, contender: usize, figure: f64) {
        self.figures[contender].push(figure);
    }
}

impl Report {
    pub(crate) fn new(
        name: &str,
        unit: &str,
        contenders: impl Iterator<Item = &'static str>,
    ) -> Self {
        let contenders: Vec<_> = contenders.collect();
        println!("\n# {name}: {unit}\n");
        println!("| case | {} |", contenders.join(" | "));
        println!("|---|{}", "---|".repeat(contenders.len()));
        Self { contenders }
    }

    /// Prints a row: the median of each contender, and the median of its ratios to the first
    /// contender, round by round.
    pub(crate) fn row(&self, row: &Row) {
        let cells: Vec<String> = (0..self.contenders.len())
            .map(|contender| {
                let figure = median(row.figures[contender].clone());
                if contender == 0 {
                    return format!("{figure:.1}");
                }
                let ratios = row.figures[contender].iter().zip(&row.figures[0]);
                let ratio = median(ratios.map(|(other, ours)| other / ours).collect());
                format!("{figure:.1} ({ratio:.2}×)")
            })
            .collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
