//! Classification and reference texts: what a classtype means, where a reference of a kind leads.
//!
//! `config classification: name,description,priority` and `config reference: kind prefix`, a line each. Malformed lines
//! are warnings and skipped.

use super::diagnostics::{Code, Diagnostic};
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// As in `classtype`, in the file's spelling.
    pub name: String,
    pub description: String,
    /// 1 is the most severe.
    pub priority: u8,
}

/// Classifications by name; names are compared without case.
#[derive(Clone, Debug, Default)]
pub struct Classifications(HashMap<String, Class>);

impl Classifications {
    pub fn parse(text: &str, file: &str) -> (Self, Vec<Diagnostic>) {
        let mut map = HashMap::new();
        let faults = each_line(text, file, Code::ClassificationLine, "config classification:", |rest| {
            let mut parts = rest.splitn(2, ',');
            let name = parts.next()?.trim();
            let (description, priority) = parts.next()?.rsplit_once(',')?;
            let priority = priority.trim().parse().ok().filter(|p| (1..=255).contains(p))?;
            if name.is_empty() || description.trim().is_empty() {
                return None;
            }
            let class = Class { name: name.to_owned(), description: description.trim().to_owned(), priority };
            map.entry(name.to_ascii_lowercase()).or_insert(class);
            Some(())
        });
        (Classifications(map), faults)
    }

    pub fn class(&self, name: &str) -> Option<&Class> {
        self.0.get(name).or_else(|| self.0.get(&name.to_ascii_lowercase()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Kinds of reference with the prefix that makes an address of them.
#[derive(Clone, Debug, Default)]
pub struct References(HashMap<String, String>);

impl References {
    pub fn parse(text: &str, file: &str) -> (Self, Vec<Diagnostic>) {
        let mut map = HashMap::new();
        let faults = each_line(text, file, Code::ReferenceLine, "config reference:", |rest| {
            let (kind, prefix) = rest.trim().split_once(|c: char| c.is_ascii_whitespace())?;
            map.entry(kind.to_ascii_lowercase()).or_insert_with(|| prefix.trim().to_owned());
            Some(())
        });
        (References(map), faults)
    }

    pub fn prefix(&self, kind: &str) -> Option<&str> {
        self.0.get(kind).or_else(|| self.0.get(&kind.to_ascii_lowercase())).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn each_line(
    text: &str,
    file: &str,
    code: Code,
    prefix: &str,
    mut take: impl FnMut(&str) -> Option<()>,
) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let body = line.trim();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        if body.strip_prefix(prefix).and_then(&mut take).is_none() {
            let start = line.len() - line.trim_start().len();
            faults.push(Diagnostic {
                code,
                severity: code.severity(),
                file: file.into(),
                line: u32::try_from(i + 1).unwrap_or(u32::MAX),
                span: start..line.trim_end().len(),
                message: "the line is skipped".to_owned(),
                help: Some(format!("lines begin with `{prefix}`")),
                source: line.to_owned(),
                sid: None,
            });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifications() {
        let text = "# c\nconfig classification: trojan-activity,A Network Trojan, was detected,1\n\
                    config classification: bad\nnonsense\nconfig classification: zero,None,0\n";
        let (c, faults) = Classifications::parse(text, "c.config");
        let class = c.class("Trojan-Activity").unwrap();
        assert_eq!((class.description.as_str(), class.priority), ("A Network Trojan, was detected", 1));
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn references() {
        let (r, faults) = References::parse("config reference: cve  http://x/?\nconfig reference: y\n", "r.config");
        assert_eq!(r.prefix("CVE"), Some("http://x/?"));
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn files_cut_anywhere_keep_the_lines_before() {
        let classes = "config classification: a,The first,1\nconfig classification: b,The second,12\n";
        let kinds = "config reference: a http://a/\nconfig reference: b http://b/\n";
        for cut in 0..classes.len() {
            let (c, faults) = Classifications::parse(&classes[..cut], "c");
            let whole = classes[..cut].matches('\n').count() as u32;
            assert!(faults.iter().all(|f| f.line == whole + 1) && c.len() >= whole as usize, "{cut}: {faults:?}");
            assert!(whole < 1 || c.class("a").is_some_and(|c| c.priority == 1));
        }
        for cut in 0..kinds.len() {
            let (r, faults) = References::parse(&kinds[..cut], "r");
            let whole = kinds[..cut].matches('\n').count() as u32;
            assert!(faults.iter().all(|f| f.line == whole + 1), "{cut}: {faults:?}");
            assert!(whole < 1 || r.prefix("a") == Some("http://a/"));
        }
    }
}
