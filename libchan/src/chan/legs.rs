//! `Legs`: what ties a channel to sessions. One leg is kept inline, because nearly every channel has no other.

use std::collections::VecDeque;
use std::mem;

use libchan_proto::Inbox;

use super::in_hand::InHand;
use super::sources::Sources;
use super::standing::Standing;
use crate::session::Leg;
use crate::spare;

/// The most messages that are taken before they are reported.
const MOST_OWED: u32 = u16::MAX as u32;

/// For how many messages in a receiver's hand an empty list keeps its place.
const MOST_KEPT: usize = 64;

/// What ties a channel to sessions.
#[derive(Default)]
pub(super) struct Legs {
    ends: Ends,
    /// Messages taken from the sole source and not yet delivered.
    pub(super) inbox: Option<Box<Inbox>>,
    pub(super) pumping: Pumping,
    pub(super) pump_again: bool,
    /// A remote receiver is served next, where a local one waits too.
    pub(super) remote_turn: bool,
    /// How the channel stands: here, because this is where a byte is free.
    pub(super) standing: Standing,
}

/// Whether somebody is moving messages to the sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pumping {
    #[default]
    No,
    Yes,
    /// And has one in its hand that is still to be counted here: neither the queue nor a session counts it.
    Carrying,
}

#[derive(Default)]
enum Ends {
    #[default]
    None,
    Source(Source),
    Sink(Sink),
    Several(Box<Several>),
}

#[derive(Default)]
struct Several {
    sources: Sources,
    sinks: Vec<Sink>,
}

/// A leg that messages come in by: where a sender went.
pub(super) struct Source {
    pub(super) leg: Leg,
    /// Taken from it and not yet reported, while it is the only one: messages, and their charge. So narrow that a source
    /// takes no more room than a sink, less the byte that tells them apart.
    owed: u16,
    owed_charge: u32,
    pub(super) on_demand: bool,
    /// It had nothing left to send with when its inbox was taken: report at the next take.
    pub(super) starved: bool,
}

/// A leg that messages go out by: where a receiver went.
pub(super) struct Sink {
    pub(super) leg: Leg,
    /// Messages it has not taken, oldest first; kept where `tracked`.
    #[expect(clippy::box_collection, reason = "nearly every sink is not tracked: a pointer less")]
    in_hand: Option<Box<VecDeque<InHand>>>,
    /// Messages that were taken before the pump had noted that it had sent them.
    pub(super) early: u32,
    /// The pump is sending to it and has not noted that yet.
    pub(super) sending: bool,
    /// The only receiver: it may hold as many messages as the channel's capacity.
    pub(super) sole: bool,
    /// The session says when a message was taken.
    pub(super) tracked: bool,
}

