//! Reads one long text out of a body that is too large for memory: a recording, as base64.
//!
//! For bodies that went through the strict walk already, which is what refuses a key named
//! twice. This one goes only as far as the text, and has a piece of it in memory.

use std::io::{self, Read};

use super::{DEPTH_MAX, KEY_BYTES_MAX};

/// How much is in memory at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A text inside of a body, its escapes decoded, as it is read. Of the characters that are
/// written as `\uXXXX` it knows those of ASCII.
#[derive(Debug)]
pub struct TextAt<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    is_over: bool,
}

impl<R: Read> TextAt<R> {
    /// Goes to the text behind these keys, from the root down; nothing if there is none.
    ///
    /// # Errors
    ///
    /// Reading failed, or the body is no JSON.
    pub fn find(input: R, path: &[&str]) -> io::Result<Option<Self>> {
        let mut it = Self { input, buffer: vec![0; PIECE_BYTES], at: 0, filled: 0, is_over: false };
        for (depth, wanted) in path.iter().enumerate() {
            if it.next_token()? != b'{' || !it.go_to(wanted.as_bytes())? {
                return Ok(None);
            }
            if depth.saturating_add(1) == path.len() {
                return Ok((it.next_token()? == b'"').then_some(it));
            }
        }
        Ok(None)
    }

    /// Goes behind the colon of this key in the object that is open. False: there is none.
    fn go_to(&mut self, wanted: &[u8]) -> io::Result<bool> {
        let mut key = Vec::new();
        loop {
            match self.next_token()? {
                b'"' => {}
                b',' => continue,
                b'}' => return Ok(false),
                _ => return Err(broken()),
            }
            key.clear();
            while let Some(byte) = self.next_of_text()? {
                if key.len() >= KEY_BYTES_MAX {
                    return Err(broken());
                }
                key.push(byte);
            }
            if self.next_token()? != b':' {
                return Err(broken());
            }
            if key == wanted {
                return Ok(true);
            }
            self.skip_value()?;
        }
    }

    fn skip_value(&mut self) -> io::Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.next_token()? {
                b'"' => self.skip_text()?,
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth = depth.checked_sub(1).ok_or_else(broken)?,
                b',' | b':' if depth > 0 => continue,
                b',' | b':' => return Err(broken()),
                // A number or a word: up to what cannot be a part of one.
                _ => {
                    while !matches!(self.peek()?, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                    {
                        self.at = self.at.saturating_add(1);
                    }
                }
            }
            if depth > DEPTH_MAX {
                return Err(broken());
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_text(&mut self) -> io::Result<()> {
        loop {
            self.peek()?;
            let rest = self.buffer.get(self.at..self.filled).unwrap_or_default();
            let Some(run) = rest.iter().position(|it| matches!(it, b'"' | b'\\')) else {
                self.at = self.filled;
                continue;
            };
            self.at = self.at.saturating_add(run);
            if self.take()? == b'"' {
                return Ok(());
            }
            // Whatever is escaped: four digits are no end of a text.
            self.take()?;
        }
    }

    /// The next byte of a text; nothing at its end. What is written as itself comes as it is.
    fn next_of_text(&mut self) -> io::Result<Option<u8>> {
        Ok(Some(match self.take()? {
            b'"' => return Ok(None),
            b'\\' => match self.take()? {
                byte @ (b'"' | b'\\' | b'/') => byte,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let mut value = 0_u32;
                    for _ in 0..4 {
                        let digit = char::from(self.take()?).to_digit(16).ok_or_else(broken)?;
                        value = value << 4 | digit;
                    }
                    // Another character is in no key that is looked for, and in no base64.
                    u8::try_from(value).ok().filter(u8::is_ascii).unwrap_or(0)
                }
                _ => return Err(broken()),
            },
            byte => byte,
        }))
    }

    /// The next byte that is no space.
    fn next_token(&mut self) -> io::Result<u8> {
        loop {
            match self.take()? {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                byte => return Ok(byte),
            }
        }
    }

    fn take(&mut self) -> io::Result<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    /// The next byte, which is taken later.
    fn peek(&mut self) -> io::Result<u8> {
        while self.at >= self.filled {
            self.at = 0;
            self.filled = match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                read => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => read,
                },
            };
        }
        self.buffer.get(self.at).copied().ok_or_else(broken)
    }
}

impl<R: Read> Read for TextAt<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_over || out.is_empty() {
            return Ok(0);
        }
        if !matches!(self.peek()?, b'"' | b'\\') {
            let rest = self.buffer.get(self.at..self.filled).unwrap_or_default();
            let run = rest.iter().position(|it| matches!(it, b'"' | b'\\')).unwrap_or(rest.len());
            let count = run.min(out.len());
            for (to, from) in out.iter_mut().zip(rest.iter().take(count)) {
                *to = *from;
            }
            self.at = self.at.saturating_add(count);
            return Ok(count);
        }
        if let (Some(byte), Some(first)) = (self.next_of_text()?, out.first_mut()) {
            *first = byte;
            return Ok(1);
        }
        self.is_over = true;
        Ok(0)
    }
}

fn broken() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn found(body: &str, path: &[&str]) -> Option<String> {
        let mut texts = Vec::new();
        for input in [Box::new(body.as_bytes()) as Box<dyn Read>, Box::new(Drops(body.as_bytes()))]
        {
            texts.push(TextAt::find(input, path).unwrap().map(|mut it| {
                let mut text = String::new();
                it.read_to_string(&mut text).unwrap();
                text
            }));
        }
        assert_eq!(texts[0], texts[1], "in one piece and byte by byte");
        texts.pop().unwrap()
    }

    #[test]
    fn a_text_is_found_behind_whatever_stands_before_it() {
        let body = r#" { "full_audio" : "no", "n":-1.5e3,"l":[1,{"data":"x"},"]}"],"t":"a\"}\\",
            "o":{"data":{"full_audio":"no"}}, "e":[],"data" :{"id":null,"x":{},
            "full\u005faudio": "QUJD\/\u002b=" , "y":1}}"#;
        let body: String = body.lines().map(str::trim).collect();
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        assert_eq!(found(&body, &["data", "full_audio"]).as_deref(), Some("QUJD/+="));
        assert_eq!(found(&body, &["full_audio"]).as_deref(), Some("no"));
        assert_eq!(found(&body, &["data", "id"]), None, "no text");
        assert_eq!(found(&body, &["data", "no"]), None);
        assert_eq!(found(&body, &["t", "no"]), None, "a text has no keys");
    }

    #[test]
    fn what_ends_early_is_an_error_and_not_an_end() {
        let body = r#"{"data":{"full_audio":"QUJD"#;
        let mut it = TextAt::find(body.as_bytes(), &["data", "full_audio"]).unwrap().unwrap();
        assert!(it.read_to_end(&mut Vec::new()).is_err());
        assert!(TextAt::find(&b"{\"data\":{"[..], &["data", "full_audio"]).is_err());
    }
}
