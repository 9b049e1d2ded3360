//! One file a family: configuration, module, forward pass, weight map.

pub mod bert;
