//! Items that another thread makes before they are used.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Items that wait at most; one more is in the making.
const WAITING: usize = 2;

/// The items of an iterator in their order, made ahead on a thread of their own while others are used.
///
/// The thread ends with the iterator, or with this: dropping it waits for the item in the making.
pub(super) struct Ahead<I: Iterator> {
    made: Made<I>,
}

enum Made<I: Iterator> {
    /// By a thread.
    Ahead { items: Receiver<I::Item>, thread: JoinHandle<()> },
    /// On demand: the system gave no thread.
    Asked(I),
    /// There are no more.
    Ended,
}

impl<I> Ahead<I>
where
    I: Iterator + Clone + Send + 'static,
    I::Item: Send,
{
    /// Begins to make items.
    pub(super) fn new(iterator: I) -> Self {
        let (sender, items) = sync_channel(WAITING);
        let ahead = iterator.clone();
        let thread = Builder::new().name("batches".into()).spawn(move || {
            for item in ahead {
                // The receiver is gone.
                if sender.send(item).is_err() {
                    return;
                }
            }
        });
        match thread {
            Ok(thread) => Self { made: Made::Ahead { items, thread } },
            Err(error) => {
                tracing::debug!("batches are not made ahead: {error}");
                Self { made: Made::Asked(iterator) }
            }
        }
    }
}

impl<I: Iterator> Iterator for Ahead<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        match &mut self.made {
            Made::Ahead { items, .. } => {
                let item = items.recv().ok();
                if item.is_none() {
                    self.end(true);
                }
                item
            }
            Made::Asked(iterator) => iterator.next(),
            Made::Ended => None,
        }
    }
}

impl<I: Iterator> Ahead<I> {
    /// Waits for the thread, which notices that nothing receives its items; its panic continues here if `resume` says so.
    fn end(&mut self, resume: bool) {
        if let Made::Ahead { items, thread } = std::mem::replace(&mut self.made, Made::Ended) {
            drop(items);
            match thread.join() {
                Err(panic) if resume => resume_unwind(panic),
                _ => {}
            }
        }
    }
}

impl<I: Iterator> Drop for Ahead<I> {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Numbers without end; counts how many were made; an outside counter shows whether it still exists.
    #[derive(Clone)]
    struct Numbers {
        next: usize,
        made: Arc<AtomicUsize>,
    }

    impl Numbers {
        fn new() -> Self {
            Self { next: 0, made: Arc::default() }
        }
    }

    impl Iterator for Numbers {
        type Item = usize;

        fn next(&mut self) -> Option<usize> {
            self.next += 1;
            self.made.store(self.next, Ordering::SeqCst);
            Some(self.next - 1)
        }
    }

    #[test]
    fn items_come_in_their_order_and_end() {
        let mut ahead = Ahead::new(0..1000);
        assert!(ahead.by_ref().eq(0..1000));
        assert_eq!(ahead.next(), None);
        assert_eq!(Ahead::new(std::iter::empty::<u8>()).next(), None);
    }

    #[test]
    fn few_are_made_ahead() {
        let numbers = Numbers::new();
        let made = numbers.made.clone();
        let mut ahead = Ahead::new(numbers);
        for taken in 1..100 {
            assert_eq!(ahead.next(), Some(taken - 1));
            let most = taken + WAITING + 1;
            // It does work ahead, and then waits: another item would need room.
            while made.load(Ordering::SeqCst) < most {
                std::thread::yield_now();
            }
            std::thread::yield_now();
            assert_eq!(made.load(Ordering::SeqCst), most);
        }
    }

    #[test]
    fn no_thread_outlives_it() {
        for taken in [0, 1, 5] {
            let numbers = Numbers::new();
            let made = numbers.made.clone();
            let mut ahead = Ahead::new(numbers);
            assert_eq!(ahead.by_ref().take(taken).count(), taken);
            drop(ahead);
            // The thread had the other one.
            assert_eq!(Arc::strong_count(&made), 1);
        }
    }

    #[test]
    fn a_panic_goes_on_where_the_item_is_missed() {
        let numbers = (0..5).map(|number| if number == 3 { panic!("no batch {number}") } else { number });
        let mut ahead = Ahead::new(numbers);
        assert_eq!((ahead.next(), ahead.next(), ahead.next()), (Some(0), Some(1), Some(2)));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ahead.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("no batch 3"));
        assert_eq!(ahead.next(), None);
    }

    #[test]
    fn where_there_is_no_thread_items_are_made_when_asked_for() {
        let mut asked = Ahead { made: Made::Asked(0..3) };
        assert!(asked.by_ref().eq(0..3));
    }
}
