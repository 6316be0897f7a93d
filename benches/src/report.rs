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

    /// Measures each contender once a round, in turn, so that a slow moment of the machine is
    /// everybody's; another one begins in each round.
    pub(crate) fn rounds(
        name: String,
        contenders: usize,
        rounds: usize,
        measure: impl Fn(usize) -> f64,
    ) -> Self {
        let mut row = Self::new(name, contenders);
        for round in 0..rounds {
            for turn in 0..contenders {
                let contender = (turn + round) % contenders;
                row.add(contender, measure(contender));
            }
        }
        row
    }

    pub(crate) fn add(&mut self, contender: usize, figure: f64) {
        self.figures[contender].push(figure);
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The median of each contender.
    pub(crate) fn medians(&self) -> Vec<f64> {
        self.figures.iter().cloned().map(median).collect()
    }

    /// For each contender, the median of its ratios to the first one, round by round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        let ratio = |figures: &Vec<f64>| {
            let ratios = figures.iter().zip(&self.figures[0]);
            median(ratios.map(|(other, ours)| other / ours).collect())
        };
        self.figures.iter().map(ratio).collect()
    }
}

impl Report {
    pub(crate) fn new(
        name: &str,
        unit: &str,
        contenders: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let contenders: Vec<_> = contenders.into_iter().collect();
        println!("\n# {name}: {unit}\n");
        println!("| case | {} |", contenders.join(" | "));
        println!("|---|{}", "---|".repeat(contenders.len()));
        Self { contenders }
    }

    /// Prints a row: the median of each contender, and in brackets its ratio to the first.
    pub(crate) fn row(&self, row: &Row) {
        assert_eq!(row.figures.len(), self.contenders.len());
        let figures = row.medians().into_iter().zip(row.ratios());
        let cells: Vec<_> = figures
            .enumerate()
            .map(|(contender, (figure, ratio))| match contender {
                0 => format!("{figure:.1}"),
                _ => format!("{figure:.1} ({ratio:.2}×)"),
            })
            .collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
