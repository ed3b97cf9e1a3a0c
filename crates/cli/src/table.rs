//! Columns of text, as Docker prints them: cells padded to their column, three spaces between.

use unicode_width::UnicodeWidthStr;

/// Usual least width of a cell, with its padding.
const MIN_WIDTH: usize = 10;
/// Spaces after the widest cell of a column.
const PADDING: usize = 3;

/// Aligns `text`: cells are separated by tabs, rows by newlines. The last cell of a row is not padded, and a row with
/// fewer cells ends the column for the rows above it, as in Go's tabwriter.
pub(crate) fn align(text: &str) -> String {
    align_from(MIN_WIDTH, text)
}

/// The same with cells of at least `least` columns.
pub(crate) fn align_from(least: usize, text: &str) -> String {
    let rows: Vec<Vec<&str>> = text.split('\n').map(|row| row.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = rows.iter().map(|row| vec![0; row.len()]).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns.saturating_sub(1) {
        let mut start = 0;
        while start < rows.len() {
            // A column is a run of rows that have a cell after this one.
            let run = rows[start..].iter().take_while(|row| row.len() > column + 1).count();
            if run == 0 {
                start += 1;
                continue;
            }
            let cells = start..start + run;
            let widest = cells.clone().map(|row| rows[row][column].width()).max().unwrap_or(0);
            let width = (widest + PADDING).max(least);
            cells.for_each(|row| widths[row][column] = width);
            start += run;
        }
    }
    let lines: Vec<String> = rows.iter().zip(&widths).map(|(row, widths)| line(row, widths)).collect();
    lines.join("\n")
}

fn line(row: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(cell);
        if index + 1 < row.len() {
            let fill = width.saturating_sub(cell.width());
            line.extend(std::iter::repeat_n(' ', fill));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = "NAMES\tIMAGE\tX\nc1\tbusybox:latest\t\nlonger-than-that\tb\ty\n";
        let want = "NAMES              IMAGE            X\n\
                    c1                 busybox:latest   \n\
                    longer-than-that   b                y\n";
        assert_eq!(align(text), want);
    }

    #[test]
    fn a_lone_column_is_left_alone() {
        assert_eq!(align("A\nlong text\n"), "A\nlong text\n");
    }
}
