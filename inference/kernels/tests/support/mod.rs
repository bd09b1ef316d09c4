//! Numbers, memory with guards around it, and how far apart two answers may be.

use std::ops::{Deref, DerefMut};

use kernels::{Channels, Extent, Isa, View, ViewMut};

/// More than a tile of Winograd's.
const MIRI_MOST: usize = 7;

/// Numbers that look random and are the same in every run (xorshift64, Marsaglia 2003).
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A whole number from `low` to `high`, both included; a smaller one where Miri interprets what it is the size of.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        let high = if cfg!(miri) { high.min(low.max(MIRI_MOST)) } else { high };
        low + (self.next() >> 33) as usize % (high - low + 1)
    }

    pub fn extent(&mut self, low: usize, high: usize) -> Extent {
        std::array::from_fn(|_| self.between(low, high))
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() - 1)].clone()
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// The instruction sets of this machine.
pub fn isas() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_present()).collect()
}

/// Cases of a property test: one where Miri interprets it.
pub fn cases(count: u64) -> std::ops::Range<u64> {
    if cfg!(miri) { 0..1 } else { 0..count }
}

/// Memory that ends, or begins, at a page that nobody may touch.
pub struct Guarded {
    #[cfg(not(miri))]
    map: *mut std::ffi::c_void,
    #[cfg(not(miri))]
    map_len: usize,
    #[cfg(not(miri))]
    data: *mut f32,
    #[cfg(not(miri))]
    len: usize,
    #[cfg(miri)]
    data: Vec<f32>,
}

/// Which side of the memory stands against a guard.
#[derive(Debug, Clone, Copy)]
pub enum Against {
    Start,
    End,
}

// SAFETY: a mapping of one's own is as good on another thread.
unsafe impl Send for Guarded {}
// SAFETY: it changes only through a unique borrow.
unsafe impl Sync for Guarded {}

#[cfg(not(miri))]
impl Guarded {
    pub fn new(numbers: &[f32], against: Against) -> Self {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

        const PAGE: usize = 4096;
        let bytes = size_of_val(numbers);
        let room = bytes.next_multiple_of(PAGE).max(PAGE);
        let map_len = room + 2 * PAGE;
        // SAFETY: a new anonymous mapping overlaps nothing; its first and last page are then closed.
        unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            let map = mmap_anonymous(std::ptr::null_mut(), map_len, flags, MapFlags::PRIVATE).unwrap();
            mprotect(map, PAGE, MprotectFlags::empty()).unwrap();
            mprotect(map.byte_add(PAGE + room), PAGE, MprotectFlags::empty()).unwrap();
            let offset = match against {
                Against::Start => PAGE,
                Against::End => PAGE + room - bytes,
            };
            let data = map.byte_add(offset).cast::<f32>();
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), data, numbers.len());
            Guarded { map, map_len, data, len: numbers.len() }
        }
    }
}

#[cfg(not(miri))]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { rustix::mm::munmap(self.map, self.map_len).unwrap() };
    }
}

#[cfg(not(miri))]
impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` numbers lie between the guards.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

#[cfg(not(miri))]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// Miri sees every access itself.
#[cfg(miri)]
impl Guarded {
    pub fn new(numbers: &[f32], _against: Against) -> Self {
        Guarded { data: numbers.to_vec() }
    }
}

#[cfg(miri)]
impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data
    }
}

#[cfg(miri)]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

impl AsRef<[f32]> for Guarded {
    fn as_ref(&self) -> &[f32] {
        self
    }
}

/// A tensor between guards. Before it is written it holds no numbers.
pub struct GuardedTensor {
    pub data: Guarded,
    pub channels: Channels,
    pub extent: Extent,
}

impl GuardedTensor {
    pub fn unwritten(channels: &Channels, extent: Extent, against: Against) -> Self {
        let len = channels.blocks() * extent.iter().product::<usize>() * 16;
        let data = Guarded::new(&vec![f32::NAN; len], against);
        GuardedTensor { data, channels: channels.clone(), extent }
    }

    /// Places without a channel hold some number, as they may after another operator.
    pub fn new(plain: &[f32], channels: &Channels, extent: Extent, against: Against) -> Self {
        let mut tensor = GuardedTensor::unwritten(channels, extent, against);
        kernels::block(plain, channels, &mut tensor.view_mut()).unwrap();
        let pixels: usize = extent.iter().product();
        for (place, slot) in channels.slots().enumerate() {
            if slot.is_none() {
                for pixel in 0..pixels {
                    tensor.data[(place / 16 * pixels + pixel) * 16 + place % 16] = 1000.0;
                }
            }
        }
        tensor
    }

    pub fn view(&self) -> View<'_> {
        View::new(&self.data, self.channels.blocks(), self.extent).unwrap()
    }

    pub fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut::new(&mut self.data, self.channels.blocks(), self.extent).unwrap()
    }

    /// The numbers in the order `[channels, depth, height, width]`; places without a channel must hold numbers too.
    pub fn plain(&self) -> Vec<f32> {
        assert!(self.data.iter().all(|it| it.is_finite()), "every place is written");
        let mut plain = vec![0.0; self.channels.count() * self.extent.iter().product::<usize>()];
        kernels::unblock(&self.view(), &self.channels, &mut plain).unwrap();
        plain
    }
}

/// The largest size of a number, and at least 1.
pub fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(1.0, |largest, it| largest.max(it.abs()))
}

/// Fails unless every number is within `share` of `largest` from the one it should be.
#[track_caller]
pub fn assert_close(got: &[f32], wanted: &[f64], share: f64, largest: f64, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), wanted.len(), "{what:?}");
    for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let error = (f64::from(*got) - wanted).abs();
        assert!(
            error <= share * largest,
            "number {index} is {got} instead of {wanted} (largest {largest}): {what:?}"
        );
    }
}

/// A map of channels with gaps and out of order, as concatenations and shuffles leave it.
pub fn untidy_channels(seeded: &mut Seeded, most: usize) -> Channels {
    let parts: Vec<Channels> =
        (0..seeded.between(1, 3)).map(|_| Channels::dense(seeded.between(1, most.max(1))).unwrap()).collect();
    let joined = Channels::concat(&parts.iter().collect::<Vec<_>>()).unwrap();
    if seeded.between(0, 2) > 0 {
        return joined;
    }
    let mut order: Vec<usize> = (0..joined.count()).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, seeded.between(0, last));
    }
    joined.permuted(&order).unwrap()
}
