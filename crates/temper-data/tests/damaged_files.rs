//! Whatever is in a file, a reader answers: rows or an error, never a panic and never no end.
//!
//! Inputs are mutations of good files, the same ones on every machine. TEMPER_FUZZ_INPUTS sets how
//! many of each kind are tried.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use temper_data::{DataError, DatasetCard, Format, stream_unlabelled};

/// Pieces of syntax that mutations put in.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"text",
    b"label",
    b"-1",
    b"=",
    b"[source]\n",
    b"\x80",
    b"\x7f",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\x0f",
];

fn inputs() -> usize {
    std::env::var("TEMPER_FUZZ_INPUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1500)
}

fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    random.next_u64() as usize % limit.max(1)
}

/// A few changes: bytes, pieces of syntax, parts left out, doubled or cut off.
fn mutated(good: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        let end = (at + below(random, 1 + bytes.len() / 8)).min(bytes.len());
        match below(random, 7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.splice(at..at, PIECES[below(random, PIECES.len())].to_vec())),
            4 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            5 if at < bytes.len() => bytes[at] = random.next_u64() as u8,
            _ => {
                let piece = PIECES[below(random, PIECES.len())];
                let end = (at + piece.len()).min(bytes.len());
                drop(bytes.splice(at..end, piece.to_vec()));
            }
        }
    }
    bytes
}

/// Reads mutations of good files; says how many were refused.
fn read_mutations(name: &str, goods: &[Vec<u8>], seed: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for input in 0..inputs() {
        let bytes = mutated(&goods[input % goods.len()], &mut random);
        std::fs::write(&path, &bytes).unwrap();
        let table = Format::of_path(&path).unwrap().read(&path, &["text", "label"]);
        refused += usize::from(table.is_err());
        check_stream(&path, table.as_ref().map(|table| table.rows.len()).ok());
    }
    refused
}

/// The stream gives no more rows than the table, and the same where nothing is wrong.
fn check_stream(path: &Path, rows: Option<usize>) {
    let texts: Vec<Result<_, DataError>> =
        stream_unlabelled(path, None, Some("label"), &[]).map(Iterator::collect).unwrap_or_default();
    let (good, bad): (Vec<_>, Vec<_>) = texts.into_iter().partition(Result::is_ok);
    assert!(bad.len() <= 1, "nothing follows an error");
    if let Some(rows) = rows {
        assert!(good.len() <= rows, "{} of {rows}", good.len());
    }
}

#[test]
fn mutated_csv_files_are_answered() {
    let good =
        b"id,text,label\r\n1,\"a, \"\"b\"\"\nc\",pos\r\n2,naive caf\xc3\xa9,neg\r\n\r\n3,\"x\",pos\r\n"
            .to_vec();
    let wide = b"\xff\xfet\0e\0x\0t\0;\0l\0a\0b\0e\0l\0\n\0a\0;\0b\0\n\0".to_vec();
    let refused = read_mutations("a.csv", &[good, wide], 1);
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}

#[test]
fn mutated_json_lines_are_answered() {
    let good = b"{\"text\": \"a \\u00e9\", \"label\": 1, \"x\": [{}, null]}\n{\"label\": \"b\", \"text\": \"c\"}\n\n".to_vec();
    let refused = read_mutations("a.jsonl", &[good], 2);
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}

/// Reads mutations of a good file of a format; says how many were refused.
fn read_mutations_of(format: Format, name: &str, good: &[u8], wanted: &[&str], seed: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for _ in 0..inputs() {
        std::fs::write(&path, mutated(good, &mut random)).unwrap();
        let _ = Format::of_file(&path);
        refused += usize::from(format.read(&path, wanted).is_err());
    }
    refused
}

#[test]
fn mutated_conll_files_are_answered() {
    let good = b"-DOCSTART- -X- O\r\n\r\n# a comment of many words\r\nAda NNP B-PER\r\nwrote VBD O\r\n\n\nna\xc3\xafve JJ O\n";
    let refused = read_mutations_of(Format::Conll, "a.conll", good, &["tokens", "tags", "2"], 5);
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}

#[test]
fn mutated_files_of_squad_are_answered() {
    let good =
        br#"{"version": "v2.0", "data": [{"title": "A", "paragraphs": [{"context": "It is \u00e9.", "qas":
        [{"id": "1", "question": "What?", "answers": [{"text": "It", "answer_start": 0}]},
         {"id": 2, "question": "Who?", "answers": [], "is_impossible": true}]}]}]}"#;
    let wanted = ["id", "title", "question", "context", "answers", "is_impossible"];
    let refused = read_mutations_of(Format::SquadJson, "a.json", good, &wanted, 6);
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}

#[test]
fn mutated_arrow_files_are_answered() {
    let good = include_bytes!("fixtures/saved/batches.arrow");
    let wanted = ["id", "text", "label", "tokens", "tags", "answers", "score", "ok", "day", "bytes"];
    let refused = read_mutations_of(Format::Arrow, "a.arrow", good, &wanted, 7);
    assert!(refused > inputs() / 8 && refused < inputs(), "{refused}");
}

#[test]
fn mutated_parquet_files_are_answered() {
    let plain = |builder: WriterPropertiesBuilder| builder.set_dictionary_enabled(false);
    let goods = [
        parquet_file(|builder| builder.set_compression(Compression::ZSTD(ZstdLevel::default()))),
        parquet_file(|builder| builder.set_compression(Compression::SNAPPY)),
        parquet_file(|builder| plain(builder).set_compression(Compression::LZ4_RAW)),
        parquet_file(|builder| plain(builder).set_compression(Compression::GZIP(GzipLevel::default()))),
        parquet_file(|builder| plain(builder).set_writer_version(WriterVersion::PARQUET_2_0)),
        parquet_file(|builder| builder.set_writer_version(WriterVersion::PARQUET_2_0)),
    ];
    let refused = read_mutations("a.parquet", &goods, 3);
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}

/// Two row groups of texts, lists of texts and numbers.
fn parquet_file(settings: impl Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder) -> Vec<u8> {
    let schema = "message m { optional binary text (STRING);
        optional group label (LIST) { repeated group list { optional binary element (STRING); } }
        required int64 number; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(settings(WriterProperties::builder()).build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let texts = |texts: &[&str]| texts.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    for _ in 0..2 {
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values = texts(&["a text", "a text", "another text"]);
        column.typed::<ByteArrayType>().write_batch(&values, Some(&[1, 1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let (definition, repetition) = (&[3, 3, 1, 0, 3], &[0, 1, 0, 0, 0]);
        let values = texts(&["x", "yy", "x"]);
        column.typed::<ByteArrayType>().write_batch(&values, Some(definition), Some(repetition)).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1, 2, 3, 1 << 40], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    file.into_inner().unwrap()
}

#[test]
fn mutated_cards_are_answered() {
    let good = include_str!("../../../datasets/sst2.toml");
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut refused = 0;
    for _ in 0..inputs() {
        let bytes = mutated(good.as_bytes(), &mut random);
        let text = String::from_utf8_lossy(&bytes);
        refused += usize::from(DatasetCard::parse(&text, "sst2.toml").is_err());
    }
    assert!(refused > inputs() / 4 && refused < inputs(), "{refused}");
}
