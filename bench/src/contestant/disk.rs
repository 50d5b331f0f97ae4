//! What the disk itself can do: sequential writes of one size into a preallocated file, an
//! `fdatasync` after each.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FallocateFlags, fallocate, fdatasync};

use super::DiskArgs;
use crate::events;
use crate::meter::{Measured, Meter};

pub(crate) fn run(args: &DiskArgs) -> Result<Measured> {
    let path = args.volume.directory.dir.join("disk.bin");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    let block = block(usize::try_from(args.block)?);
    let count = args.volume.bytes.div_ceil(args.block);
    // As the journal does: blocks and size are there before, so that a sync has no metadata.
    fallocate(&file, FallocateFlags::empty(), 0, count * args.block).context("preallocate")?;
    file.sync_all()?;

    let meter = Meter::start()?;
    for index in 0..count {
        file.write_all_at(&block, index * args.block)?;
        fdatasync(&file)?;
    }
    let measured = meter.finish(count * args.block)?;

    let checked = check(&file, &block, count)?;
    fs::remove_file(&path)?;
    Ok(Measured { checked, ..measured })
}

/// Builds a block of events: what compresses or is zero could be cheaper to store.
fn block(len: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(len + 2048);
    for number in 0.. {
        if block.len() >= len {
            break;
        }
        block.extend_from_slice(&events::event(number));
    }
    block.truncate(len);
    block
}

/// Reads everything back.
fn check(file: &File, block: &[u8], count: u64) -> Result<u64> {
    let mut read = vec![0; block.len()];
    for index in 0..count {
        file.read_exact_at(&mut read, index * block.len() as u64)?;
        ensure!(read == block, "block {index} is not what was written");
    }
    Ok(count)
}
