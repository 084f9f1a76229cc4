//! Writing a checkpoint, block by block.

use std::io::{self, Write};

use super::format::{
    BLOCK_BYTES, BLOCK_HEAD_BYTES, BLOCK_MARK, CHECKSUM_BYTES, END_MARK, checksum, encode_header,
    push_entry,
};
use super::{Checksum, Entry, Header, Summary};
use crate::Key;

/// Writes a checkpoint. Whoever writes to a file syncs it after [`Writer::finish`]; one that is not
/// finished does not read.
pub struct Writer<W> {
    output: W,
    header: Header,
    /// The checksum of the part before.
    link: Checksum,
    block: Vec<u8>,
    entries: u32,
    last: Option<(u8, Key)>,
    records: u64,
    numbers: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn begin(mut output: W, header: &Header) -> io::Result<Writer<W>> {
        let bytes = encode_header(header);
        output.write_all(&bytes)?;
        let mut link = Checksum::default();
        link.copy_from_slice(&bytes[bytes.len() - CHECKSUM_BYTES..]);
        Ok(Writer {
            output,
            header: header.clone(),
            link,
            block: Vec::with_capacity(2 * BLOCK_BYTES),
            entries: 0,
            last: None,
            records: 0,
            numbers: 0,
            bytes: bytes.len() as u64,
        })
    }

    /// Adds an entry. One that does not come after the last one is refused as invalid input.
    pub fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let (kind, key) = entry.place();
        if let Some((last_kind, last_key)) = &mut self.last {
            if (*last_kind, &*last_key) >= (kind, key) {
                let why = format!("checkpoint entry {key} does not come after {last_key}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            (*last_kind, *last_key) = (kind, key.clone());
        } else {
            self.last = Some((kind, key.clone()));
        }
        push_entry(&mut self.block, entry);
        self.entries += 1;
        match entry {
            Entry::Record(..) => self.records += 1,
            Entry::Number(..) => self.numbers += 1,
        }
        match self.block.len() >= BLOCK_BYTES {
            true => self.close_block(),
            false => Ok(()),
        }
    }

    /// Writes what is left and the end, and flushes the output.
    pub fn finish(mut self) -> io::Result<(W, Summary)> {
        if self.entries > 0 {
            self.close_block()?;
        }
        let mut end = END_MARK.to_vec();
        end.extend_from_slice(&self.records.to_be_bytes());
        end.extend_from_slice(&self.numbers.to_be_bytes());
        let checksum = checksum(&self.link, &[&end]);
        end.extend_from_slice(&checksum);
        self.output.write_all(&end)?;
        self.output.flush()?;
        let summary = Summary {
            header: self.header,
            records: self.records,
            numbers: self.numbers,
            bytes: self.bytes + end.len() as u64,
        };
        Ok((self.output, summary))
    }

    fn close_block(&mut self) -> io::Result<()> {
        let mut head = Vec::with_capacity(BLOCK_HEAD_BYTES);
        head.extend_from_slice(BLOCK_MARK);
        // The cast holds: a block ends within one entry of 128 KiB.
        head.extend_from_slice(&(self.block.len() as u32).to_be_bytes());
        head.extend_from_slice(&self.entries.to_be_bytes());
        self.link = checksum(&self.link, &[&head, &self.block]);
        self.output.write_all(&head)?;
        self.output.write_all(&self.block)?;
        self.output.write_all(&self.link)?;
        self.bytes += (head.len() + self.block.len() + self.link.len()) as u64;
        self.block.clear();
        self.entries = 0;
        Ok(())
    }
}
