//! How work is cut into tasks and run on threads.

use rayon::prelude::*;

/// Elements that one task of a pass over memory works on: fewer are not worth a second thread.
pub const TASK_ELEMENTS: usize = 16 * 1024;

/// Rows that one task works on, from the sizes alone: [`TASK_ELEMENTS`] or more, and few enough tasks
/// for sums by task to be small compared with the rows.
pub fn rows_per_task(rows: usize, width: usize) -> usize {
    const MOST_TASKS: usize = 64;
    TASK_ELEMENTS.div_ceil(width.max(1)).max(rows.div_ceil(MOST_TASKS))
}

/// Runs every task; on the current pool, unless there is only one.
pub fn run_tasks<T: Send>(tasks: Vec<T>, run: impl Fn(T) + Sync + Send) {
    if tasks.len() <= 1 {
        tasks.into_iter().for_each(run);
    } else {
        tasks.into_par_iter().for_each(run);
    }
}

/// Calls `compute` on a thread of the current pool. Operations that are called there share their work with the other threads,
/// which stay awake between them; from a thread outside, each operation wakes the pool and waits for it, which takes as long
/// as a small operation.
pub fn on_pool<R: Send>(compute: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| compute())
}
