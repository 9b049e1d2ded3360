//! Progress bars on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Below this a bar would only flash.
const WORTH_A_BAR: u64 = 1 << 20;

/// The bar of one download; hidden until its size is known and worth one, gone at the end.
pub(crate) struct DownloadBar {
    bar: ProgressBar,
    shown: bool,
}

impl DownloadBar {
    pub(crate) fn new(file: &str, shown: bool) -> Self {
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
            .with_style(style)
            .with_message(file.to_string());
        Self { bar, shown }
    }

    pub(crate) fn start(&self, bytes: u64) {
        self.bar.set_length(bytes);
        if self.shown && bytes >= WORTH_A_BAR {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Shows that something without a known length continues, until dropped.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn start(message: String, shown: bool) -> Self {
        let bar =
            if shown { ProgressBar::new_spinner().with_message(message) } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
