//! Counters: allocations of the whole process, reads and writes of sockets. They are on only in the counting round,
//! so that the timed rounds do not pay for them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);

/// What the counters say now.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub allocations: u64,
    pub reads: u64,
    pub writes: u64,
}

impl Counts {
    pub fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Relaxed),
            reads: READS.load(Relaxed),
            writes: WRITES.load(Relaxed),
        }
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            reads: self.reads - earlier.reads,
            writes: self.writes - earlier.writes,
        }
    }
}

pub fn switch(on: bool) {
    ON.store(on, Relaxed);
}

fn add(counter: &AtomicU64) {
    if ON.load(Relaxed) {
        counter.fetch_add(1, Relaxed);
    }
}

/// A read that gave bytes.
pub fn read() {
    add(&READS);
}

/// An attempt to write.
pub fn write() {
    add(&WRITES);
}

/// The system's allocator, with a count of allocations and reallocations.
pub struct Counting;

// SAFETY: every call is passed to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(&ALLOCATIONS);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(&ALLOCATIONS);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(&ALLOCATIONS);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}
