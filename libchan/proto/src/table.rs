//! A table that grows by chunks: what is in it never moves, and no doubling leaves half of it empty. With ten thousand
//! idle channels a `Vec` wastes as much as it holds, and copies all of it when it grows.

/// How many values a chunk has.
const CHUNK: usize = 64;

/// Values by dense numbers from 0, for the entries of a machine and what its driver keeps beside each of them.
#[derive(Debug)]
pub struct Table<T> {
    /// The first chunk, which is found in one step and grows as a `Vec` does: most sessions have few channels.
    first: Vec<T>,
    /// The others. All but the last are full.
    more: Vec<Vec<T>>,
}

impl<T> Table<T> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.more.last().map_or(self.first.len(), |last| self.more.len() * CHUNK + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The value at `at`.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        if at < CHUNK { self.first.get(at) } else { self.more.get(at / CHUNK - 1)?.get(at % CHUNK) }
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < CHUNK {
            self.first.get_mut(at)
        } else {
            self.more.get_mut(at / CHUNK - 1)?.get_mut(at % CHUNK)
        }
    }

    /// All values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.more.iter().flatten())
    }

    /// Adds a value behind the last.
    pub fn push(&mut self, value: T) {
        if self.first.len() < CHUNK {
            return self.first.push(value);
        }
        match self.more.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.more.push(chunk);
            }
        }
    }

    /// Makes it at least `len` long.
    pub fn grow(&mut self, len: usize, mut make: impl FnMut() -> T) {
        for _ in self.len()..len {
            self.push(make());
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { first: Vec::new(), more: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_and_little_is_left_empty() {
        let mut table = Table::default();
        assert!(table.is_empty());
        for n in 0..1000 {
            assert_eq!((table.len(), table.get(n)), (n, None));
            table.push(n);
            assert_eq!(table.get(n), Some(&n));
        }
        table.grow(1010, || 7);
        table.grow(3, || 8);
        assert_eq!(table.len(), 1010);
        *table.get_mut(5).expect("it is there") = 50;
        assert_eq!((table.get(5), table.get(1009), table.get(1010)), (Some(&50), Some(&7), None));
        assert!(table.iter().copied().eq((0..1010).map(|n| match n {
            5 => 50,
            0..1000 => n,
            _ => 7,
        })));
        let room = table.first.capacity() + table.more.iter().map(Vec::capacity).sum::<usize>();
        assert!(room < 1010 + CHUNK);
    }
}
