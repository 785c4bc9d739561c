//! A listing as plain numbers and flags, the channel as it truly is, and the workers between them: who may work is what
//! the dispatcher's leases say, what a call does is chance.

use domain::outcome::OutcomeClass;

use crate::listing_channel::{Channel, Content, NONE};
use crate::listing_worker::{Fate, Part, Worker, written};

/// A creation of which nobody told keeps others away for so many seconds.
const GRACE_S: i64 = 35;
/// As much as two clocks may differ.
const CLOCKS_S: i64 = 5;
const MOST_ATTEMPTS: u32 = 5;
/// The listing at the channel that somebody links to.
pub const KNOWN: u32 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Changed,
    Linked,
    Manual,
    Replayed,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Ask {
    Link {
        known: bool,
        afresh: bool,
    },
    Sync {
        why: Why,
        revision: u64,
        content: Content,
        foreign: bool,
    },
    Pause,
    Resume,
    Unlink,
    /// A worker takes the listing on. One that still had it is cut off: its lease ran out.
    Begin,
    /// The next call of the worker at this place.
    Call(usize, Fate),
    /// A worker's outcome is written down.
    Tell(usize),
    /// A worker dies, and what it did is told by nobody.
    Vanish(usize),
    /// A creation that was on its way arrives.
    Arrive,
    Wait(i64),
}

/// The events' names, or the refusal's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Events(Vec<&'static str>),
    Refused(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Active,
    Paused,
    Unlinked,
}

#[derive(Debug, Clone)]
pub struct Linked {
    pub generation: u32,
    pub place: Place,
    pub id: Option<u32>,
}

/// The job that waits.
#[derive(Debug, Clone)]
pub struct Job {
    pub ordinal: u64,
    pub content: Content,
    pub forced: bool,
    pub burned: u32,
}

/// What an attempt may have written that was told.
#[derive(Debug, Clone)]
struct Wrote {
    ordinal: u64,
    /// The newest job when it was told.
    newest: u64,
    /// How many seconds after its end others may count as begun before that, where it is known that it had lost its turn.
    late_by: Option<i64>,
    until: i64,
    sections: [bool; 4],
}

/// Everything there is.
#[derive(Debug, Clone)]
pub struct Model {
    /// Few calls come through, and the unit changes rarely.
    pub bad_day: bool,
    pub now: i64,
    pub link: Option<Linked>,
    pub newest: u64,
    pub jobs: u64,
    pub over: u64,
    pub waiting: Option<Job>,
    /// What the channel is believed to have.
    pub belief: Content,
    /// When the creation began whose end is not known.
    pub intent: Option<i64>,
    pub unsure: bool,
    pub channel: Channel,
    pub workers: Vec<Worker>,
    begun: u32,
    /// The youngest worker that was told of.
    youngest_told: u32,
    wrote: Vec<Wrote>,
    /// Of each section of which nobody knows whose call came last the newest job when that came up.
    contested: [Option<u64>; 4],
    last_failed: bool,
    holder: Option<u32>,
    left: bool,
    pub answer: Option<Answer>,
    /// The worker whose outcome was just written down, or that just asked to create.
    pub acted: Option<Worker>,
    /// What was just said to be at the channel.
    pub claim: Option<(u32, Content)>,
}

