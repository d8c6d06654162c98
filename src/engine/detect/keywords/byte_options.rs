//! What the `byte_*` keywords have in common: byte order, text numbers, relative, bit mask.

use super::integers::unsigned;
use crate::detect::lang::Fault;
use crate::detect::signature::{Base, Endian};

/// Options that may follow in any order.
#[derive(Default)]
pub struct ByteOptions {
    pub relative: bool,
    pub endian: Option<Endian>,
    string: bool,
    base: Option<u32>,
    pub bitmask: Option<u64>,
}

impl ByteOptions {
    /// Takes one option; `false` where it is not one of these.
    pub fn take(&mut self, option: &str) -> Result<bool, Fault> {
        match option {
            "relative" => self.relative = true,
            "big" => self.order(Endian::Big)?,
            "little" => self.order(Endian::Little)?,
            "dce" => self.order(Endian::Dce)?,
            "string" => self.string = true,
            "hex" => self.base = Some(16),
            "dec" => self.base = Some(10),
            "oct" => self.base = Some(8),
            other => {
                let mut words = other.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some("bitmask"), Some(mask), None) => {
                        let mask = unsigned(mask).filter(|m| *m <= u64::from(u32::MAX) && *m > 0);
                        self.bitmask =
                            Some(mask.ok_or_else(|| Fault::argument("a bit mask has 1 to 32 bits, not all zero"))?);
                    }
                    (Some("endian"), Some(order), None) => return self.take(order),
                    (Some("string"), Some(base), None) => {
                        self.string = true;
                        return self.take(base);
                    }
                    _ => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    fn order(&mut self, e: Endian) -> Result<(), Fault> {
        if self.endian.is_some_and(|o| o != e) {
            return Err(Fault::argument("two byte orders in one option"));
        }
        self.endian = Some(e);
        Ok(())
    }

    pub fn endian(&self) -> Endian {
        self.endian.unwrap_or(Endian::Big)
    }

    pub fn base(&self) -> Result<Base, Fault> {
        match (self.string, self.base) {
            (false, None) => Ok(Base::Bin),
            (true, base) => Ok(Base::String(base.unwrap_or(10))),
            (false, Some(_)) => Err(Fault::argument("`hex`, `dec` and `oct` go with `string`")),
        }
    }

    /// How few bytes one number may have; 0 of text is all digits there are.
    pub fn bytes_min(&self) -> i64 {
        i64::from(!self.string)
    }

    /// How many bytes one number may have.
    pub fn bytes_max(&self) -> i64 {
        if self.string { 23 } else { 8 }
    }
}
