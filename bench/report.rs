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
        let mut columns: Vec<&str> = Vec::new();
        for (key, _) in self.rows.iter().flat_map(|r| &r.values) {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
        let first = self.rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
        let width = |c: &str| c.len().max(9);
        let head: String = columns.iter().map(|c| format!("  {c:>w$}", w = width(c))).collect();
        println!("{:first$}{head}", "");
        for row in &self.rows {
            let cells: String = columns
                .iter()
                .map(|c| match row.value(c) {
                    Some(v) => format!("  {:>w$}", figure(v), w = width(c)),
                    None => format!("  {:>w$}", "-", w = width(c)),
                })
                .collect();
            println!("{:first$}{cells}", row.name);
        }
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
