//! Lines that strace writes, as system calls.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

/// A system call that came back, or that ended its process.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The thread that made it.
    pub thread: u32,
    /// Its name, such as `openat`.
    pub name: String,
    /// Its arguments as strace writes them.
    pub arguments: Vec<String>,
    /// What it returned; `None` where the process ended first.
    pub result: Option<i64>,
    /// The path that strace adds to a returned descriptor.
    pub returned_path: Option<FileName>,
    /// Whether strace made it fail.
    pub injected: bool,
}

/// The name of a file behind a descriptor.
#[derive(Clone, Debug, PartialEq)]
pub struct FileName {
    /// Its path, or what the kernel calls it (`pipe:[7]`).
    pub path: String,
    /// Whether no folder holds the file any more, or none ever did.
    pub unlinked: bool,
}

/// Reads a log of `strace -f -y -xx`: calls in the order in which they came back. A `close` counts from
/// its beginning, since its number is free for other threads from then on.
pub fn read(log: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut begun: HashMap<u32, String> = HashMap::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').with_context(|| format!("strace wrote {line:?}"))?;
        let thread: u32 = thread.parse().with_context(|| format!("strace wrote {line:?}"))?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        let whole = if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            if start.starts_with("close(") {
                calls.push(call(thread, &format!("{}) = 0", start.trim_end_matches(')')))?);
            } else {
                begun.insert(thread, start.to_owned());
            }
            continue;
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(start) = begun.remove(&thread) else { continue };
            let (_, end) =
                resumed.split_once(" resumed>").with_context(|| format!("strace wrote {line:?}"))?;
            start + end
        } else {
            rest.to_owned()
        };
        calls.push(call(thread, &whole)?);
    }
    // What was under way when the process ended.
    for (thread, start) in begun {
        calls.push(call(thread, &format!("{start}) = ?"))?);
    }
    Ok(calls)
}

fn call(thread: u32, text: &str) -> Result<Call> {
    let odd = || format!("strace wrote {text:?}");
    let (name, rest) = text.split_once('(').with_context(odd)?;
    let (arguments, result) = rest.rsplit_once(" = ").with_context(odd)?;
    let arguments = arguments.trim_end().strip_suffix(')').with_context(odd)?;
    let number = result.split(['<', ' ']).next().unwrap_or_default();
    let returned = match number.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    };
    Ok(Call {
        thread,
        name: name.to_owned(),
        arguments: split(arguments),
        result: returned,
        returned_path: file_name(result)?,
        injected: result.ends_with("(INJECTED)"),
    })
}

/// Arguments, separated by commas outside brackets. Strings are hexadecimal and hold none of either.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_i32;
    for letter in text.chars() {
        depth += match letter {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        match parts.last_mut() {
            Some(part) if letter != ',' || depth > 0 => part.push(letter),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

impl Call {
    /// The argument at a place; empty where there is none.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// A descriptor.
    pub fn descriptor(&self, index: usize) -> Result<i32> {
        let digits = self.argument(index).split('<').next().unwrap_or_default();
        digits.parse().with_context(|| format!("{} has no descriptor at {index}", self.name))
    }

    /// The file behind a descriptor.
    pub fn file(&self, index: usize) -> Result<Option<FileName>> {
        file_name(self.argument(index))
    }

    /// A number.
    pub fn number(&self, index: usize) -> Result<u64> {
        let text = self.argument(index);
        text.parse().with_context(|| format!("{} has no number at {index}: {text}", self.name))
    }

    /// The bytes of every string in an argument, one after the other.
    pub fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut parts = self.argument(index).split('"');
        parts.next();
        while let (Some(inside), Some(behind)) = (parts.next(), parts.next()) {
            if behind.starts_with("...") {
                bail!("strace cut a string of {} short", self.name);
            }
            bytes.extend(unescaped(inside)?);
        }
        Ok(bytes)
    }

    /// A string as a path.
    pub fn text(&self, index: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(index)?).into_owned())
    }
}

/// `5<\x2f\x74>(deleted)`: what is between the angle brackets.
fn file_name(text: &str) -> Result<Option<FileName>> {
    let Some((_, rest)) = text.split_once('<') else { return Ok(None) };
    let Some((inside, behind)) = rest.rsplit_once('>') else { return Ok(None) };
    let path = if inside.starts_with("\\x") {
        String::from_utf8_lossy(&unescaped(inside)?).into_owned()
    } else {
        inside.to_owned()
    };
    Ok(Some(FileName { path, unlinked: behind.starts_with("(deleted)") }))
}

fn unescaped(text: &str) -> Result<Vec<u8>> {
    let odd = || format!("{text:?} is not a string of strace -xx");
    let digits: Vec<&str> = text.split("\\x").collect();
    if !digits[0].is_empty() {
        bail!(odd());
    }
    digits[1..].iter().map(|pair| u8::from_str_radix(pair, 16).with_context(odd)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_name_arguments_and_a_result() {
        let log = "7  openat(AT_FDCWD<\\x2f\\x74>, \"\\x2f\\x61\", O_WRONLY|O_CREAT, 0644) = 3<\\x2f\\x61>\n";
        let calls = read(log).unwrap();
        assert_eq!((calls[0].thread, calls[0].name.as_str(), calls[0].result), (7, "openat", Some(3)));
        assert_eq!(calls[0].text(1).unwrap(), "/a");
        assert_eq!(calls[0].file(0).unwrap().unwrap().path, "/t");
        assert_eq!(calls[0].returned_path, Some(FileName { path: "/a".into(), unlinked: false }));
        assert_eq!(calls[0].argument(2), "O_WRONLY|O_CREAT");
    }

    #[test]
    fn calls_of_several_threads_are_put_together_in_the_order_of_their_ends() {
        let log = "1 write(3<\\x61>, \"\\x68\\x69\", 2 <unfinished ...>\n\
                   2 fsync(4<\\x62>) = 0\n\
                   1 <... write resumed>)              = 2\n\
                   2 +++ exited with 0 +++\n";
        let calls = read(log).unwrap();
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["fsync", "write"]);
        assert_eq!((calls[1].bytes(1).unwrap(), calls[1].result), (b"hi".to_vec(), Some(2)));
    }

    #[test]
    fn a_close_counts_from_its_beginning() {
        let log = "1 close(3<\\x61> <unfinished ...>\n2 openat(AT_FDCWD, \"\\x62\", O_RDONLY) = 3<\\x62>\n\
                   1 <... close resumed>) = 0\n";
        let names: Vec<String> = read(log).unwrap().into_iter().map(|call| call.name).collect();
        assert_eq!(names, ["close", "openat"]);
    }

    #[test]
    fn lists_of_buffers_are_joined_and_cut_strings_are_refused() {
        let log = "1 writev(3, [{iov_base=\"\\x61\", iov_len=1}, {iov_base=\"\\x62\", iov_len=1}], 2) = 2\n\
                   1 write(3, \"\\x61\"..., 9) = 9\n";
        let calls = read(log).unwrap();
        assert_eq!(calls[0].bytes(1).unwrap(), b"ab");
        assert!(calls[1].bytes(1).is_err());
    }

    #[test]
    fn failures_and_ends_are_told_apart() {
        let log = "1 fsync(3<\\x61>(deleted)) = -1 EIO (Input/output error) (INJECTED)\n1 rename(\"\\x61\", \"\\x62\") = ?\n";
        let calls = read(log).unwrap();
        assert!(calls[0].injected && calls[0].result == Some(-1));
        assert!(calls[0].file(0).unwrap().unwrap().unlinked);
        assert_eq!(calls[1].result, None);
    }
}
