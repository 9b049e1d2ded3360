//! Pages that keep to the sizes that the file gives: the parquet crate believes each of them, and
//! makes room or rows for as many values as a damaged page promises.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::delta;

/// A row group whose pages are checked.
pub(super) struct CheckedGroup<'a> {
    pub group: Box<dyn RowGroupReader + 'a>,
}

impl RowGroupReader for CheckedGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.group.metadata()
    }

    fn num_columns(&self) -> usize {
        self.group.num_columns()
    }

    fn get_column_page_reader(&self, index: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata().column(index);
        let (rows, values) = (self.metadata().num_rows(), column.num_values());
        let descriptor = column.column_descr();
        let (max_repetition, max_definition) = (descriptor.max_rep_level(), descriptor.max_def_level());
        let agree = if max_repetition == 0 { values == rows } else { values >= rows };
        if rows < 0 || !agree {
            let column = descriptor.path().string();
            return Err(damaged(format!("{rows} rows with {values} values of column `{column}`")));
        }
        Ok(Box::new(CheckedPages {
            pages: self.group.get_column_page_reader(index)?,
            values_left: values as u64,
            levels: [max_repetition > 0, max_definition > 0],
        }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&parquet::bloom_filter::Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

struct CheckedPages {
    pages: Box<dyn PageReader>,
    /// Values that the metadata promises beyond the pages so far.
    values_left: u64,
    /// Whether the column has repetition and definition levels.
    levels: [bool; 2],
}

impl CheckedPages {
    fn check(&mut self, page: &Page) -> Result<()> {
        let values = page.num_values();
        if let Page::DictionaryPage { buf, .. } = page {
            // A truth value takes a bit; nothing takes less.
            return match values as usize > buf.len().saturating_mul(8) {
                true => Err(damaged(format!("a dictionary of {values} values in {} bytes", buf.len()))),
                false => Ok(()),
            };
        }
        self.values_left = self
            .values_left
            .checked_sub(values.into())
            .ok_or_else(|| damaged("pages hold more values than their column".into()))?;
        let is_delta =
            matches!(page.encoding(), Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY);
        let lists = usize::from(is_delta) + usize::from(page.encoding() == Encoding::DELTA_BYTE_ARRAY);
        let mut data = if is_delta { self.values_of(page) } else { Some(&[][..]) };
        for _ in 0..lists {
            data = data.and_then(|data| delta::pass(data, values.into()));
        }
        data.map(|_| ()).ok_or_else(|| damaged("lengths of texts that do not fit their page".into()))
    }

    /// The bytes of a data page after its levels.
    fn values_of<'a>(&self, page: &'a Page) -> Option<&'a [u8]> {
        match page {
            Page::DataPageV2 { buf, rep_levels_byte_len, def_levels_byte_len, .. } => {
                buf.get((*rep_levels_byte_len as usize).checked_add(*def_levels_byte_len as usize)?..)
            }
            Page::DataPage { buf, .. } => {
                let mut data = &buf[..];
                for _ in self.levels.iter().filter(|has_levels| **has_levels) {
                    let (length, rest) = data.split_first_chunk()?;
                    data = rest.get(u32::from_le_bytes(*length) as usize..)?;
                }
                Some(data)
            }
            Page::DictionaryPage { buf, .. } => Some(buf),
        }
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match &page {
            Some(page) => self.check(page)?,
            None if self.values_left > 0 => {
                return Err(damaged("pages hold fewer values than their column".into()));
            }
            None => {}
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn damaged(reason: String) -> ParquetError {
    ParquetError::General(reason)
}
