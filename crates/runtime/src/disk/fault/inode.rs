//! One file: what a reader sees, what the medium holds, and the pages between the two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Survival;
use super::blocks::Blocks;
use crate::Rng;

/// The unit in which the kernel keeps and writes back bytes, and in which blocks are allocated.
pub(super) const PAGE_BYTES: usize = 4096;

/// The unit that a medium writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// How many earlier contents of a dirty page are remembered: the kernel may have written back
/// any of them on its own.
const VERSIONS_MAX: usize = 3;

type Page = [u8; PAGE_BYTES];

const ZEROS: Page = [0; PAGE_BYTES];

/// A file's bytes; pages that are absent read as zeros.
#[derive(Clone, Default, Hash)]
pub(super) struct Image {
    pages: BTreeMap<usize, Arc<Page>>,
    len: u64,
}

impl Image {
    fn page(&self, index: usize) -> &Page {
        self.pages.get(&index).map_or(&ZEROS, |page| page)
    }

    fn set_page(&mut self, index: usize, page: Option<Arc<Page>>) {
        match page {
            Some(page) => self.pages.insert(index, page),
            None => self.pages.remove(&index),
        };
    }

    /// Drops what lies past the size.
    fn cut(&mut self) {
        let (first, rest) = split(self.len);
        self.pages.split_off(&(first + usize::from(rest > 0)));
        if let Some(page) = self.pages.get_mut(&first) {
            Arc::make_mut(page)[rest..].fill(0);
        }
    }
}

/// Returns the page of a byte and the place in it.
fn split(at: u64) -> (usize, usize) {
    let at = usize::try_from(at).expect("a file in memory is smaller than the memory");
    (at / PAGE_BYTES, at % PAGE_BYTES)
}

/// One file.
#[derive(Clone, Hash)]
pub(super) struct Inode {
    /// The name under which it was made or found.
    pub(super) path: PathBuf,
    medium: Image,
    cache: Image,
    /// The pages that differ from the medium, with what they held since they were last clean,
    /// oldest first. A page whose write-back failed is not here: the kernel calls it clean.
    dirty: BTreeMap<usize, Vec<Option<Arc<Page>>>>,
    blocks: Blocks,
}

impl Inode {
    pub(super) fn new(path: PathBuf) -> Self {
        Self::from_image(path, Image::default())
    }

    fn from_image(path: PathBuf, image: Image) -> Self {
        let (pages, rest) = split(image.len);
        let blocks = Blocks::up_to(pages + usize::from(rest > 0));
        Self { path, medium: image.clone(), cache: image, dirty: BTreeMap::new(), blocks }
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.len
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks.count()
    }

