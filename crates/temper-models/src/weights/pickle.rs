//! What a PyTorch pickle would call, found without running it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use zip::ZipArchive;

use crate::ModelError;

/// What a file of weights has a use for.
const ALLOWED: [&str; 39] = [
    "_codecs.encode",
    "collections.OrderedDict",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.ShortStorage",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch.bfloat16",
    "torch.bool",
    "torch.complex128",
    "torch.complex32",
    "torch.complex64",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.int16",
    "torch.int32",
    "torch.int64",
    "torch.int8",
    "torch.nn.parameter.Parameter",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
    "torch.uint16",
    "torch.uint32",
    "torch.uint64",
    "torch.uint8",
];

/// Pickles of a file without an archive: magic number, protocol, system, object, storage keys.
const LEGACY_PICKLES: usize = 5;

/// Longer text is no name.
const MAX_NAME: usize = 1024;

/// A longer line is no pickle of weights.
const MAX_LINE: u64 = 1 << 16;

/// A pickle of weights has fewer objects, even of a model in many shards.
const MAX_OBJECTS: usize = 1 << 22;

/// Refuses a PyTorch file whose pickles name a callable that weights have no use for.
///
/// # Errors
/// [`ModelError::ForbiddenCall`] for such a name, [`ModelError::BrokenFile`] for what is no pickle.
pub(crate) fn refuse_calls(path: &Path) -> Result<(), ModelError> {
    check(path).map_err(|fault| match fault {
        Fault::Broken(reason) => ModelError::BrokenFile { path: path.into(), reason },
        Fault::Forbidden(callable) => ModelError::ForbiddenCall { path: path.into(), callable },
    })
}

/// Why a pickle is refused.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Broken(String),
    Forbidden(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => broken("its pickle ends early"),
            _ => broken(error),
        }
    }
}

fn broken(reason: impl ToString) -> Fault {
    Fault::Broken(reason.to_string())
}

fn check(path: &Path) -> Result<(), Fault> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(262).read_to_end(&mut start)?;
    file.rewind()?;
    let file = BufReader::new(file);
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return check_archive(file);
    }
    if start.ends_with(b"ustar") {
        return Err(broken("it is of PyTorch before 0.1.10, which is not read"));
    }
    check_pickles(file)
}

/// Every pickle of an archive: readers differ in which one they take, and in upper and lower case.
fn check_archive(file: BufReader<File>) -> Result<(), Fault> {
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    if archive.has_duplicate_names() {
        return Err(broken("two files of the archive have one name"));
    }
    for index in 0..archive.len() {
        // Only what is read has to be readable: the name is asked for without opening the entry.
        let is_pickle = archive
            .by_index_raw(index)
            .map_err(broken)?
            .name()
            .map_err(broken)?
            .to_ascii_lowercase()
            .ends_with(".pkl");
        if is_pickle {
            walk(&mut BufReader::new(archive.by_index(index).map_err(broken)?))?;
        }
    }
    Ok(())
}

/// The pickles at the start of a file; the bytes of the tensors follow.
fn check_pickles(mut file: impl BufRead) -> Result<(), Fault> {
    walk(&mut file)?;
    for _ in 1..LEGACY_PICKLES {
        if file.fill_buf()?.is_empty() {
            break;
        }
        walk(&mut file)?;
    }
    Ok(())
}

/// Follows one pickle to its end.
fn walk(reader: &mut impl BufRead) -> Result<(), Fault> {
    let mut walker = Walker { reader, stack: Vec::new(), memo: HashMap::new() };
    loop {
        let opcode = walker.number(1)? as u8;
        if opcode == b'.' {
            return Ok(());
        }
        walker.step(opcode)?;
        if walker.stack.len().max(walker.memo.len()) > MAX_OBJECTS {
            return Err(broken(format!("its pickle has more than {MAX_OBJECTS} objects")));
        }
    }
}

/// What is known of an object on the stack: text may become a name.
#[derive(Clone)]
enum Item {
    Mark,
    Text(Rc<str>),
    Other,
}

/// Python's stack and memo, which decide what a name is made of.
struct Walker<'a, R> {
    reader: &'a mut R,
    stack: Vec<Item>,
    memo: HashMap<u64, Item>,
}

