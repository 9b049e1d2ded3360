//! Versions of CUDA.

use std::fmt;

use serde::{Serialize, Serializer};

/// A version of CUDA, such as 12.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion {
    /// 12 of 12.8.
    pub major: i32,
    /// 8 of 12.8.
    pub minor: i32,
}

impl CudaVersion {
    /// From the driver's form of it: 12080 is 12.8.
    pub fn from_number(number: i32) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for CudaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_ordered() {
        let [old, new] = [12080, 13000].map(CudaVersion::from_number);
        assert_eq!((old.to_string(), new.to_string()), ("12.8".into(), "13.0".into()));
        assert!(old < new && CudaVersion::from_number(12090) > old);
    }
}
