//! The task of files without a card, inferred from their columns.

use crate::columns::{ColumnChoice, ColumnsToRead};
use crate::local::first_file;
use crate::readers::WantedColumns;
use crate::{DataError, TaskKind};

/// The tasks by how specific their columns are: a label, tags or answers before a mere text.
const BY_COLUMNS: [TaskKind; 5] = [
    TaskKind::TextClassification,
    TaskKind::TokenClassification,
    TaskKind::QuestionAnswering,
    TaskKind::TextToText,
    TaskKind::LanguageModeling,
];

/// The first task for which a file, or the first training file of a folder or a pattern, has the columns: under the names of
/// `choice`, else under their usual ones. `None` where no task has, or where nothing can be read.
pub fn task_of_files(name_or_path: &str, choice: &ColumnChoice) -> Option<TaskKind> {
    let (file, format) = first_file(name_or_path).ok()?;
    let fits = |task: &TaskKind| {
        let open = |wanted: &WantedColumns<'_>| -> Result<(), DataError> {
            format.open(&file, &wanted.needed)?.check_columns()
        };
        ColumnsToRead::new(*task, None, choice).read(open).is_ok()
    };
    BY_COLUMNS.into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_of(name: &str, text: &str, asked: &[(&str, &str)]) -> Option<TaskKind> {
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
            ("a.csv", "text,label,source,target\na,b,c,d\n", Some(TaskKind::TextClassification)),
            ("a.tsv", "text\ttext_pair\tlabel\na\tb\tc\n", Some(TaskKind::TextClassification)),
            ("a.jsonl", r#"{"tokens": ["a"], "ner_tags": ["O"]}"#, Some(TaskKind::TokenClassification)),
            ("a.jsonl", r#"{"text": "a", "entities": []}"#, Some(TaskKind::TokenClassification)),
            ("a.conll", "a O\n", Some(TaskKind::TokenClassification)),
            (
                "a.jsonl",
                r#"{"question": "a", "context": "b", "answers": []}"#,
                Some(TaskKind::QuestionAnswering),
            ),
            ("a.csv", "source,target\na,b\n", Some(TaskKind::TextToText)),
            ("a.jsonl", r#"{"prompt": "a", "completion": "b"}"#, Some(TaskKind::LanguageModeling)),
            ("a.jsonl", r#"{"messages": []}"#, Some(TaskKind::LanguageModeling)),
            ("a.txt", "To be, or not to be\n", Some(TaskKind::LanguageModeling)),
            ("folder/train.txt", "To be, or not to be\n", Some(TaskKind::LanguageModeling)),
            ("a.csv", "review,stars\na,1\n", None),
            ("a.xlsx", "?", None),
        ] {
            assert_eq!(task_of(name, text, &[]), task, "{name}: {text}");
        }
    }

    #[test]
    fn columns_that_are_named_count() {
        let (text, label) = (("text", "review"), ("label", "stars"));
        assert_eq!(task_of("a.csv", "review,label\na,1\n", &[text]), Some(TaskKind::TextClassification));
        assert_eq!(
            task_of("a.csv", "review,stars\na,1\n", &[text, label]),
            Some(TaskKind::TextClassification)
        );
        assert_eq!(task_of("a.csv", "review,stars\na,1\n", &[text]), Some(TaskKind::LanguageModeling));
    }
}
