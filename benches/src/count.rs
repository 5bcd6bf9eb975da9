//! Counters: allocations of the whole process and the bytes they hold, reads and writes of sockets. They are on only
//! in the counting round and in workloads that state memory, so that the timed rounds do not pay for them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);
/// What was allocated less what was freed; below zero where what was freed is older than the switch.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// What the counters say now.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub allocations: u64,
    pub reads: u64,
    pub writes: u64,
    /// Bytes of heap.
    pub live: i64,
}

impl Counts {
    pub fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Relaxed),
            reads: READS.load(Relaxed),
            writes: WRITES.load(Relaxed),
            live: LIVE.load(Relaxed),
        }
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            reads: self.reads - earlier.reads,
            writes: self.writes - earlier.writes,
            live: self.live - earlier.live,
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

fn allocated(bytes: i64) {
    if ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        LIVE.fetch_add(bytes, Relaxed);
    }
}

/// The system's allocator, with a count of allocations and reallocations and of the bytes asked for.
pub struct Counting;

// SAFETY: every call is passed to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated(size as i64 - layout.size() as i64);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if ON.load(Relaxed) {
            LIVE.fetch_sub(layout.size() as i64, Relaxed);
        }
        unsafe { System.dealloc(at, layout) }
    }
}
