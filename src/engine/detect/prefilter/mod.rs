//! From bytes to candidates: which signatures are worth inspecting, at a cost that depends on the bytes rather than on
//! the number of rules.
//!
//! Payload rules stand in groups by transport, direction and port ([`payload`]); transaction rules by protocol,
//! direction and buffer ([`txs`]). Names that a rule pins at their end are answered by hash ([`names`]); other patterns
//! by a multi-pattern set, cut to their most telling bytes ([`patterns`]), or, where they have one place alone, by a look
//! at it ([`places`]). Address lists are one table ([`addresses`]).
//! All of it may name too many candidates, never too few.

mod addresses;
pub(crate) mod candidates;
mod names;
mod patterns;
mod payload;
mod piece;
mod places;
mod txs;

pub(crate) use addresses::AddressRules;
pub(crate) use candidates::Candidates;
pub(crate) use patterns::{Hay, SetBuilder};
pub(crate) use payload::{GroupList, PayloadGroups, Transport};
pub(crate) use places::Views;
pub(crate) use txs::{TxGroup, TxGroups};
