//! Multi-pattern and regular-expression engines behind the traits of `engine::detect::matching`.
