//! Whether the driver comes back although nothing wakes it.

use std::task::Context;

use crate::give_way;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Again {
    No,
    /// There is more than fits a turn: once all others had theirs.
    Later,
    /// Behind the tasks that it has woken.
    Soon,
}

impl Again {
    pub(super) fn wake(self, cx: &mut Context<'_>) {
        match self {
            Self::No => {}
            Self::Later => give_way::last(cx),
            Self::Soon => cx.waker().wake_by_ref(),
        }
    }
}
