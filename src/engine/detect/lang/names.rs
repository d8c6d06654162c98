//! Names of bits and numbers, interned per ruleset.

use crate::detect::signature::VarId;
use std::collections::HashMap;

/// Namespaces: the same word in two of them is two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VarKind {
    Flowbit,
    Flowint,
    /// `xbits` and `hostbits`.
    Xbit,
    /// What `entropy` measured, by its buffer.
    Measure,
}

/// Every name a ruleset uses, numbered as first seen.
#[derive(Clone, Debug, Default)]
pub struct VarTable {
    ids: HashMap<(VarKind, String), VarId>,
    names: Vec<(VarKind, String)>,
}

impl VarTable {
    pub fn intern(&mut self, kind: VarKind, name: &str) -> VarId {
        let key = (kind, name.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = VarId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(key.clone());
        self.ids.insert(key, id);
        id
    }

    pub fn find(&self, kind: VarKind, name: &str) -> Option<VarId> {
        self.ids.get(&(kind, name.to_owned())).copied()
    }

    pub fn name(&self, id: VarId) -> Option<&str> {
        self.names.get(id.0 as usize).map(|n| n.1.as_str())
    }

    pub fn kind(&self, id: VarId) -> Option<VarKind> {
        self.names.get(id.0 as usize).map(|n| n.0)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_per_name_and_kind() {
        let mut t = VarTable::default();
        let a = t.intern(VarKind::Flowbit, "x");
        assert_eq!(t.intern(VarKind::Flowbit, "x"), a);
        assert_ne!(t.intern(VarKind::Flowint, "x"), a);
        assert_eq!(t.name(a), Some("x"));
        assert_eq!(t.find(VarKind::Xbit, "x"), None);
    }
}