impl Legs {
    /// Neither sources nor sinks.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.ends, Ends::None)
    }

    /// One source and nothing else.
    pub(super) fn has_sole_source(&self) -> bool {
        matches!(self.ends, Ends::Source(_))
    }

    pub(super) fn sources(&self) -> &[Source] {
        match &self.ends {
            Ends::Source(source) => std::slice::from_ref(source),
            Ends::Several(several) => several.sources.as_slice(),
            Ends::None | Ends::Sink(_) => &[],
        }
    }

    /// The sources, where there are several legs.
    fn several_sources(&mut self) -> Option<&mut Sources> {
        match &mut self.ends {
            Ends::Several(several) => Some(&mut several.sources),
            _ => None,
        }
    }

    /// Whether all that has arrived was moved into the queue, but for what is still to be told of.
    pub(super) fn is_absorbed(&self) -> bool {
        matches!(&self.ends, Ends::Several(several) if several.sources.absorbed)
    }

    /// Notes it, or that there may be more.
    pub(super) fn set_absorbed(&mut self, absorbed: bool) {
        if let Some(sources) = self.several_sources() {
            sources.absorbed = absorbed;
        }
    }

    /// The first source: of an inbox it is the one that it came from.
    pub(super) fn source_mut(&mut self) -> Option<&mut Source> {
        match &mut self.ends {
            Ends::Source(source) => Some(source),
            Ends::Several(several) => several.sources.first_mut(),
            Ends::None | Ends::Sink(_) => None,
        }
    }

    pub(super) fn sinks(&self) -> &[Sink] {
        match &self.ends {
            Ends::Sink(sink) => std::slice::from_ref(sink),
            Ends::Several(several) => &several.sinks,
            Ends::None | Ends::Source(_) => &[],
        }
    }

    pub(super) fn sinks_mut(&mut self) -> &mut [Sink] {
        match &mut self.ends {
            Ends::Sink(sink) => std::slice::from_mut(sink),
            Ends::Several(several) => &mut several.sinks,
            Ends::None | Ends::Source(_) => &mut [],
        }
    }

    pub(super) fn add_source(&mut self, source: Source) {
        match self.ends {
            Ends::None => self.ends = Ends::Source(source),
            _ => self.add_another(Some(source), None),
        }
    }

    pub(super) fn add_sink(&mut self, sink: Sink) {
        match self.ends {
            Ends::None => self.ends = Ends::Sink(sink),
            _ => self.add_another(None, Some(sink)),
        }
    }

    fn add_another(&mut self, source: Option<Source>, sink: Option<Sink>) {
        let mut several = match mem::take(&mut self.ends) {
            Ends::Several(several) => several,
            Ends::None => Box::default(),
            Ends::Source(source) => {
                let mut several = Box::<Several>::default();
                several.sources.push(source);
                several
            }
            Ends::Sink(sink) => Box::new(Several { sources: Sources::default(), sinks: vec![sink] }),
        };
        if let Some(source) = source {
            several.sources.push(source);
        }
        several.sinks.extend(sink);
        self.ends = Ends::Several(several);
    }

    pub(super) fn remove_source(&mut self, leg: &Leg) -> Option<Source> {
        if let Some(sources) = self.several_sources() {
            return sources.remove(leg);
        }
        self.source_at(leg)?;
        self.take_sources().next()
    }

    pub(super) fn remove_sink(&mut self, leg: &Leg) -> Option<Sink> {
        let at = self.sinks().iter().position(|sink| sink.leg.is(leg))?;
        match &mut self.ends {
            Ends::Several(several) => Some(several.sinks.remove(at)),
            _ => self.take_sinks().next(),
        }
    }

    /// The source, if there is nothing else.
    pub(super) fn take_sole_source(&mut self) -> Option<Source> {
        match mem::take(&mut self.ends) {
            Ends::Source(source) => Some(source),
            other => {
                self.ends = other;
                None
            }
        }
    }

    /// The sink, if there is nothing else and nobody has to be told what it takes.
    pub(super) fn take_plain_sink(&mut self) -> Option<Sink> {
        match mem::take(&mut self.ends) {
            Ends::Sink(sink) if !sink.tracked => Some(sink),
            other => {
                self.ends = other;
                None
            }
        }
    }

    pub(super) fn take_sources(&mut self) -> impl Iterator<Item = Source> + use<> {
        let (one, more) = match &mut self.ends {
            Ends::Several(several) => (None, several.sources.take()),
            Ends::Source(_) => match mem::take(&mut self.ends) {
                Ends::Source(source) => (Some(source), Vec::new()),
                _ => (None, Vec::new()),
            },
            Ends::None | Ends::Sink(_) => (None, Vec::new()),
        };
        one.into_iter().chain(more)
    }

    pub(super) fn take_sinks(&mut self) -> impl Iterator<Item = Sink> + use<> {
        let (one, more) = match &mut self.ends {
            Ends::Several(several) => (None, mem::take(&mut several.sinks)),
            Ends::Sink(_) => match mem::take(&mut self.ends) {
                Ends::Sink(sink) => (Some(sink), Vec::new()),
                _ => (None, Vec::new()),
            },
            Ends::None | Ends::Source(_) => (None, Vec::new()),
        };
        one.into_iter().chain(more)
    }

    /// Makes the sink at `at` the last to be asked the next time.
    pub(super) fn rotate_sinks(&mut self, at: usize) -> &mut Sink {
        let sinks = self.sinks_mut();
        sinks[at..].rotate_left(1);
        let last = sinks.len() - 1;
        &mut sinks[last]
    }

    /// How many messages have arrived that were not moved into the queue.
    pub(super) fn waiting(&self) -> usize {
        let taken = self.inbox.as_ref().map_or(0, |inbox| inbox.len());
        taken + self.sources().iter().map(|source| source.leg.waiting()).sum::<usize>()
    }

    pub(super) fn source_at(&self, leg: &Leg) -> Option<usize> {
        match &self.ends {
            Ends::Several(several) => several.sources.at(leg),
            _ => self.sources().iter().position(|source| source.leg.is(leg)),
        }
    }

    pub(super) fn sink_mut(&mut self, leg: &Leg) -> Option<&mut Sink> {
        self.sinks_mut().iter_mut().find(|sink| sink.leg.is(leg))
    }

    /// Whether the next message from afar is waited for: a large one then goes before those that nobody reads.
    pub(super) fn await_sources(&mut self, on: bool) {
        if let Some(sources) = self.several_sources()
            && mem::replace(&mut sources.awaited, on) == on
        {
            // Known to all; a source whose message has arrived is told anew with that.
            return;
        }
        for source in self.sources() {
            source.leg.set_awaited(on);
        }
    }

    /// The message that was waited for has come from `leg`: so is the next one, if all were told.
    pub(super) fn await_next(&self, leg: &Leg) {
        if let Ends::Several(several) = &self.ends
            && several.sources.awaited
        {
            leg.set_awaited(true);
        }
    }

    /// Keeps the inbox for another channel if it was emptied.
    #[inline]
    pub(super) fn put_inbox_aside(&mut self) {
        if let Some(inbox) = self.inbox.take_if(|inbox| inbox.is_empty()) {
            spare::put(inbox);
        }
    }

    /// A message with this charge was taken from the sole source of a channel of this capacity; `others` receivers wait
    /// besides the one that took it. Reports what is due: half of the messages or `half_window` bytes.
    #[inline]
    pub(super) fn account(&mut self, charge: u32, half_window: u32, capacity: u32, others: u32) {
        let Some(source) = self.source_mut() else { return };
        source.owed += 1;
        source.owed_charge += charge;
        if source.on_demand {
            // Said before what was taken, or the place of this receiver would be asked for again.
            source.leg.want(others);
        } else if !source.starved
            && u32::from(source.owed) < capacity.div_ceil(2).clamp(1, MOST_OWED)
            && source.owed_charge < half_window
        {
            return;
        }
        source.report_owed();
        source.starved = false;
    }

    /// What was taken is reported to the source it came from.
    pub(super) fn report_owed(&mut self) {
        if let Some(source) = self.source_mut() {
            source.report_owed();
        }
    }

    /// What the sole source has left to send with, as of the inbox that was taken from it.
    pub(super) fn set_starved(&mut self, starved: bool) {
        if let Some(source) = self.source_mut() {
            source.starved = starved;
        }
    }
}

