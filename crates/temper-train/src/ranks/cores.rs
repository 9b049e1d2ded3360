//! How the ranks of a machine share its cores.
//!
//! A launcher may bind each rank to cores of its own, to all cores of a socket, or to none. Where several ranks may use
//! a core, each counts it by its share.

use std::thread::available_parallelism;

/// Bits of a mask of cores: as many as Linux has processors at most.
const CORES: usize = 8192;

/// The cores that this process may use, a bit each: what Linux says; elsewhere the first ones of as many as there are.
pub(super) fn allowed() -> Vec<u8> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let known = list.map(|list| listed(list.trim())).filter(|cores| !cores.is_empty());
    let cores = known.unwrap_or_else(|| (0..available_parallelism().map_or(1, usize::from)).collect());
    let mut mask = vec![0; CORES / 8];
    for core in cores.into_iter().filter(|&core| core < CORES) {
        mask[core / 8] |= 1 << (core % 8);
    }
    mask
}

/// The numbers in a list such as `0-3,8`.
fn listed(text: &str) -> Vec<usize> {
    let part = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(part).flatten().collect()
}

/// How many cores a rank may use, and the threads that are its part of them; `masks` has the cores of each rank of the
/// machine.
pub(super) fn share(masks: &[&[u8]], rank: usize) -> (usize, usize) {
    let may_use = |mask: &[u8], core: usize| mask[core / 8] >> (core % 8) & 1 == 1;
    let own = (0..masks[rank].len() * 8).filter(|&core| may_use(masks[rank], core));
    let users: Vec<usize> = own.map(|core| masks.iter().filter(|mask| may_use(mask, core)).count()).collect();
    let part: f64 = users.iter().map(|&users| 1.0 / users as f64).sum();
    // A little more than a whole number is rounding.
    (users.len(), ((part + 1e-6) as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_linux_are_read() {
        assert_eq!(listed("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(listed("5"), [5]);
        assert!(listed("").is_empty());
    }

    #[test]
    fn a_process_may_use_a_core() {
        let mask = allowed();
        let (cores, threads) = share(&[&mask], 0);
        assert!(cores > 0 && threads == cores);
    }

    #[test]
    fn shared_cores_are_divided_and_own_ones_are_not() {
        // Eight cores for all.
        assert_eq!(share(&[&[0xff], &[0xff], &[0xff]], 1), (8, 2));
        // A core each, as mpirun binds two ranks.
        assert_eq!(share(&[&[0b01], &[0b10]], 0), (1, 1));
        // Two sockets, two ranks on each.
        assert_eq!(share(&[&[0x0f], &[0x0f], &[0xf0], &[0xf0]], 3), (4, 2));
        // More ranks than cores.
        assert_eq!(share(&[&[0b11], &[0b11], &[0b11]], 2), (2, 1));
    }
}
