//! Temporary.
#[test]
fn hang() {
    let path = std::path::Path::new("/work/shared/cases/r13-parquet-hang/hang.parquet");
    for wanted in [&["text", "label"][..], &["l"], &["s"]] {
        eprintln!("{wanted:?}");
        match temper_data::Format::Parquet.read(path, wanted) {
            Ok(table) => eprintln!("{} rows", table.rows.len()),
            Err(error) => eprintln!("{error}"),
        }
    }
}
