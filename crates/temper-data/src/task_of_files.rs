//! The task of files without a card, inferred from their columns.

use crate::columns::{ColumnChoice, Columns};
use crate::local::first_file;
use crate::readers::Wanted;
use crate::{DataError, Task};

/// The tasks by how specific their columns are: a label, tags or answers before a mere text.
const BY_COLUMNS: [Task; 5] = [
    Task::TextClassification,
    Task::TokenClassification,
    Task::QuestionAnswering,
    Task::TextToText,
    Task::LanguageModeling,
];

/// The first task for which a file, or the first training file of a folder or a pattern, has the columns: under the names of
/// `choice`, else under their usual ones. `None` where no task has, or where nothing can be read.
pub fn task_of_files(name_or_path: &str, choice: &ColumnChoice) -> Option<Task> {
    let (file, format) = first_file(name_or_path).ok()?;
    let fits = |task: &Task| {
        let open = |wanted: &Wanted<'_>| -> Result<(), DataError> {
            format.open(&file, &wanted.needed)?.check_columns()
        };
        Columns::new(*task, None, choice).read(open).is_ok()
    };
    BY_COLUMNS.into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_of(name: &str, text: &str, asked: &[(&str, &str)]) -> Option<Task> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let asked = asked.iter().map(|(role, name)| (role.to_string(), name.to_string())).collect();
        let whole = if name.contains('/') { path.parent().unwrap() } else { &path };
        task_of_files(&whole.to_string_lossy(), &ColumnChoice { asked, ..ColumnChoice::default() })
    }

    #[test]
    fn the_columns_of_a_file_tell_its_task() {
        for (name, text, task) in [
            ("a.csv", "text,label,source,target\na,b,c,d\n", Some(Task::TextClassification)),
            ("a.tsv", "text\ttext_pair\tlabel\na\tb\tc\n", Some(Task::TextClassification)),
            ("a.jsonl", r#"{"tokens": ["a"], "ner_tags": ["O"]}"#, Some(Task::TokenClassification)),
            ("a.jsonl", r#"{"text": "a", "entities": []}"#, Some(Task::TokenClassification)),
            ("a.conll", "a O\n", Some(Task::TokenClassification)),
            ("a.jsonl", r#"{"question": "a", "context": "b", "answers": []}"#, Some(Task::QuestionAnswering)),
            ("a.csv", "source,target\na,b\n", Some(Task::TextToText)),
            ("a.jsonl", r#"{"prompt": "a", "completion": "b"}"#, Some(Task::LanguageModeling)),
            ("a.jsonl", r#"{"messages": []}"#, Some(Task::LanguageModeling)),
            ("a.txt", "To be, or not to be\n", Some(Task::LanguageModeling)),
            ("folder/train.txt", "To be, or not to be\n", Some(Task::LanguageModeling)),
            ("a.csv", "review,stars\na,1\n", None),
            ("a.xlsx", "?", None),
        ] {
            assert_eq!(task_of(name, text, &[]), task, "{name}: {text}");
        }
    }

    #[test]
    fn columns_that_are_named_count() {
        let (text, label) = (("text", "review"), ("label", "stars"));
        assert_eq!(task_of("a.csv", "review,label\na,1\n", &[text]), Some(Task::TextClassification));
        assert_eq!(task_of("a.csv", "review,stars\na,1\n", &[text, label]), Some(Task::TextClassification));
        assert_eq!(task_of("a.csv", "review,stars\na,1\n", &[text]), Some(Task::LanguageModeling));
    }
}
