//! Reading a value from a file or a pipe, without leaving a copy of it in memory.

use std::io::{self, Read};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::LONGEST_VALUE;

/// Text up to its end, without one trailing newline. The error says what it is, not what it held.
pub fn read_value(from: impl Read) -> io::Result<SecretString> {
    // Room for all that may come: a buffer that grows leaves its old content behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_VALUE + 2));
    from.take(LONGEST_VALUE as u64 + 1).read_to_end(&mut bytes)?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if bytes.len() > LONGEST_VALUE {
        return Err(invalid(format!("it is longer than {LONGEST_VALUE} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid("it is no UTF-8 text".to_owned()))?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() { Err(invalid("it is empty".to_owned())) } else { Ok(SecretString::from(line)) }
}
