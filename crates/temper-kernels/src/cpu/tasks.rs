//! How work is cut into tasks and run on threads.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// Runs every task on the current pool and gives their results in order.
pub fn side_by_side<T: Send, R: Send>(tasks: Vec<T>, run: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    tasks.into_par_iter().with_max_len(1).map(run).collect()
}

/// Calls `compute` on a thread of the current pool, and keeps the pool's other threads awake until it is done: for many
/// small operations one after the other. Otherwise each would wake the threads, which takes longer than the operation.
pub fn on_pool<R: Send>(compute: impl FnOnce() -> R + Send) -> R {
    let is_done = AtomicBool::new(false);
    rayon::scope(|scope| {
        // Also where `compute` panics: the scope waits for the threads.
        let _done = SetOnDrop(&is_done);
        let own = rayon::current_thread_index();
        let is_done = &is_done;
        // A broadcast runs once on each thread; a job of another kind could end up on this one, and wait for itself.
        scope.spawn_broadcast(move |_, context| {
            while Some(context.index()) != own && !is_done.load(Ordering::Acquire) {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    std::thread::yield_now();
                }
            }
        });
        compute()
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_on_the_pool_end_with_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let sum = || (0..1000_u64).into_par_iter().map(|i| i * i).sum::<u64>();
            let sums = || on_pool(|| (0..100).map(|_| sum()).collect::<Vec<_>>());
            assert_eq!(pool.install(sums), vec![sum(); 100]);
        }
        // From a thread outside of a pool, and with the result of an operation inside of another.
        assert_eq!(on_pool(|| on_pool(|| 7)), 7);
    }

    #[test]
    fn a_panic_on_the_pool_is_passed_on() {
        assert!(std::panic::catch_unwind(|| on_pool(|| panic!("as asked"))).is_err());
    }
}
