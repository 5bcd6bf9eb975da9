//! How a channel stands, in one byte: every channel has it, and a word more would be eight bytes.

/// How the sending side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// A claimed end whose message has not wholly decoded: its leg is still to come.
    Tentative,
    Clean,
    /// `State::error` has it.
    Error,
}

/// Why nothing more is taken. What was said with it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Dropped,
    BySender,
    /// A session under it was lost or closed.
    Lost,
    Because,
}

/// The end in the lowest three bits, the refusal in the next three, two marks above.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing(u8);

impl Standing {
    /// A sender did not end cleanly.
    pub(super) const FAULT: u8 = 1 << 6;
    /// The channel as a whole was closed.
    pub(super) const WHOLE: u8 = 1 << 7;
    const END: u8 = 0b111;
    const REFUSED: u8 = 0b111 << 3;
    /// In the place of a refusal: a receiver was lost with its link, and there are others.
    const RECEIVER_LOST: u8 = 0b111 << 3;

    /// Open on both sides, and nothing was lost.
    #[inline]
    pub(super) fn is_sound(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn end(self) -> End {
        match self.0 & Self::END {
            0 => End::Open,
            1 => End::Tentative,
            2 => End::Clean,
            _ => End::Error,
        }
    }

    pub(super) fn set_end(&mut self, end: End) {
        self.0 = (self.0 & !Self::END) | end as u8;
    }

    #[inline]
    pub(super) fn refused(self) -> Option<Refused> {
        match (self.0 & Self::REFUSED) >> 3 {
            0 => None,
            1 => Some(Refused::Dropped),
            2 => Some(Refused::BySender),
            3 => Some(Refused::Lost),
            4 => Some(Refused::Because),
            _ => None,
        }
    }

    pub(super) fn refuse(&mut self, why: Refused) {
        self.0 = (self.0 & !Self::REFUSED) | ((why as u8 + 1) << 3);
    }

    /// A receiver was lost with its link. No matter once nothing more is taken.
    pub(super) fn lose_receiver(&mut self) {
        if self.refused().is_none() {
            self.0 |= Self::RECEIVER_LOST;
        }
    }

    pub(super) fn has_lost_receiver(self) -> bool {
        self.0 & Self::REFUSED == Self::RECEIVER_LOST
    }

    pub(super) fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    pub(super) fn set(&mut self, mark: u8) {
        self.0 |= mark;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_and_the_rest_stays() {
        let ends = [End::Open, End::Tentative, End::Clean, End::Error];
        let reasons = [Refused::Dropped, Refused::BySender, Refused::Lost, Refused::Because];
        for (end, why) in ends.into_iter().flat_map(|end| reasons.map(|why| (end, why))) {
            let mut standing = Standing::default();
            assert_eq!((standing.end(), standing.refused()), (End::Open, None));
            standing.set_end(end);
            assert_eq!((standing.end(), standing.refused()), (end, None));
            standing.lose_receiver();
            assert!(standing.has_lost_receiver() && !standing.has(Standing::FAULT));
            assert_eq!((standing.end(), standing.refused()), (end, None));
            standing.refuse(why);
            standing.lose_receiver();
            assert!(!standing.has_lost_receiver());
            standing.set(Standing::WHOLE);
            assert!(standing.has(Standing::WHOLE) && !standing.has(Standing::FAULT));
            standing.set(Standing::FAULT);
            standing.set_end(end);
            assert_eq!((standing.end(), standing.refused()), (end, Some(why)));
            assert!(standing.has(Standing::FAULT) && standing.has(Standing::WHOLE));
        }
    }
}