impl Source {
    pub(super) fn new(leg: Leg, on_demand: bool) -> Self {
        Self { leg, owed: 0, owed_charge: 0, on_demand, starved: false }
    }

    pub(super) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// What is not yet reported, for the caller to report: messages, and their charge.
    pub(super) fn take_owed(&mut self) -> (u32, u32) {
        (u32::from(mem::take(&mut self.owed)), mem::take(&mut self.owed_charge))
    }

    fn report_owed(&mut self) {
        let owed = self.take_owed();
        if owed != (0, 0) {
            self.leg.taken(owed.0, owed.1);
        }
    }
}

impl Sink {
    pub(super) fn new(leg: Leg, sole: bool, tracked: bool) -> Self {
        Self { leg, in_hand: None, early: 0, sending: false, sole, tracked }
    }

    pub(super) fn in_hand(&self) -> impl Iterator<Item = &InHand> {
        self.in_hand.iter().flat_map(|hands| hands.iter())
    }

    pub(super) fn has_in_hand(&self) -> bool {
        self.in_hand.as_ref().is_some_and(|hands| !hands.is_empty())
    }

    pub(super) fn hand(&mut self, hand: InHand) {
        self.in_hand.get_or_insert_default().push_back(hand);
    }

    /// The oldest message was taken.
    pub(super) fn taken(&mut self) -> Option<InHand> {
        let hands = self.in_hand.as_mut()?;
        let taken = hands.pop_front();
        if hands.is_empty() && hands.capacity() > MOST_KEPT {
            self.in_hand = None;
        }
        taken
    }

    pub(super) fn into_in_hand(self) -> VecDeque<InHand> {
        self.in_hand.map(|hands| *hands).unwrap_or_default()
    }
}