    pub(super) fn read(&self, buf: &mut [u8], at: u64) -> usize {
        let there = usize::try_from(self.cache.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = there.min(buf.len());
        let mut done = 0;
        while done < count {
            let (index, from) = split(at + done as u64);
            let step = (PAGE_BYTES - from).min(count - done);
            let page = self.cache.page(index);
            buf[done..done + step].copy_from_slice(&page[from..from + step]);
            done += step;
        }
        count
    }

    /// Returns how many of `len` bytes at `at` fit when `blocks_free` blocks are free.
    pub(super) fn fitting(&self, len: usize, at: u64, mut blocks_free: u64) -> usize {
        let mut fits = 0;
        while fits < len {
            let (index, from) = split(at + fits as u64);
            if !self.blocks.contains(index) {
                if blocks_free == 0 {
                    return fits;
                }
                blocks_free -= 1;
            }
            fits += (PAGE_BYTES - from).min(len - fits);
        }
        len
    }

    pub(super) fn write(&mut self, buf: &[u8], at: u64) {
        let mut done = 0;
        while done < buf.len() {
            let (index, from) = split(at + done as u64);
            let step = (PAGE_BYTES - from).min(buf.len() - done);
            let page = self.touch(index);
            page[from..from + step].copy_from_slice(&buf[done..done + step]);
            self.blocks.insert(index);
            done += step;
        }
        self.cache.len = self.cache.len.max(at + buf.len() as u64);
    }

    /// Writes a random subset of the sectors of `buf`.
    pub(super) fn write_torn(&mut self, buf: &[u8], at: u64, rng: &mut Rng) {
        let mut done = 0;
        while done < buf.len() {
            let place = at + done as u64;
            let (_, from) = split(place);
            let step = (SECTOR_BYTES - from % SECTOR_BYTES).min(buf.len() - done);
            if rng.chance(1, 2) {
                self.write(&buf[done..done + step], place);
            }
            done += step;
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.cache.len {
            let (first, rest) = split(len);
            let beyond: Vec<usize> = self.cache.pages.range(first..).map(|(at, _)| *at).collect();
            for index in beyond {
                self.touch(index);
            }
            self.blocks.truncate(first + usize::from(rest > 0));
        }
        self.cache.len = len;
        self.cache.cut();
    }

    /// Returns the blocks that [`Inode::allocate`] would add.
    pub(super) fn missing_blocks(&self, len: u64) -> u64 {
        let (pages, rest) = split(len);
        self.blocks.missing(pages + usize::from(rest > 0))
    }

    pub(super) fn allocate(&mut self, len: u64) {
        let (pages, rest) = split(len);
        self.blocks.insert_up_to(pages + usize::from(rest > 0));
        self.cache.len = self.cache.len.max(len);
    }

    /// Makes a page dirty and returns it.
    fn touch(&mut self, index: usize) -> &mut Page {
        let before = self.cache.pages.get(&index).cloned();
        let versions = self.dirty.entry(index).or_default();
        if versions.len() == VERSIONS_MAX {
            versions.remove(0);
        }
        versions.push(before);
        let page = self.cache.pages.entry(index).or_insert_with(|| Arc::new(ZEROS));
        Arc::make_mut(page)
    }

    pub(super) fn sync(&mut self) {
        for (index, _) in std::mem::take(&mut self.dirty) {
            self.medium.set_page(index, self.cache.pages.get(&index).cloned());
        }
        self.medium.len = self.cache.len;
        self.medium.cut();
    }

    /// Fails to write back some of the pages: all of them count as clean afterwards, and the
    /// cache may forget what it could not write.
    pub(super) fn sync_failed(&mut self, rng: &mut Rng) {
        let forgets = rng.chance(1, 2);
        for (index, _) in std::mem::take(&mut self.dirty) {
            if rng.chance(1, 3) {
                self.medium.set_page(index, self.cache.pages.get(&index).cloned());
            } else if forgets {
                self.cache.set_page(index, self.medium.pages.get(&index).cloned());
            }
        }
        self.cache.cut();
    }

    /// Returns the file as the next start finds it.
    pub(super) fn reboot(&self, survival: Survival, rng: &mut Rng) -> Self {
        let mut image = self.medium.clone();
        match survival {
            Survival::Killed => return self.clone(),
            Survival::Synced => {}
            Survival::Written => {
                for index in self.dirty.keys() {
                    image.set_page(*index, self.cache.pages.get(index).cloned());
                }
                image.len = self.cache.len;
            }
            Survival::Mixture(_) => {
                for (index, versions) in &self.dirty {
                    self.mix_page(&mut image, *index, versions, rng);
                }
                image.len = self.mix_len(rng);
            }
        }
        image.cut();
        Self::from_image(self.path.clone(), image)
    }

    /// Lets a page survive whole in one of its versions, or torn between two of them.
    fn mix_page(
        &self,
        image: &mut Image,
        index: usize,
        versions: &[Option<Arc<Page>>],
        rng: &mut Rng,
    ) {
        let draw = |rng: &mut Rng| {
            // The medium's own content, the newest, or one in between.
            match rng.below(3) {
                0 => self.medium.pages.get(&index).cloned(),
                1 => self.cache.pages.get(&index).cloned(),
                _ => versions[rng.below(versions.len() as u64) as usize].clone(),
            }
        };
        let (first, second) = (draw(rng), draw(rng));
        if rng.chance(1, 2) {
            image.set_page(index, first);
            return;
        }
        let mut torn = first.as_deref().copied().unwrap_or(ZEROS);
        let second = second.as_deref().unwrap_or(&ZEROS);
        for at in (0..PAGE_BYTES).step_by(SECTOR_BYTES) {
            if rng.chance(1, 2) {
                torn[at..at + SECTOR_BYTES].copy_from_slice(&second[at..at + SECTOR_BYTES]);
            }
        }
        image.set_page(index, Some(Arc::new(torn)));
    }

    fn mix_len(&self, rng: &mut Rng) -> u64 {
        let (low, high) =
            (self.medium.len.min(self.cache.len), self.medium.len.max(self.cache.len));
        match rng.below(3) {
            0 => self.medium.len,
            1 => self.cache.len,
            _ => low + rng.below(high - low + 1),
        }
    }
}
