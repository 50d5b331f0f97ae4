//! What librdkafka allocated and we must give back, and what it only lends.

#![expect(unsafe_code, reason = "calls into librdkafka; see docs/decisions/0014")]

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::slice;

/// An object of librdkafka's that we own: destroyed once, when dropped.
pub(super) struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes what a constructor returned; `None` when it returned nothing.
    ///
    /// # Safety
    /// `pointer` is null, or nobody else destroys it and `destroy` is its destructor.
    pub(super) unsafe fn new(
        pointer: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    /// Returns the object, for calls that end before this is dropped.
    pub(super) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` requires that the object is ours and this its destructor.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// Copies a text that librdkafka lends; empty when there is none.
///
/// # Safety
/// `text` is null or ends with a zero byte and lives during the call.
pub(super) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: checked not to be null; the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Lends an array of librdkafka's; empty when there is none.
///
/// # Safety
/// `first` is null, or `count` elements stand there and live as long as `'a`.
pub(super) unsafe fn slice_of<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: checked not to be null; the caller vouches for the rest.
    unsafe { slice::from_raw_parts(first, count) }
}

/// A text as librdkafka wants it, without what stands behind a zero byte: none of ours has one.
pub(super) fn c_text(text: &str) -> CString {
    let until = text.bytes().position(|byte| byte == 0).unwrap_or(text.len());
    CString::new(&text[..until]).expect("cut before its first zero byte")
}
