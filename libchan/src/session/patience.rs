//! Whether what is to be written waits for more to go with it: a write costs as much as the messages of a whole batch, and a
//! batch that was split once stays so, because each part comes back by itself.

use super::again::Again;
use super::shared::State;

/// Turns that the driver gives way to the tasks it has woken, before it writes itself (rule 3).
const YIELDS: u32 = 2;
/// Output from which on it does not give way, in bytes.
const YIELD_BELOW: usize = 32 * 1024;
/// Sends in one output from which on others are expected to follow.
const CROWD: u32 = 16;

/// How many sends went by lately.
#[derive(Default)]
pub(super) struct Patience {
    /// Since the last output was taken.
    sends: u32,
    /// In the outputs before, at the most; forgotten by and by.
    crowd: u32,
}

impl Patience {
    #[inline]
    pub(super) fn sent(&mut self) {
        self.sends = self.sends.saturating_add(1);
    }

    /// An output is taken.
    pub(super) fn begin_output(&mut self) {
        self.crowd = self.sends.max(self.crowd - self.crowd.div_ceil(8));
        self.sends = 0;
    }

    /// Far fewer have sent than usual: the others are likely to be on their way.
    pub(super) fn straggles(&self) -> bool {
        self.crowd >= CROWD && self.sends < self.crowd / 4
    }
}

impl State {
    /// Whether the driver, which has given way `yields` times, lets others add to the output first, and how it comes back.
    pub(super) fn gives_way(&mut self, yields: u32) -> Option<Again> {
        let refilling = std::mem::take(&mut self.refilling);
        // They leave it to us, who come back.
        self.burst |= refilling;
        if self.unsent.is_some() || self.machine.output_len() >= YIELD_BELOW {
            None
        } else if (self.active > 0 || refilling) && yields < YIELDS {
            Some(Again::Soon)
        } else if yields == 0 && self.patience.straggles() {
            // Behind what the sockets have to say.
            Some(Again::Later)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these sends in an output would find that they straggle.
    fn output(patience: &mut Patience, sends: u32) -> u32 {
        let straggling = (0..sends).filter(|_| {
            patience.sent();
            patience.straggles()
        });
        let straggling = straggling.count() as u32;
        patience.begin_output();
        straggling
    }

    #[test]
    fn few_sends_straggle_for_a_while_after_many_and_never_where_there_are_few() {
        let mut patience = Patience::default();
        assert_eq!((0..100).map(|_| output(&mut patience, 1)).sum::<u32>(), 0);
        assert_eq!(output(&mut patience, 64), 0);
        assert_eq!(output(&mut patience, 64), 15, "the first quarter");
        let alone: Vec<u32> = (0..100).map(|_| output(&mut patience, 1)).collect();
        let straggling = alone.iter().take_while(|straggles| **straggles == 1).count();
        assert!((4..20).contains(&straggling), "{straggling}");
        assert_eq!(alone[straggling..].iter().sum::<u32>(), 0, "forgotten");
        // Two parts of one batch.
        output(&mut patience, 63);
        assert_eq!([output(&mut patience, 1), output(&mut patience, 63)], [1, 12]);
    }
}
