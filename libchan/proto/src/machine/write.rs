//! What leaves: credit that is due, fragments in turn, then the output is handed over.

use super::{Event, Machine};
use crate::Key;
use crate::entry::Entry;
use crate::error::Misbehaviour;
use crate::frame;
use crate::output::Output;

impl Machine {
    /// Whether there is something to write.
    pub fn has_output(&self) -> bool {
        !self.due.is_empty() || self.is_urgent()
    }

    /// Whether something is to be written now. Credit for a sender that has a quarter left is not: it goes with the next
    /// write, or becomes urgent when more has arrived.
    pub fn is_urgent(&self) -> bool {
        !self.out.is_empty()
            || self.urgent
            || !self.line.is_empty()
            || self.descriptors_owed > 0
            || self.may_say_goodbye()
    }

    /// What waits to be written, in bytes, credit and fragments to come not counted.
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Whether what is sent next needs an allocation: after [`take_output`](Self::take_output) with an output that had no
    /// buffers.
    #[inline]
    pub fn lacks_buffer(&self) -> bool {
        self.out.bytes.capacity() == 0 && self.out.is_empty()
    }

    /// Writes into the buffers of `out`, which must be empty, from here on; does nothing while something waits.
    pub fn use_buffer(&mut self, out: Output) {
        if self.out.is_empty() && out.is_empty() {
            self.out = out;
        }
    }

    /// Moves what is to be written into `out`, whose buffers are taken in exchange. `out` must be empty.
    pub fn take_output(&mut self, out: &mut Output) {
        self.flush_credit();
        self.fill();
        self.flush_goodbye();
        std::mem::swap(&mut self.out, out);
        self.out.clear();
        self.clock.said |= !out.is_empty();
        self.unsent_control = 0;
        self.answers = 0;
        self.stuck = false;
    }

    /// One credit frame for each entry that owes.
    pub(super) fn flush_credit(&mut self) {
        let owed = std::mem::take(&mut self.descriptors_owed);
        if owed > 0 {
            self.descriptors_returned = self.descriptors_returned.wrapping_add(owed);
            self.control_frame(|out| frame::credit(out, 0, owed, 0, 0));
        }
        let mut due = std::mem::take(&mut self.due);
        for key in due.drain(..) {
            self.write_credit(key);
        }
        self.due = due;
        self.urgent = false;
    }

    fn write_credit(&mut self, key: Key) {
        match self.entries.get_mut(key) {
            Some(Entry::Recv(half)) => {
                half.due = false;
                if half.closed || half.cancelled || !half.announced {
                    return;
                }
                let wanted = if half.serves_demand() { half.want_increment() } else { 0 };
                half.ask(wanted);
                let taken = std::mem::take(&mut half.owed);
                half.untold = half.untold.wrapping_sub(taken);
                let bytes = half.window.grant();
                let id = half.id;
                half.starving = false;
                if taken | wanted | bytes != 0 {
                    self.control_frame(|out| frame::credit(out, id, taken, wanted, bytes));
                }
            }
            Some(Entry::Stream(stream)) => {
                stream.due = false;
                if stream.ended.is_some() || stream.stop_sent {
                    return;
                }
                let (id, bytes) = (stream.id, stream.window.grant());
                if bytes != 0 {
                    self.control_frame(|out| frame::credit(out, id, 0, 0, bytes));
                }
            }
            _ => {}
        }
    }

    // ---- descriptors

    /// Those that may be sent, that are out, that arrived and were not given back, and that are to be given back.
    pub(crate) fn descriptor_numbers(&self) -> [u32; 4] {
        let held = self.descriptors_arrived.wrapping_sub(self.descriptors_returned);
        [self.descriptor_credit, self.descriptors_out, held, self.descriptors_owed]
    }

    /// Descriptors that the peer may still send.
    fn descriptors_left(&self) -> u32 {
        let out = self.descriptors_arrived.wrapping_sub(self.descriptors_returned);
        self.limits.max_descriptors.saturating_sub(out)
    }

    /// The application has taken or dropped `n` descriptors. True: credit is due. They are not gathered: one message
    /// may need all of them, so the sender may stand still with some left.
    pub fn descriptors_released(&mut self, n: u32) -> bool {
        self.descriptors_owed += n;
        self.descriptors_owed > 0
    }

    /// How many descriptors the messages that have arrived announced.
    pub fn descriptors_announced(&self) -> u32 {
        self.descriptors_arrived
    }

    /// The number of the next descriptor that arrives.
    pub(super) fn take_descriptor(&mut self) -> Result<Key, Misbehaviour> {
        if self.descriptors_left() == 0 {
            return Err(Misbehaviour::DescriptorBudget);
        }
        let number = self.descriptors_arrived;
        self.descriptors_arrived = number.wrapping_add(1);
        Ok(Key { slot: number, serial: 0 })
    }

    pub(super) fn on_descriptor_credit(
        &mut self,
        back: u32,
        wanted: u32,
        bytes: u32,
    ) -> Result<(), Misbehaviour> {
        if wanted != 0 || bytes != 0 {
            return Err(Misbehaviour::Field);
        }
        if back > self.descriptors_out {
            return Err(Misbehaviour::CreditOverflow);
        }
        self.descriptors_out -= back;
        self.descriptor_credit += back;
        for key in std::mem::take(&mut self.descriptor_waiters) {
            if let Some(half) = self.entries.send(key)
                && !half.closed
            {
                half.watched = false;
                self.events.push_back(Event::Writable(key));
            }
        }
        Ok(())
    }
}
