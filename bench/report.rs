//! Results as rows of named numbers, shown as a table or written as JSON.

use serde::Serialize;
use std::collections::BTreeMap;

/// One measured thing.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: String,
    /// In order of measuring; the unit is in the table's `units` or the name.
    #[serde(serialize_with = "as_map")]
    pub values: Vec<(String, f64)>,
}

impl Row {
    pub fn new(name: impl Into<String>) -> Row {
        Row { name: name.into(), values: Vec::new() }
    }

    pub fn put(&mut self, key: &str, value: f64) {
        self.values.push((key.into(), value));
    }

    pub fn value(&self, key: &str) -> Option<f64> {
        self.values.iter().find(|v| v.0 == key).map(|v| v.1)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Table {
    pub benchmark: String,
    pub units: String,
    /// What was measured on: processor, matcher, commit, input.
    pub environment: BTreeMap<String, String>,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn new(benchmark: &str, units: &str) -> Table {
        Table { benchmark: benchmark.into(), units: units.into(), environment: BTreeMap::new(), rows: Vec::new() }
    }

    pub fn print(&self) {
        println!("{}: {}", self.benchmark, self.units);
        for (k, v) in &self.environment {
            println!("  {k}: {v}");
        }
        let first = self.rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
        for block in self.blocks() {
            let mut columns: Vec<&str> = Vec::new();
            for (key, _) in block.iter().flat_map(|r| &r.values) {
                if !columns.contains(&key.as_str()) {
                    columns.push(key);
                }
            }
            let width = |c: &str| c.len().max(9);
            let head: String = columns.iter().map(|c| format!("  {c:>w$}", w = width(c))).collect();
            println!("{:first$}{head}", "");
            for row in block {
                let cell = |c: &&str| match row.value(c) {
                    Some(v) => format!("  {:>w$}", figure(v), w = width(c)),
                    None => format!("  {:>w$}", "-", w = width(c)),
                };
                println!("{:first$}{}", row.name, columns.iter().map(cell).collect::<String>());
            }
        }
    }

    /// Rows that follow each other and have a column in common with those before, each under a heading of its own.
    fn blocks(&self) -> Vec<&[Row]> {
        let (mut blocks, mut begin) = (Vec::new(), 0);
        for at in 1..=self.rows.len() {
            let before = &self.rows[begin..at];
            let common = |row: &Row| row.values.iter().any(|(key, _)| before.iter().any(|r| r.value(key).is_some()));
            if self.rows.get(at).is_none_or(|row| !common(row)) {
                blocks.push(before);
                begin = at;
            }
        }
        blocks
    }
}

/// Three significant places, no more.
fn figure(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 || v == v.trunc() => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 1.0 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

fn as_map<S: serde::Serializer>(values: &[(String, f64)], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(values.iter().map(|(k, v)| (k, v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_common_column_stand_apart() {
        let mut table = Table::new("t", "u");
        assert!(table.blocks().is_empty());
        for keys in [&["a", "b"][..], &["b", "c"], &["c"], &["d"], &["e"], &["a", "e"]] {
            let mut row = Row::new("r");
            keys.iter().for_each(|k| row.put(k, 1.0));
            table.rows.push(row);
        }
        assert_eq!(table.blocks().iter().map(|b| b.len()).collect::<Vec<_>>(), [3, 1, 2]);
    }
}
