//! Reading a checkpoint, block by block: nothing is believed before its checksum holds.

use std::io::{self, Read};

use super::format::{
    BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, BLOCK_MARK, CHECKSUM_BYTES, END_BYTES, END_MARK,
    HEADER_BYTES, MAGIC, checksum, take, take_entry,
};
use super::{Checksum, Entry, FORMAT, Header, ReadError, Summary};
use crate::Key;

/// Reads a checkpoint and checks everything about it: checksums, order, counts, and that nothing follows.
pub struct Reader<R> {
    input: R,
    header: Header,
    link: Checksum,
    block: Vec<u8>,
    /// How much of the block was handed out.
    used: usize,
    /// How many entries the block still has.
    entries: u32,
    /// Where the block begins, for messages.
    block_offset: u64,
    last: Option<(u8, Key)>,
    records: u64,
    numbers: u64,
    /// How far the input was read.
    offset: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn open(mut input: R) -> Result<Reader<R>, ReadError> {
        let mut bytes = [0; HEADER_BYTES];
        let read = fill(&mut input, &mut bytes, 0)?;
        let damaged = |why| ReadError::Damaged { offset: 0, why };
        if read < MAGIC.len() || !bytes.starts_with(MAGIC) {
            return Err(damaged("it does not begin like a checkpoint"));
        }
        let mut rest = &bytes[MAGIC.len()..read];
        let format = take(&mut rest).map(u32::from_be_bytes);
        let header = || {
            Some(Header {
                sequence: u64::from_be_bytes(take(&mut rest)?),
                link: take(&mut rest)?,
                written_at: u64::from_be_bytes(take(&mut rest)?),
            })
        };
        let header = { header }().ok_or_else(|| damaged("the header is cut off"))?;
        let covered = &bytes[..HEADER_BYTES - CHECKSUM_BYTES];
        let own = checksum_of_header(covered);
        if read < HEADER_BYTES || bytes[covered.len()..] != own {
            return Err(damaged("the header's checksum does not hold"));
        }
        // Headers are the same in all formats, so that a newer one is told from a flipped bit.
        match format {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(ReadError::NewerFormat { found }),
            _ => return Err(damaged("its format is none that was ever written")),
        }
        Ok(Reader {
            input,
            header,
            link: own,
            block: Vec::new(),
            used: 0,
            entries: 0,
            block_offset: 0,
            last: None,
            records: 0,
            numbers: 0,
            offset: HEADER_BYTES as u64,
            ended: false,
        })
    }

    /// Which state it holds.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How far it was read, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; none once the whole checkpoint was read and everything about it holds.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would go on after an error, and nothing after one can be believed"
    )]
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.entries == 0 && !self.ended {
            self.read_part()?;
        }
        if self.ended {
            return Ok(None);
        }
        let damaged = |why| ReadError::Damaged {
            offset: self.block_offset,
            why,
        };
        let mut rest = &self.block[self.used..];
        let left = rest.len();
        let entry = take_entry(&mut rest)
            .ok_or_else(|| damaged("the block's checksum holds, but not its content"))?;
        let (kind, key) = entry.place();
        let last = self.last.as_ref().map(|(kind, key)| (*kind, key));
        if last.is_some_and(|last| last >= (kind, key)) {
            return Err(damaged("the block's entries are not in order"));
        }
        self.used += left - rest.len();
        self.entries -= 1;
        if self.entries == 0 && self.used != self.block.len() {
            return Err(damaged("the block holds more than its entries"));
        }
        self.last = Some((kind, key.clone()));
        match entry {
            Entry::Record(..) => self.records += 1,
            Entry::Number(..) => self.numbers += 1,
        }
        Ok(Some(entry))
    }

    /// Reads what is left and gives what the whole holds.
    pub fn summary(&mut self) -> Result<Summary, ReadError> {
        while self.next()?.is_some() {}
        Ok(Summary {
            header: self.header.clone(),
            records: self.records,
            numbers: self.numbers,
            bytes: self.offset,
        })
    }

    /// Reads the next block, or the end.
    fn read_part(&mut self) -> Result<(), ReadError> {
        let offset = self.offset;
        let damaged = |why| ReadError::Damaged { offset, why };
        let cut_off = || damaged("it ends too early");
        let mut mark = [0; 4];
        if self.fill(&mut mark)? < mark.len() {
            return Err(cut_off());
        }
        if &mark == END_MARK {
            let mut end = [0; END_BYTES + CHECKSUM_BYTES];
            if self.fill(&mut end)? < end.len() {
                return Err(cut_off());
            }
            let (counts, own) = end.split_at(END_BYTES);
            if own != checksum(&self.link, &[&mark, counts]) {
                return Err(damaged("the end's checksum does not hold"));
            }
            let mut rest = counts;
            let counted = (self.records, self.numbers);
            let written = (take(&mut rest), take(&mut rest));
            if written != (Some(counted.0.to_be_bytes()), Some(counted.1.to_be_bytes())) {
                return Err(damaged("it does not hold as many entries as it says"));
            }
            if self.fill(&mut [0])? > 0 {
                return Err(damaged("something follows its end"));
            }
            self.ended = true;
            return Ok(());
        }
        let mut head = [0; BLOCK_HEAD_BYTES];
        head[..mark.len()].copy_from_slice(&mark);
        if self.fill(&mut head[mark.len()..])? < BLOCK_HEAD_BYTES - mark.len() {
            return Err(cut_off());
        }
        let mut rest = &head[mark.len()..];
        let length = take(&mut rest).map_or(0, u32::from_be_bytes) as usize;
        let entries = take(&mut rest).map_or(0, u32::from_be_bytes);
        if &mark != BLOCK_MARK || length > BLOCK_BYTES_MAX || entries == 0 {
            return Err(damaged("it does not read like a block"));
        }
        let mut block = std::mem::take(&mut self.block);
        block.resize(length, 0);
        let mut own = Checksum::default();
        if self.fill(&mut block)? < length || self.fill(&mut own)? < own.len() {
            return Err(cut_off());
        }
        if own != checksum(&self.link, &[&head, &block]) {
            return Err(damaged("the block's checksum does not hold"));
        }
        self.block = block;
        (self.used, self.entries, self.block_offset) = (0, entries, offset);
        self.link = own;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let read = fill(&mut self.input, bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// A header has no part before it.
fn checksum_of_header(covered: &[u8]) -> Checksum {
    use sha2::{Digest, Sha256};
    Sha256::digest(covered).into()
}

/// Reads until the buffer is full or the input ends; how many bytes it got.
fn fill(input: &mut impl Read, bytes: &mut [u8], offset: u64) -> Result<usize, ReadError> {
    let mut read = 0;
    while read < bytes.len() {
        match input.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let offset = offset + read as u64;
                return Err(ReadError::Io { offset, source });
            }
        }
    }
    Ok(read)
}
