//! What a run says before it begins.

use temper_models::{Loaded, is_adapter};

use super::job::Job;
use crate::settings::Preset;
use crate::{RunFolder, device::precision, model::adapters};

impl Job {
    /// What is about to happen, for how long, and how to get the full job.
    pub(super) fn announce(&self, run: &RunFolder, loaded: &Loaded) {
        let settings = &self.request.settings;
        let say = |text: &str| self.progress.line(text);
        say(&format!(
            "fine-tuning {} on {} ({} backend) -> {}",
            self.local.resolved.id,
            self.splits.name,
            self.request.backend,
            run.path().display()
        ));
        let backend = self.request.backend.parse().ok();
        if let Some(notice) =
            backend.and_then(|backend| precision::notice(settings.precision.named(), backend))
        {
            say(&notice);
        }
        let (used, full) = (self.splits.train.example_count(), self.splits.report.full_train_rows);
        if self.request.preset == Preset::Cpu {
            say(&format!(
                "preset cpu: {used} of {full} training examples, {} epoch(s); the full job is --preset full",
                settings.num_train_epochs
            ));
        }
        if let Some(notice) = adapters::notice(settings) {
            say(&notice);
        }
        say(&self.splits.report.to_string());
        say(&self.splits.report.sources_in_words());
        let table = loaded.model.parameters();
        let of_model = table.parameters.iter().filter(|parameter| !is_adapter(&parameter.path)).count();
        let kept = of_model - loaded.new.len();
        let id = &self.local.resolved.id;
        match self.request.from_scratch {
            Some(_) => say(&format!(
                "a new model: every parameter is initialised randomly; the tokenizer is that of {id}"
            )),
            None => {
                say(&format!("parameters taken from {id}: {kept}"));
                if !loaded.new.is_empty() {
                    say(&format!("new parameters, initialised randomly: {}", loaded.new.join(", ")));
                }
                if let Some(notice) = self.head_notice(loaded) {
                    say(&notice);
                }
            }
        }
        if !loaded.dropped.is_empty() {
            say(&format!("stored tensors that are not used: {}", loaded.dropped.join(", ")));
        }
    }

    /// The notice for a model that has a head for this task: it is kept, or why it is not.
    fn head_notice(&self, loaded: &Loaded) -> Option<String> {
        let [own, used] = [self.config.head()?, loaded.config.head()?].map(|head| head.kind.task());
        if own != used || used.is_language_model() {
            return None;
        }
        let id = &self.local.resolved.id;
        let is_new = loaded.new.iter().any(|path| path.starts_with("head."));
        let labels = self.config.labels().unwrap_or_default();
        let read = self.splits.task.labels();
        Some(if !is_new {
            format!(
                "the head of {id} is kept: it is for the same task and labels (--new-head draws a new one)"
            )
        } else if self.request.settings.new_head {
            "the head is new, as --new-head asks".into()
        } else if labels != read {
            format!("the head is new: {id} has the labels {}, the dataset {}", listed(&labels), listed(read))
        } else {
            format!(
                "the head is new: that of {id} reads or predicts something else (--pooling, --problem-type)"
            )
        })
    }
}

/// The first labels, for people.
fn listed(labels: &[String]) -> String {
    const MOST: usize = 6;
    let more = if labels.len() > MOST { format!(" and {} more", labels.len() - MOST) } else { String::new() };
    format!("{}{more}", labels[..labels.len().min(MOST)].join(", "))
}
