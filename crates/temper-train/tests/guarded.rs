//! Panics of Burn become one error. The hook that records them is one per process: a single test in its own file.

use temper_train::{TrainError, guarded};

#[test]
fn panics_of_this_and_of_other_threads_become_errors() {
    assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
    assert_eq!(guarded(|| Err::<(), _>(TrainError::Usage("x".into()))).unwrap_err().exit_code(), 2);
    let device_is_full = || -> Result<(), TrainError> {
        let device = std::thread::spawn(|| panic!("out of device memory allocating 8388608 bytes\n<trace>"));
        assert!(device.join().is_err());
        panic!("the device's thread is gone");
    };
    let error = guarded(device_is_full).unwrap_err();
    assert_eq!(error.exit_code(), 5);
    for word in ["out of memory", "8.0 MiB", "--max-tokens-per-batch"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = guarded::<()>(|| panic!("a kernel is wrong\nBacktrace:\n 0: main")).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(error.to_string().contains("a kernel is wrong"), "{error}");
    // A later panic is reported as usual.
    assert!(std::panic::catch_unwind(|| panic!("told")).is_err());
}