impl<R: BufRead> Walker<'_, R> {
    /// One opcode, of protocols 0 to 5, as in the table of Python's pickletools.
    fn step(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            b'c' | b'i' | 0x82..=0x84 | 0x93 => self.name(opcode)?,
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.remember(opcode)?,
            // Text: of a line, or with its length before it.
            b'S' | b'V' => {
                let line = self.line()?;
                self.stack.push(literal(opcode, &line));
            }
            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            // Other values: of a line, of a size, with their length before them.
            b'I' | b'L' | b'F' | b'P' => self.line().and_then(|_| self.made_of(0))?,
            b'K' => self.skip(1).and_then(|()| self.made_of(0))?,
            b'M' => self.skip(2).and_then(|()| self.made_of(0))?,
            b'J' => self.skip(4).and_then(|()| self.made_of(0))?,
            b'G' => self.skip(8).and_then(|()| self.made_of(0))?,
            b'C' | 0x8a => self.bytes(1)?,
            b'B' | 0x8b => self.bytes(4)?,
            0x8e | 0x96 => self.bytes(8)?,
            // No argument: made of objects on the stack, of all after a mark, or put into another.
            b'N' | 0x88 | 0x89 | b']' | b')' | b'}' | 0x8f | 0x97 => self.made_of(0)?,
            0x85 | b'Q' => self.made_of(1)?,
            0x86 | b'R' | 0x81 => self.made_of(2)?,
            0x87 | 0x92 => self.made_of(3)?,
            b'l' | b't' | b'd' | b'o' | 0x91 => self.pop_to_mark().and_then(|()| self.made_of(0))?,
            b'e' | b'u' | b'1' | 0x90 => self.pop_to_mark()?,
            b'a' | b'b' => drop(self.pop()?),
            b's' => drop((self.pop()?, self.pop()?)),
            b'(' => self.stack.push(Item::Mark),
            // Alone among them, it may take a mark away.
            b'0' => drop(self.stack.pop().ok_or_else(underflow)?),
            b'2' => self.stack.push(self.top()?),
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            0x98 => {}
            _ => return Err(broken(format!("its pickle has the unknown opcode {opcode:#04x}"))),
        }
        Ok(())
    }

    /// An opcode that names a callable.
    fn name(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Item::Text(module), Item::Text(name)) = (module, name) else {
                    return Err(Fault::Forbidden("something whose name is worked out".into()));
                };
                allow(&module, &name)?;
            }
            0x82..=0x84 => {
                let code = self.number([1, 2, 4][usize::from(opcode - 0x82)])?;
                return Err(Fault::Forbidden(format!("extension {code} of copyreg")));
            }
            _ => {
                let (module, name) = (self.line()?, self.line()?);
                allow(&String::from_utf8_lossy(&module), &String::from_utf8_lossy(&name))?;
                if opcode == b'i' {
                    self.pop_to_mark()?;
                }
            }
        }
        self.made_of(0)
    }

    /// An opcode that writes to the memo or reads from it.
    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let key = match opcode {
            b'h' | b'q' => self.number(1)?,
            b'j' | b'r' => self.number(4)?,
            0x94 => self.memo.len() as u64,
            _ => String::from_utf8_lossy(&self.line()?).parse().map_err(broken)?,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let item =
                self.memo.get(&key).ok_or_else(|| broken(format!("its pickle has no object {key}")))?;
            self.stack.push(item.clone());
        } else {
            self.memo.insert(key, self.top()?);
        }
        Ok(())
    }

    /// An object that is no text takes the place of `count` others.
    fn made_of(&mut self, count: usize) -> Result<(), Fault> {
        for _ in 0..count {
            self.pop()?;
        }
        self.stack.push(Item::Other);
        Ok(())
    }

    fn top(&self) -> Result<Item, Fault> {
        self.stack.last().filter(|item| !matches!(item, Item::Mark)).cloned().ok_or_else(underflow)
    }

    fn pop(&mut self) -> Result<Item, Fault> {
        let item = self.top()?;
        self.stack.pop();
        Ok(item)
    }

    fn pop_to_mark(&mut self) -> Result<(), Fault> {
        let mark = self.stack.iter().rposition(|item| matches!(item, Item::Mark)).ok_or_else(underflow)?;
        self.stack.truncate(mark);
        Ok(())
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, size: usize) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes[..size])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Vec<u8>, Fault> {
        let mut line = Vec::new();
        self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        match line.pop() {
            Some(b'\n') => Ok(line),
            _ => Err(broken("its pickle ends early, or has a line without an end")),
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        match io::copy(&mut self.reader.by_ref().take(count), &mut io::sink())? {
            copied if copied == count => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn bytes(&mut self, size: usize) -> Result<(), Fault> {
        let count = self.number(size)?;
        self.skip(count)?;
        self.made_of(0)
    }

    fn text(&mut self, size: usize) -> Result<(), Fault> {
        let count = self.number(size)?;
        if count > MAX_NAME as u64 {
            self.skip(count)?;
            return self.made_of(0);
        }
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes)?;
        self.stack.push(text(&bytes));
        Ok(())
    }
}

fn underflow() -> Fault {
    broken("its pickle takes more from the stack than there is")
}

fn text(bytes: &[u8]) -> Item {
    std::str::from_utf8(bytes).map_or(Item::Other, |text| Item::Text(text.into()))
}

/// Text of a line, in quotes after `S`; what has escapes does not count as a name.
fn literal(opcode: u8, line: &[u8]) -> Item {
    let inner = match line {
        _ if line.contains(&b'\\') || line.len() > MAX_NAME => return Item::Other,
        _ if opcode == b'V' => line,
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Item::Other,
    };
    text(inner)
}

fn allow(module: &str, name: &str) -> Result<(), Fault> {
    let callable = format!("{module}.{name}");
    if ALLOWED.contains(&callable.as_str()) {
        return Ok(());
    }
    // It goes to a terminal: shortened, and without control characters.
    let shown: String = callable.chars().take(200).collect();
    Err(Fault::Forbidden(shown.escape_debug().to_string()))
}

#[cfg(test)]
mod tests;
