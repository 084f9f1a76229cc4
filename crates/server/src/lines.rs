//! Lines of an answer, of which one at a time is in memory.

/// Bytes as they come, lines as they are whole.
pub(crate) struct Lines {
    most: usize,
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no end of it.
    searched: usize,
}

impl Lines {
    /// None yet, and none longer than `most` bytes.
    pub(crate) fn up_to(most: usize) -> Lines {
        Lines {
            most,
            bytes: Vec::new(),
            start: 0,
            searched: 0,
        }
    }

    /// Adds what has come. Lines that were taken are forgotten.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.bytes.len() + bytes.len() > self.most {
            return Err(format!(
                "a line of it is over the limit of {} bytes",
                self.most
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next line that says something. At the end of the answer the rest is a line.
    pub(crate) fn next(&mut self, ended: bool) -> Option<Vec<u8>> {
        loop {
            let unsearched = &self.bytes[self.searched..];
            let (end, next) = match unsearched.iter().position(|&byte| byte == b'\n') {
                Some(place) => (self.searched + place, self.searched + place + 1),
                None if ended && self.start < self.bytes.len() => {
                    (self.bytes.len(), self.bytes.len())
                }
                None => {
                    self.searched = self.bytes.len();
                    return None;
                }
            };
            let line = self.bytes[self.start..end].to_vec();
            (self.start, self.searched) = (next, next);
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::up_to(100);
        let mut found = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            lines.add(piece.as_bytes()).unwrap();
            let ended = place + 1 == pieces.len();
            while let Some(line) = lines.next(ended) {
                found.push(String::from_utf8(line).unwrap());
            }
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = "ab\n\nc\nde";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(all(&pieces), ["ab", "c", "de"], "{pieces:?}");
            }
        }
    }

    #[test]
    fn a_line_has_a_bound_and_many_lines_have_none() {
        let mut lines = Lines::up_to(10);
        for _ in 0..100 {
            lines.add(b"12345678\n").unwrap();
            assert_eq!(lines.next(false).unwrap(), b"12345678");
            assert_eq!(lines.next(false), None);
        }
        lines.add(b"12345678").unwrap();
        assert!(lines.add(b"9ab").unwrap_err().contains("10 bytes"));
    }
}