fn events(names: &[&'static str]) -> Answer {
    Answer::Events(names.to_vec())
}

impl Model {
    pub fn new(bad_day: bool) -> Self {
        Self {
            bad_day,
            now: 0,
            link: None,
            newest: 0,
            jobs: 0,
            over: 0,
            waiting: None,
            belief: [NONE; 4],
            intent: None,
            unsure: false,
            channel: Channel::default(),
            workers: Vec::new(),
            begun: 0,
            youngest_told: 0,
            wrote: Vec::new(),
            contested: [None; 4],
            last_failed: false,
            holder: None,
            left: false,
            answer: None,
            acted: None,
            claim: None,
        }
    }

    pub fn id(&self) -> Option<u32> {
        self.link.as_ref().and_then(|link| link.id)
    }

    pub fn place(&self) -> Option<Place> {
        self.link.as_ref().map(|link| link.place)
    }

    pub fn holds(&self, worker: &Worker) -> bool {
        self.holder == Some(worker.number)
    }

    /// Whether this can happen now.
    pub fn can(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Begin => self.place() == Some(Place::Active) && self.waiting.is_some() && self.workers.len() < 3,
            Ask::Call(at, _) => self.workers.get(*at).is_some_and(|worker| {
                // Who was cut off gets no slot; one call may have been under way with one. A creation writes its intent down before.
                let of_link = self.link.as_ref().is_some_and(|link| link.generation == worker.generation);
                let under_way = !worker.strayed && (worker.next() != Some(Part::Create) || of_link);
                worker.next().is_some() && (self.holds(worker) || under_way)
            }),
            Ask::Tell(at) => self
                .workers
                .get(*at)
                .is_some_and(|worker| worker.ended || !self.holds(worker) && !worker.calls.is_empty()),
            Ask::Vanish(at) => self.workers.get(*at).is_some_and(|worker| !worker.wrote_astray()),
            Ask::Arrive => !self.channel.on_the_way.is_empty(),
            _ => true,
        }
    }

    pub fn happen(&mut self, ask: &Ask) {
        (self.answer, self.acted, self.claim) = (None, None, None);
        match ask {
            Ask::Link { known, afresh } => self.answer = Some(self.relink(*known, *afresh)),
            Ask::Sync { why, revision, content, foreign } => {
                self.answer = Some(self.ask_for(*why, *revision, *content, *foreign));
            }
            Ask::Pause => self.answer = Some(self.go(Place::Active, Place::Paused, "ListingPaused", "AlreadyPaused")),
            Ask::Resume => self.answer = Some(self.go(Place::Paused, Place::Active, "ListingResumed", "NotPaused")),
            Ask::Unlink => self.answer = Some(self.unlink()),
            Ask::Begin => self.begin(),
            Ask::Call(at, fate) => self.call(*at, *fate),
            Ask::Tell(at) => self.tell(*at),
            Ask::Vanish(at) => {
                let worker = self.workers.remove(*at);
                if self.holds(&worker) {
                    (self.holder, self.left) = (None, true);
                }
            }
            Ask::Arrive => self.channel.arrive(),
            Ask::Wait(seconds) => {
                self.now += seconds;
                self.channel.forget_what_cannot_arrive(self.now);
            }
        }
    }

    fn refusal(&self) -> Option<Answer> {
        match self.place() {
            None => Some(Answer::Refused("NotFound")),
            Some(Place::Unlinked) => Some(Answer::Refused("Unlinked")),
            Some(_) => None,
        }
    }

    fn relink(&mut self, known: bool, afresh: bool) -> Answer {
        let (generation, before) = match &self.link {
            None => (1, None),
            Some(link) if link.place == Place::Unlinked => (link.generation + 1, link.id.filter(|_| !afresh)),
            Some(_) => return Answer::Refused("AlreadyLinked"),
        };
        let id = if known { Some(KNOWN) } else { before };
        self.link = Some(Linked { generation, place: Place::Active, id });
        (self.belief, self.contested, self.newest) = ([NONE; 4], [None; 4], 0);
        events(&["ListingLinked"])
    }

    fn go(&mut self, from: Place, to: Place, event: &'static str, refusal: &'static str) -> Answer {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        match &mut self.link {
            Some(link) if link.place == from => {
                link.place = to;
                events(&[event])
            }
            _ => Answer::Refused(refusal),
        }
    }

    fn unlink(&mut self) -> Answer {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        if let Some(link) = &mut self.link {
            link.place = Place::Unlinked;
        }
        (self.waiting, self.over) = (None, self.jobs);
        events(&["ListingUnlinked"])
    }

    fn ask_for(&mut self, why: Why, revision: u64, content: Content, foreign: bool) -> Answer {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        let forces = matches!(why, Why::Manual | Why::Replayed);
        if foreign {
            return Answer::Refused("ForeignSnapshot");
        }
        if why != Why::Replayed && revision < self.newest {
            return Answer::Refused("StaleRevision");
        }
        if !forces && revision == self.newest {
            return Answer::Refused("DuplicateRevision");
        }
        self.newest = self.newest.max(revision);
        self.jobs += 1;
        if self.waiting.is_none() && !forces && self.differing(content) == [false; 4] {
            (self.over, self.last_failed) = (self.jobs, false);
            self.claim(content, &[false; 4]);
            return events(&["SyncSkipped"]);
        }
        let forced = forces || self.waiting.as_ref().is_some_and(|job| job.forced);
        self.waiting = Some(Job { ordinal: self.jobs, content, forced, burned: 0 });
        events(&["SyncRequested"])
    }

    fn differing(&self, content: Content) -> [bool; 4] {
        std::array::from_fn(|section| content[section] != NONE && content[section] != self.belief[section])
    }

    /// The newest job ended well: unless somebody else's calls are still untold, the channel has its content.
    fn claim(&mut self, content: Content, refused: &[bool; 4]) {
        if self.workers.is_empty()
            && let Some(id) = self.id()
        {
            let unsaid = |section: usize| refused[section] || self.contested[section].is_some();
            let wanted = std::array::from_fn(|section| if unsaid(section) { NONE } else { content[section] });
            self.claim = Some((id, wanted));
        }
    }

    fn begin(&mut self) {
        let (Some(link), Some(job)) = (&self.link, &self.waiting) else { return };
        let takes_over = self.holder.is_some() || self.left;
        let too_early = link.id.is_none() && self.intent.is_some_and(|at| self.now < at + GRACE_S);
        let all = job.content.map(|section| section != NONE);
        let found = self.channel.ours.first().copied().filter(|_| link.id.is_none() && !too_early);
        let needs = if takes_over || job.forced || link.id.is_none() { all } else { self.differing(job.content) };
        self.begun += 1;
        let mut worker = Worker {
            number: self.begun,
            ordinal: job.ordinal,
            generation: link.generation,
            content: job.content,
            takes_over,
            needs,
            id: link.id.or(found),
            learned: found,
            began: self.now,
            intended: None,
            calls: Vec::new(),
            got: [false; 4],
            refused: [false; 4],
            ended: false,
            strayed: false,
            class: None,
        };
        if too_early {
            worker.end(Some(OutcomeClass::Throttled));
        } else if needs == [false; 4] {
            worker.end(None);
        }
        (self.holder, self.left) = (Some(self.begun), false);
        self.acted = Some(worker.clone());
        self.workers.push(worker);
    }

    fn call(&mut self, at: usize, fate: Fate) {
        let mut worker = self.workers[at].clone();
        worker.strayed |= !self.holds(&worker);
        if worker.next() == Some(Part::Create) {
            let answer = self.start_creation(&worker);
            let refused = matches!(answer, Answer::Refused(_));
            (self.answer, self.acted) = (Some(answer), Some(worker.clone()));
            if refused {
                worker.end(Some(OutcomeClass::Throttled));
                self.workers[at] = worker;
                return;
            }
            worker.intended = self.intent;
        }
        worker.call(&mut self.channel, self.now, fate);
        self.workers[at] = worker;
    }

    fn start_creation(&mut self, worker: &Worker) -> Answer {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        if self.id().is_some() {
            return Answer::Refused("AlreadyCreated");
        }
        if self.waiting.is_none() || worker.ordinal <= self.over {
            return Answer::Refused("NotPending");
        }
        if self.intent.is_some_and(|at| worker.began < at + GRACE_S) {
            return Answer::Refused("CreationUnderWay");
        }
        self.intent = Some(self.now);
        events(&["CreationStarted"])
    }

    fn tell(&mut self, at: usize) {
        let mut worker = self.workers.remove(at);
        if !worker.ended {
            // It was refused its next slot.
            worker.end(Some(OutcomeClass::Throttled));
        }
        if self.holds(&worker) {
            (self.holder, self.left) = (None, false);
        }
        self.answer = Some(self.record(&worker));
        self.acted = Some(worker);
    }

    fn record(&mut self, worker: &Worker) -> Answer {
        if worker.ordinal <= self.over {
            if worker.calls.is_empty() && worker.learned.is_none() {
                return events(&[]);
            }
            let contested = self.crossing(worker, true);
            self.youngest_told = self.youngest_told.max(worker.number);
            self.doubt(worker, false);
            self.contest(contested);
            if let Some(link) = self.link.as_mut().filter(|link| link.id.is_none()) {
                link.id = worker.learned;
            }
            return events(&["LateAttemptRecorded"]);
        }
        let mine = self.waiting.as_ref().is_some_and(|job| job.ordinal == worker.ordinal);
        let burns = matches!(worker.class, Some(OutcomeClass::Transient | OutcomeClass::Unknown));
        let burned = self.waiting.as_ref().filter(|_| mine).map_or(0, |job| job.burned) + u32::from(burns);
        let heals = burns || matches!(worker.class, Some(OutcomeClass::Throttled | OutcomeClass::Unauthorised));
        let well = worker
            .class
            .is_none_or(|class| matches!(class, OutcomeClass::Accepted | OutcomeClass::AcceptedWithRejections));
        self.progress(worker, well);
        if !well && heals && mine && burned < MOST_ATTEMPTS {
            if let Some(job) = &mut self.waiting {
                job.burned = burned;
            }
            return events(&["SyncDeferred"]);
        }
        (self.over, self.last_failed) = (worker.ordinal, !well);
        for contested in &mut self.contested {
            *contested = contested.filter(|newest| worker.ordinal <= *newest);
        }
        if mine {
            self.waiting = None;
        }
        if well && worker.ordinal == self.jobs {
            self.claim(worker.content, &worker.refused);
        }
        events(match (worker.class, well, mine) {
            (None, ..) => &["SyncFoundUnchanged"],
            (_, true, _) => &["SyncAccepted"],
            (_, false, true) => &["SyncFailed"],
            (_, false, false) => &["SupersededSyncFailed"],
        })
    }

    fn progress(&mut self, worker: &Worker, well: bool) {
        let overtaken = worker.number < self.youngest_told;
        let contested = self.crossing(worker, false);
        self.youngest_told = self.youngest_told.max(worker.number);
        if let (Some(id), Some(link)) = (worker.learned, &mut self.link) {
            link.id = Some(id);
        }
        let unknown = worker.class == Some(OutcomeClass::Unknown);
        let create_answered = !unknown && worker.intended.is_some() && worker.intended == self.intent;
        let over = self.id().is_some() && self.intent.is_some_and(|at| worker.began >= at + GRACE_S);
        if create_answered || worker.learned.is_some() || over {
            self.intent = None;
        }
        if worker.takes_over {
            self.belief = [NONE; 4];
        }
        self.doubt(worker, well && !overtaken);
        for section in (0..4).filter(|section| worker.got[*section] && !overtaken) {
            self.belief[section] = worker.content[section];
            self.contested[section] = None;
        }
        self.contest(contested);
        self.unsure = unknown || self.unsure && (!well || overtaken);
    }

    /// The newest job is believed to be at the channel, and something older may be there.
    pub fn is_contested(&self) -> bool {
        self.waiting.is_none() && !self.last_failed && self.contested.iter().any(Option::is_some)
    }

    /// Keeps what a worker that is told wrote, and gives the sections of which nobody knows whether its call came last: those of
    /// others that were at work beside it, or its own where it had lost its turn.
    fn crossing(&mut self, worker: &Worker, over: bool) -> [bool; 4] {
        let (sections, until) = worker.wrote();
        let late_by = match (worker.number < self.youngest_told, over) {
            (true, _) => Some(CLOCKS_S),
            (false, true) => Some(0),
            (false, false) => None,
        };
        let mut contested = [false; 4];
        if late_by.is_none() {
            for other in &self.wrote {
                let apart = if worker.takes_over { Some(CLOCKS_S) } else { other.late_by };
                let beside = apart.is_some_and(|apart| worker.began <= other.until + apart);
                if beside && worker.ordinal != other.ordinal && worker.ordinal <= other.newest {
                    (0..4).for_each(|section| contested[section] |= other.sections[section]);
                }
            }
        } else if worker.ordinal < self.jobs {
            contested = sections;
        }
        self.wrote.push(Wrote { ordinal: worker.ordinal, newest: self.jobs, late_by, until, sections });
        contested
    }

    fn contest(&mut self, sections: [bool; 4]) {
        for section in (0..4).filter(|section| sections[*section]) {
            (self.belief[section], self.contested[section]) = (NONE, Some(self.jobs));
        }
    }

    /// What may have been written and was not accepted is not believed any more, unless it is what is wanted anyhow.
    fn doubt(&mut self, worker: &Worker, well: bool) {
        for (purpose, class, _) in &worker.calls {
            let untouched = matches!(class, OutcomeClass::Throttled | OutcomeClass::Unauthorised);
            if untouched || well && *class == OutcomeClass::Accepted {
                continue;
            }
            for section in written(*purpose) {
                let job = self.waiting.as_ref().filter(|job| job.ordinal == worker.ordinal);
                if job.is_none_or(|job| job.content[section] != self.belief[section]) {
                    self.belief[section] = NONE;
                }
            }
        }
    }
}
