//! The frame: a checksummed header, a head that says what changes, and the bytes of records.
//!
//! ```text
//!  0       4     8          12         16       17     18    20         24
//!  +-------+-----+----------+----------+--------+------+-----+----------+
//!  | magic | crc | head len | body len | version| kind |  0  | previous |
//!  +-------+-----+----------+----------+--------+------+-----+----------+
//!  | incarnation u64 | durable end u64 | time i64 | fields of the kind … |  ← head, under `crc`
//!  +-----------------+-----------------+----------+----------------------+
//!  | section | section | …                                               |  ← body, a CRC each
//!  +---------------------------------------------------------------------+
//! ```
//!
//! `previous` is the CRC of the frame before, so that bytes left over from an abandoned write
//! never join a chain they do not belong to. `durable end` is how far the segment was known to
//! be durable when the frame was written: it tells a torn tail from damage (L5).

use millstream_model::{Incarnation, Timestamp};

use super::codec::{Put, Take};

/// "MSJF", little-endian.
pub(super) const MAGIC: u32 = 0x464a_534d;

/// The version of the format that is written.
pub(super) const VERSION: u8 = 1;

/// The bytes of a head before the fields of its kind.
pub(super) const HEAD_BYTES_MIN: usize = 48;

/// The longest head: a snapshot with every task and its positions stays far below it.
pub(super) const HEAD_BYTES_MAX: u32 = 256 << 20;

/// Where the bytes under the CRC begin.
const CRC_FROM: usize = 8;

/// What a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Heads a segment: everything that holds before its first change.
    Snapshot,
    /// Records without an owner.
    Append,
    /// Records, consumed offsets and positions of a task.
    Transaction,
    /// A task's new owner.
    Open,
    /// A topic, created or altered.
    Topic,
    /// First readable offsets that moved.
    Trim,
    /// A task that is registered no longer.
    Release,
    /// The orderly end of a run.
    Close,
    /// Heads an archive file.
    Archive,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Snapshot => 1,
            Self::Append => 2,
            Self::Transaction => 3,
            Self::Open => 4,
            Self::Topic => 5,
            Self::Trim => 6,
            Self::Release => 7,
            Self::Close => 8,
            Self::Archive => 9,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Snapshot,
            2 => Self::Append,
            3 => Self::Transaction,
            4 => Self::Open,
            5 => Self::Topic,
            6 => Self::Trim,
            7 => Self::Release,
            8 => Self::Close,
            9 => Self::Archive,
            _ => return None,
        })
    }
}

/// What every frame carries besides the fields of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The CRC of the frame before; zero in the first frame of a file.
    pub previous: u32,
    /// The incarnation of the segment.
    pub incarnation: Incarnation,
    /// How far the file was known to be durable.
    pub durable_end: u64,
    /// When the frame was written.
    pub time: Timestamp,
}

/// A head whose CRC is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub kind: Kind,
    pub stamp: Stamp,
    pub crc: u32,
    pub head_len: u32,
    pub body_len: u32,
    /// The fields of the kind.
    pub fields: &'a [u8],
}

impl Head<'_> {
    /// Returns the bytes of the whole frame.
    pub(super) fn frame_len(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.body_len)
    }
}

/// Why bytes are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHead {
    /// They are not one, or damaged.
    Invalid(&'static str),
    /// They are one of a version this build does not know.
    Version(u8),
}

/// Reads the length of the head that begins with these bytes, before its CRC is checked.
pub(super) fn head_len(bytes: &[u8]) -> Option<u32> {
    let mut take = Take(bytes);
    let magic = take.u32()?;
    let _crc = take.u32()?;
    let len = take.u32()?;
    let fits = len as usize >= HEAD_BYTES_MIN && len <= HEAD_BYTES_MAX;
    (magic == MAGIC && fits).then_some(len)
}

/// Checks the head that `bytes` begin with.
pub(super) fn decode(bytes: &[u8]) -> Result<Head<'_>, NoHead> {
    let len = head_len(bytes).ok_or(NoHead::Invalid("no frame begins here"))?;
    let head = bytes.get(..len as usize).ok_or(NoHead::Invalid("frame head is cut short"))?;
    decode_whole(head, len)
}

fn decode_whole(head: &[u8], head_len: u32) -> Result<Head<'_>, NoHead> {
    const SHORT: NoHead = NoHead::Invalid("frame head is cut short");
    let mut take = Take(head);
    take.u32().ok_or(SHORT)?;
    let crc = take.u32().ok_or(SHORT)?;
    if crc32c::crc32c(&head[CRC_FROM..]) != crc {
        return Err(NoHead::Invalid("frame head does not match its checksum"));
    }
    take.u32().ok_or(SHORT)?;
    let body_len = take.u32().ok_or(SHORT)?;
    let version = take.u8().ok_or(SHORT)?;
    if version != VERSION {
        return Err(NoHead::Version(version));
    }
    let kind =
        take.u8().and_then(Kind::from_byte).ok_or(NoHead::Invalid("frame kind is unknown"))?;
    if take.u16().ok_or(SHORT)? != 0 {
        return Err(NoHead::Invalid("reserved bytes of the frame head are not zero"));
    }
    let stamp = Stamp {
        previous: take.u32().ok_or(SHORT)?,
        incarnation: take.incarnation().ok_or(SHORT)?,
        durable_end: take.u64().ok_or(SHORT)?,
        time: take.time().ok_or(SHORT)?,
    };
    Ok(Head { kind, stamp, crc, head_len, body_len, fields: take.0 })
}

/// Appends a head to `buf`; `fields` writes the fields of the kind. Returns its CRC.
pub(super) fn encode(
    buf: &mut Vec<u8>,
    kind: Kind,
    stamp: Stamp,
    body_len: u32,
    fields: impl FnOnce(&mut Vec<u8>),
) -> u32 {
    let at = buf.len();
    buf.put_u32(MAGIC);
    buf.put_u32(0);
    buf.put_u32(0);
    buf.put_u32(body_len);
    buf.put_u8(VERSION);
    buf.put_u8(kind.to_byte());
    buf.put_u16(0);
    buf.put_u32(stamp.previous);
    buf.put_u64(stamp.incarnation.0);
    buf.put_u64(stamp.durable_end);
    buf.put_time(stamp.time);
    fields(buf);
    let len = u32::try_from(buf.len() - at).expect("heads are bounded far below 4 GiB");
    assert!(len <= HEAD_BYTES_MAX, "a frame head of {len} bytes could not be read again");
    buf[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&buf[at + CRC_FROM..]);
    buf[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    crc
}

#[cfg(test)]
mod tests;
