//! What an MPI launcher says in the environment of a process that it starts.

use std::process::Command;

/// How many processes there are: Open MPI's mpirun, and the process managers of MPICH, Intel MPI and MVAPICH.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// Says that srun speaks one of the protocols by which MPI starts (PMIx, PMI); its number of processes is Slurm's.
const OF_SLURM: [&str; 3] = ["PMIX_RANK", "PMI_RANK", "PMI_FD"];
const SLURM_SIZE: &str = "SLURM_STEP_NUM_TASKS";

/// How many processes an MPI launcher started together with this one; 1 without a launcher.
pub(super) fn processes() -> usize {
    of_environment(|name| std::env::var(name).ok())
}

fn of_environment(variable: impl Fn(&str) -> Option<String>) -> usize {
    let number = |name: &str| variable(name)?.parse::<usize>().ok();
    let of_slurm = OF_SLURM.iter().any(|name| variable(name).is_some());
    let sizes = SIZES.into_iter().chain(of_slurm.then_some(SLURM_SIZE));
    sizes.into_iter().find_map(number).unwrap_or(1)
}

/// Hides from a child that a launcher started this process: the child runs by itself.
pub(crate) fn forget_launcher(child: &mut Command) {
    for name in SIZES.into_iter().chain(OF_SLURM) {
        child.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes_in(variables: &[(&str, &str)]) -> usize {
        of_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn launchers_say_how_many_processes_there_are() {
        assert_eq!(processes_in(&[]), 1);
        assert_eq!(processes_in(&[("OMPI_COMM_WORLD_SIZE", "4")]), 4);
        assert_eq!(processes_in(&[("PMI_SIZE", "3"), ("PMI_RANK", "2")]), 3);
        assert_eq!(processes_in(&[("SLURM_STEP_NUM_TASKS", "8"), ("PMIX_RANK", "0")]), 8);
        // Tasks of srun --mpi=none do not know of each other.
        assert_eq!(processes_in(&[("SLURM_STEP_NUM_TASKS", "8")]), 1);
    }

    #[test]
    fn a_child_knows_of_no_launcher() {
        let mut child = Command::new("true");
        child.env("OMPI_COMM_WORLD_SIZE", "4").env("PMIX_RANK", "1");
        forget_launcher(&mut child);
        assert!(child.get_envs().all(|(_, value)| value.is_none()));
    }
}
