//! The model card: README.md next to a saved model, with the metadata that the Hugging Face Hub reads.

use temper_data::{TaskKind, Truncation, find_card};
use temper_hub::{Resolved, catalogue};
use temper_models::Pooling;

use super::record::RunRequest;
use crate::tasks::{Scores, Splits};

/// What a card is written from.
pub(crate) struct CardInput<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) base: &'a Resolved,
    pub(crate) splits: &'a Splits,
    /// On the test split.
    pub(crate) scores: &'a Scores,
    /// How texts are truncated, where transformers has no setting for it.
    pub(crate) truncation_notice: Option<&'a str>,
}

/// The card's text.
pub(crate) fn model_card(input: &CardInput<'_>) -> String {
    format!("---\n{}---\n\n{}", metadata(input), body(input))
}

/// The task's name on the Hub.
fn pipeline_tag(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::TextClassification => "text-classification",
        TaskKind::TokenClassification => "token-classification",
        TaskKind::QuestionAnswering => "question-answering",
        TaskKind::LanguageModeling => "text-generation",
        TaskKind::MaskedLanguageModeling => "fill-mask",
        TaskKind::TextToText => "text2text-generation",
    }
}

/// The class of transformers that loads such a model.
fn auto_class(kind: TaskKind, pooling: Pooling) -> &'static str {
    match kind {
        // The first token's label is the text's.
        TaskKind::TextClassification if pooling == Pooling::Cls => "AutoModelForTokenClassification",
        TaskKind::TextClassification => "AutoModelForSequenceClassification",
        TaskKind::TokenClassification => "AutoModelForTokenClassification",
        TaskKind::QuestionAnswering => "AutoModelForQuestionAnswering",
        TaskKind::LanguageModeling => "AutoModelForCausalLM",
        TaskKind::MaskedLanguageModeling => "AutoModelForMaskedLM",
        TaskKind::TextToText => "AutoModelForSeq2SeqLM",
    }
}

/// The dataset's name; of a path, its last part.
fn data_name(splits: &Splits) -> &str {
    let name = std::path::Path::new(&splits.name).file_name().and_then(|name| name.to_str());
    name.unwrap_or(&splits.name)
}

/// A text as YAML has it: as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The part that programs read, in YAML.
fn metadata(input: &CardInput<'_>) -> String {
    let CardInput { base, splits, scores, .. } = input;
    let tag = pipeline_tag(splits.task.kind());
    let mut text = format!("library_name: transformers\npipeline_tag: {tag}\n");
    if let Some(id) = base.hub_id() {
        text += &format!("base_model: {}\n", quoted(id));
    }
    let dataset = splits.resolved.as_ref().and_then(Resolved::hub_id);
    if let Some(id) = dataset {
        text += &format!("datasets:\n- {}\n", quoted(id));
    }
    text += "tags:\n- temper\nmetrics:\n";
    text += &format!("- {}\n", quoted(scores.headline_name()));
    let name = quoted(&format!("{} fine-tuned on {}", base.short_name(), data_name(splits)));
    let of_dataset = quoted(dataset.unwrap_or(data_name(splits)));
    text += &format!(
        "model-index:\n- name: {name}\n  results:\n  - task:\n      type: {tag}\n    dataset:\n      \
         name: {}\n      type: {of_dataset}\n      split: test\n    metrics:\n",
        quoted(data_name(splits))
    );
    for (metric, value) in scores.metrics.iter().filter(|(_, value)| value.is_finite()) {
        text += &format!("    - type: {}\n      value: {value}\n", quoted(metric));
    }
    text
}

/// The part that people read.
fn body(input: &CardInput<'_>) -> String {
    let CardInput { request, base, splits, scores, truncation_notice } = input;
    let settings = &request.settings;
    let stand_in = base.stand_in_for.as_ref().map(|wanted| format!(" (standing in for {wanted})"));
    let base_licence = catalogue().find(&base.id).map_or("not known here", |entry| entry.licence.as_str());
    let card = find_card(&splits.name, &request.sources.card_directories()).ok();
    let data_licence = card.map_or_else(|| "not known here".to_owned(), |card| card.licence);
    let [train, validation, test] =
        [&splits.train, &splits.validation, &splits.test].map(crate::examples::Features::example_count);
    let mut rows = String::new();
    for (metric, value) in &scores.metrics {
        let interval = scores.interval.filter(|_| metric == scores.headline_name());
        let interval = interval.map_or(String::new(), |[low, high]| format!("{low:.4} to {high:.4}"));
        rows += &format!("| {metric} | {value:.4} | {interval} |\n");
    }
    let mut text = format!(
        "# {base} fine-tuned on {data}\n\n\
         {task} model, fine-tuned from {base}{stand_in} on {train} examples of {data} with Temper {version}.\n\n\
         ## Results\n\nOn {test} test examples; {validation} others chose the checkpoint.\n\n\
         | metric | value | 95 % interval |\n|---|---|---|\n{rows}\n\
         {baseline}: {baseline_score:.4} {headline}.\n\n\
         ## Use\n\nWith Temper:\n\n    temper predict FOLDER --text \"...\"\n\nWith transformers:\n\n    \
         from transformers import AutoTokenizer, {class}\n\n    tokenizer = AutoTokenizer.from_pretrained(FOLDER)\n    \
         model = {class}.from_pretrained(FOLDER)\n\n",
        base = base.short_name(),
        stand_in = stand_in.unwrap_or_default(),
        data = data_name(splits),
        task = splits.task.kind().name(),
        version = env!("CARGO_PKG_VERSION"),
        baseline = scores.baseline_name,
        baseline_score = scores.baseline,
        headline = scores.headline_name(),
        class = auto_class(splits.task.kind(), settings.pooling),
    );
    if settings.pooling == Pooling::Cls {
        text += "The head reads the bare hidden state of the first token: the logits of a text are those at position 0.\n\n";
    }
    text += &format!(
        "## Intended use and limits\n\nThe model is for texts like those of {data}; on others its scores have not been \
         measured. It reads at most {length} tokens of a text{cut}. It has the biases of its base model and of its data.\n\n",
        data = data_name(splits),
        length = settings.max_seq_length,
        cut = match settings.truncation {
            Truncation::Head => " (the first ones of a longer text)",
            Truncation::Tail => " (the last ones of a longer text)",
            Truncation::HeadTail => " (the first and the last ones of a longer text)",
        },
    );
    if let Some(notice) = truncation_notice {
        text += &format!("{notice}.\n\n");
    }
    text += &format!(
        "## Training\n\nStrategy {}, learning rate {}, {} examples a step, seed {}. Everything else is in run.toml and \
         results.json of the run.\n\n## Licence\n\nBase model: {base_licence}. Data: {data_licence}.\n",
        settings.strategy,
        settings.learning_rate,
        settings.examples_per_step(),
        settings.seed,
    );
    text
}
