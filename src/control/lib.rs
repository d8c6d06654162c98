//! The control plane: configuration, export of records, rule packages. Never on the packet path.
