//! What a tracker of experiments is told of a run besides its numbers.

/// What a run is called, and what it was asked for.
#[derive(Clone, Debug, Default)]
pub struct RunParameters {
    /// The name of the run's folder.
    pub name: String,
    /// Names and values.
    pub values: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// With results.
    Finished,
    /// With an error.
    Failed,
    /// By a signal; it may be resumed.
    Killed,
}
