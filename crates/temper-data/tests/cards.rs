//! Cards of the user's: the names in them, and the names whose place they take.

use temper_data::{DataError, DatasetCard, RowsRequest, TaskKind, find_card, load_tables};
use temper_hub::{Hub, HubSettings};

const CARD: &str = r#"
    name = "reviews"
    title = "Reviews"
    homepage = "none"
    licence = "CC0"
    task = "text-classification"
    format = "csv"
    [source]
    hub = "me/reviews"
    [splits]
    train = ["train.csv"]
    [columns]
    text = "review"
    label = "stars"
    [hold_out]
    test = 0.2
    validation = 0.1
"#;

fn refused(old: &str, new: &str, parts: &[&str]) {
    assert!(CARD.contains(old));
    let message = DatasetCard::parse(&CARD.replace(old, new), "reviews.toml").unwrap_err().to_string();
    for part in parts.iter().chain(&["reviews.toml"]) {
        assert!(message.contains(part), "{part} not in: {message}");
    }
}

#[test]
fn a_card_tells_which_built_in_name_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("stanfordnlp")).unwrap();
    // By the Hub's id, by the name within the card, by that of a model, and none.
    let cases = [
        ("stanfordnlp/imdb", "reviews", Some("stanfordnlp/imdb")),
        ("mine", "imdb", Some("imdb")),
        ("bert", "reviews", Some("bert")),
        ("mine", "reviews", None),
    ];
    for (file, name, built_in) in cases {
        let text = CARD.replace("\"reviews\"", &format!("{name:?}"));
        std::fs::write(folder.path().join(format!("{file}.toml")), text).unwrap();
        let card = find_card(file, &[folder.path().to_path_buf()]).unwrap();
        assert_eq!(card.replaced.map(|replaced| replaced.built_in).as_deref(), built_in, "{file} {name}");
    }
}

#[test]
fn names_of_a_card_stay_inside_and_are_printable() {
    for name in ["../reviews", "/etc/passwd", "a\\nb", "a\\u001b[2J", ""] {
        refused("\"train.csv\"", &format!("\"{name}\""), &["the name"]);
        refused("name = \"reviews\"", &format!("name = \"{name}\""), &["the name"]);
        refused("[source]", &format!("stand_in = \"{name}\"\n[source]"), &["the name"]);
        refused("me/reviews", name, &["[source]", "org/name"]);
    }
    for text in ["title = \"Reviews", "homepage = \"none", "licence = \"CC0", "label = \"stars"] {
        refused(text, &format!("{text}\\u001b[2J"), &["control characters", "\\u{1b}"]);
    }
    let package = "package = { name = \"p\\n--pre\", version = \"1\", archive = \"wheel\", \
                   sha256 = \"\", files = {} }";
    refused("hub = \"me/reviews\"", package, &["[source]", "PEP 508"]);
}

#[test]
fn a_name_that_leads_out_of_the_cards_folder_is_no_card() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("cards")).unwrap();
    std::fs::write(folder.path().join("reviews.toml"), CARD).unwrap();
    let error = find_card("../reviews", &[folder.path().join("cards")]).unwrap_err();
    assert!(matches!(error, DataError::UnknownDataset { .. }), "{error}");
}

#[test]
fn who_loads_a_replaced_dataset_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mirror, cards) = (folder.path().join("mirror"), folder.path().join("cards"));
    std::fs::create_dir_all(mirror.join("datasets/me/reviews")).unwrap();
    std::fs::create_dir(&cards).unwrap();
    std::fs::write(mirror.join("datasets/me/reviews/train.csv"), "review,stars\ngood,1\nbad,0\n").unwrap();
    let hub = Hub::new(HubSettings {
        mirror: Some(mirror),
        offline: true,
        cache: folder.path().join("cache"),
        ..HubSettings::from_environment()
    });
    let notice = |file: &str| {
        std::fs::write(cards.join(format!("{file}.toml")), CARD).unwrap();
        let tables = load_tables(
            &hub,
            &RowsRequest {
                name_or_path: file.into(),
                card_directories: vec![cards.clone()],
                ..RowsRequest::default()
            },
            TaskKind::TextClassification,
        )
        .unwrap();
        tables.resolved.unwrap().notice()
    };
    let told = notice("imdb").unwrap();
    assert!(told.contains("imdb is a built-in name") && told.contains("cards/imdb.toml"), "{told}");
    assert_eq!(notice("reviews"), None);
}
