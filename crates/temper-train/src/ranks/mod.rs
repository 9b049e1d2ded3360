//! The processes that share a run: ranks, which an MPI launcher starts. A run of one process has one rank, and there is
//! nothing to exchange.

#[cfg(any(feature = "mpi", test))]
mod cores;
mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi.rs"]
mod mpi;

pub(crate) use launcher::forget_launcher;
pub(crate) use mpi::library;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::TrainError;
use mpi::Group;

/// How long a rank waits for the others while a run trains; PyTorch's process groups wait as long.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// Gradients are summed in pieces of about so many numbers (16 MiB): with fewer, each costs a round trip; with more,
/// memory is held for nothing. The pieces decide the order of the sums, so they are the same for every rank.
pub const PIECE: usize = 1 << 22;

/// Where a rank computes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The machine's name.
    pub host: String,
    /// Its number among the ranks of that machine, counted from 0.
    pub local_rank: usize,
    /// Ranks on that machine.
    pub local_size: usize,
    /// Cores that the rank may use, some of them perhaps with others.
    pub cores: usize,
    /// The threads that it computes with: by default its part of the cores.
    pub threads: usize,
}

/// The ranks of a run, seen from one of them. A call that several ranks make together ends when all have made it; every
/// rank makes the same calls in the same order.
///
/// What goes wrong in MPI itself ends the process: MPI's default.
#[derive(Clone, Debug)]
pub struct Ranks {
    rank: usize,
    size: usize,
    place: Place,
    longest_wait: Duration,
    /// None for a process of its own.
    group: Option<Arc<Group>>,
}

impl Ranks {
    /// A process of its own.
    pub fn alone() -> Self {
        let place = Place { local_size: 1, ..Place::default() };
        Self { rank: 0, size: 1, place, longest_wait: LONGEST_WAIT, group: None }
    }

    /// Joins the other processes that an MPI launcher started; a process of its own where there are none.
    ///
    /// # Errors
    /// [`TrainError::Usage`] where a launcher started several processes of a program without MPI.
    pub fn join() -> Result<Self, TrainError> {
        if launcher::processes() < 2 {
            return Ok(Self::alone());
        }
        let (group, joined) = Group::join()?;
        let mpi::Joined { rank, size, place } = joined;
        Ok(Self { rank, size, place, longest_wait: LONGEST_WAIT, group: Some(Arc::new(group)) })
    }

    /// The same ranks with another limit for waiting: after it a rank ends with exit code 75.
    #[must_use]
    pub fn with_longest_wait(self, longest_wait: Duration) -> Self {
        Self { longest_wait, ..self }
    }

    /// The same ranks, of which this one computes with so many threads.
    #[must_use]
    pub(crate) fn with_threads(mut self, threads: usize) -> Self {
        self.place.threads = threads;
        self
    }

    /// The number of this rank, counted from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is rank 0, which logs and writes.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Whether there is no other rank.
    pub fn is_alone(&self) -> bool {
        self.size == 1
    }

    /// Where this rank computes.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Sums numbers over the ranks, element by element; all ranks have as many, and get the same sums bit for bit.
    pub fn sum(&self, values: &mut Vec<f32>) {
        if let Some(group) = &self.group {
            group.sum(values, self.longest_wait);
        }
    }

    /// The bytes of rank 0, on every rank; those of others are not read.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        match &self.group {
            Some(group) => group.broadcast(bytes, self.longest_wait),
            None => bytes,
        }
    }

    /// The bytes of each rank in their order on rank 0, nothing on the others.
    pub fn gather(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        match &self.group {
            Some(group) => group.gather(bytes, self.longest_wait),
            None => vec![bytes],
        }
    }

    /// Waits until every rank is here, without a limit and without using a core.
    pub fn meet(&self) {
        if let Some(group) = &self.group {
            group.meet();
        }
    }

    /// Leaves the others, when all of them do.
    pub fn leave(&self) {
        if let Some(group) = &self.group {
            group.leave();
        }
    }

    /// Ends all ranks, because this one failed; a process of its own goes on.
    pub fn abort(&self, exit_code: u8) {
        if let Some(group) = &self.group {
            group.abort(exit_code);
        }
    }

    /// What stands before a message of this rank: nothing on rank 0, else its number and machine.
    pub fn prefix(&self) -> String {
        match self.rank {
            0 => String::new(),
            rank => format!("rank {rank} on {}: ", self.place.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_its_own_keeps_what_it_has() {
        let ranks = Ranks::alone();
        let mut values = vec![1.5, f32::MIN_POSITIVE, -0.0];
        ranks.sum(&mut values);
        assert_eq!(values, [1.5, f32::MIN_POSITIVE, -0.0]);
        assert_eq!(ranks.broadcast(vec![1, 2]), [1, 2]);
        assert_eq!(ranks.gather(vec![3]), [[3]]);
        ranks.meet();
        assert!(ranks.is_first() && ranks.is_alone() && ranks.prefix().is_empty());
    }
}
