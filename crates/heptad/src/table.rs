//! Aligned columns for people to read. Knows nothing of what the columns mean.

use std::fmt;

/// A table of text.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; one that begins with `>` is of a column of numbers, which is
    /// aligned to the right.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            right: headings.iter().map(|h| h.starts_with('>')).collect(),
            rows: vec![headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect()],
        }
    }

    /// Adds a row; cells beyond the headings are dropped, missing ones are empty.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.right.len(), String::new());
        self.rows.push(row);
    }

    /// The lines, headings first, without trailing blanks.
    pub fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *right {
                    line.extend([&pad, cell.as_str()]);
                } else {
                    line.extend([cell.as_str(), &pad]);
                }
                line.push_str("  ");
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut t = Table::new(&["NAME", ">COUNT", "NOTE"]);
        t.row(["größer", "7", ""]);
        t.row(["b", "12345678", "x"]);
        let lines = ["NAME       COUNT  NOTE", "größer         7", "b       12345678  x"];
        assert_eq!(t.lines(), lines);
    }
}
