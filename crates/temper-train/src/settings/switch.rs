//! Settings that are on or off.

use clap::{Arg, ArgAction};

/// Makes a flag of a `bool` that is off by default.
pub(super) trait Switch {
    /// Without a value the flag means true. It takes a value, too, because files and variables also say false.
    fn switch(self) -> Self;
}

impl Switch for Arg {
    fn switch(self) -> Self {
        self.action(ArgAction::Set)
            .num_args(0..=1)
            .value_name("BOOL")
            .default_value("false")
            .default_missing_value("true")
    }
}
