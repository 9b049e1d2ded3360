//! Versions of PTX.

use core::fmt;

/// A version of PTX that LLVM would emit. There is none, for there is no LLVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PtxVersion {}

impl PtxVersion {
    /// None for any driver.
    pub fn for_driver(_driver: i32) -> Option<Self> {
        None
    }
}

impl fmt::Display for PtxVersion {
    fn fmt(&self, _out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
