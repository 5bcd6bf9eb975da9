//! The modes with sockets: which testees meet, over which carriers, in which roles.

use std::time::{Duration, Instant};

use super::live::{self, Chain, Live, Place};
use super::peer::{Launch, Testee};
use super::report::{Report, Row, Verdict};
use super::steps::Trouble;
use super::{Options, bundle, rogue};
use crate::json::{Fields, Json};

/// A testee and how it is started again should it die.
struct Player {
    launch: Launch,
    testee: Testee,
    /// How the report names it: unique in the run.
    name: String,
}

impl Player {
    async fn start(launch: Launch, options: &Options) -> Result<Self, String> {
        let testee = Testee::start(&launch, options.timeout()).await?;
        if !testee.claims("verbs", "live") {
            return Err(format!("{launch} has no live verbs: it cannot be checked over sockets"));
        }
        let name = testee.name().trim_start_matches("libchan-").to_owned();
        Ok(Self { launch, testee, name })
    }

    /// The same again, or itself started anew.
    async fn revive(&mut self, options: &Options) -> Result<(), String> {
        if self.testee.is_broken() {
            self.testee = Testee::start(&self.launch, options.timeout()).await?;
        }
        Ok(())
    }
}

/// The Rust testee as a program of its own, so that what it counts is its own.
fn rust() -> Result<Launch, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    Ok(Launch::Command(vec![program.to_string_lossy().into_owned(), "testee".to_owned()]))
}

/// Which side the testee is on.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Server,
    Client,
}

/// The testee against the Rust implementation, and against a peer that breaks rules.
pub(super) async fn against_rust(
    role: Role,
    command: Vec<String>,
    options: &Options,
    report: &mut Report,
) -> Result<String, String> {
    let launch = if command.is_empty() { rust()? } else { Launch::Command(command) };
    let mut players = [Player::start(launch, options).await?, Player::start(rust()?, options).await?];
    let level = level_of(&[&players[0].testee], options);
    let word = if role == Role::Server { "server" } else { "client" };
    let what = format!("{} as {word}, to level {level}", players[0].testee.name());
    let place = Place::new()?;
    let carriers = shared_carriers(&players[0].testee, &players[1].testee, options);
    if carriers.is_empty() {
        return Err(no_carrier(&players[0].testee));
    }
    for carrier in &carriers {
        pair(&mut players, role == Role::Client, carrier, &place, level, options, report).await?;
    }
    let rogue_on = carriers.iter().find(|carrier| matches!(carrier.as_str(), "tcp" | "unix"));
    if let Some(carrier) = rogue_on {
        let player = &mut players[0];
        for case in rogue::cases(role, &bundle::load(options.vectors.as_deref())?) {
            if u64::from(case.level) > level || !options.wants(&case.id) {
                continue;
            }
            player.revive(options).await?;
            let begun = Instant::now();
            let play = async || {
                player.testee.new_case();
                rogue::run(&case, role, &player.testee, carrier, &place).await
            };
            let result = options.repeated(play).await;
            let on = format!("{carrier}, a peer that is played");
            let requirements = case.requirements.iter().map(String::as_str).collect::<Vec<_>>();
            note(report, (&case.id, &on, &requirements, &case.why), begun, &[&player.testee], result);
        }
    }
    Ok(what)
}

/// Every pair of the programs given, in both roles, over each carrier that both have; with three also through each other.
pub(super) async fn interop(
    commands: Vec<Vec<String>>,
    options: &Options,
    report: &mut Report,
) -> Result<String, String> {
    let mut players = Vec::new();
    for command in commands {
        let launch = if command == ["rust"] { rust()? } else { Launch::Command(command) };
        players.push(Player::start(launch, options).await?);
    }
    let all: Vec<&Testee> = players.iter().map(|player| &player.testee).collect();
    let level = level_of(&all, options);
    let names: Vec<&str> = players.iter().map(|player| player.name.as_str()).collect();
    let what = names.join(", ");
    let place = Place::new()?;
    for (first, second) in pairs(players.len()) {
        let carriers = shared_carriers(&players[first].testee, &players[second].testee, options);
        let Ok([one, two]) = players.get_disjoint_mut([first, second]) else { continue };
        // Two of them may claim more than all three.
        let level = level_of(&[&one.testee, &two.testee], options);
        for carrier in &carriers {
            for one_dials in [true, false] {
                pair_of(one, two, one_dials, carrier, &place, level, options, report).await?;
            }
        }
    }
    if players.len() == 3 {
        chains(&mut players, &place, level, options, report).await?;
    }
    Ok(what)
}

/// A testee and the Rust implementation in rows of three, each in every place.
pub(super) async fn in_a_row(
    command: Vec<String>,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    let testee = if command.is_empty() { rust()? } else { Launch::Command(command) };
    let place = Place::new()?;
    for row in [[&testee, &rust()?, &testee], [&rust()?, &testee, &rust()?]] {
        let mut players = Vec::new();
        for launch in row {
            players.push(Player::start(launch.clone(), options).await?);
        }
        let all: Vec<&Testee> = players.iter().map(|player| &player.testee).collect();
        let level = level_of(&all, options);
        chains(&mut players, &place, level, options, report).await?;
    }
    Ok(())
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |first| (first + 1..count).map(move |second| (first, second)))
}

/// The level that all of these claim, or the one that was asked for.
fn level_of(testees: &[&Testee], options: &Options) -> u64 {
    let claimed = testees.iter().map(|testee| testee.level()).min().unwrap_or(0);
    options.level.map_or(claimed, u64::from)
}

fn shared_carriers(one: &Testee, two: &Testee, options: &Options) -> Vec<String> {
    let claimed = one.about().list("carriers").unwrap_or_default();
    let both = claimed.iter().filter_map(Json::as_str).filter(|carrier| two.claims("carriers", carrier));
    both.filter(|carrier| options.carrier.is_empty() || options.carrier.iter().any(|it| it == carrier))
        .map(str::to_owned)
        .collect()
}

fn no_carrier(testee: &Testee) -> String {
    format!("{} claims {}: no carrier that could be checked", testee.name(), testee.about().field("carriers"))
}

async fn pair(
    players: &mut [Player; 2],
    testee_dials: bool,
    carrier: &str,
    place: &Place,
    level: u64,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    let [testee, rust] = players;
    pair_of(testee, rust, testee_dials, carrier, place, level, options, report).await
}

/// Every case between two, each of them once as the one that begins.
#[allow(clippy::too_many_arguments)]
async fn pair_of(
    one: &mut Player,
    two: &mut Player,
    one_dials: bool,
    carrier: &str,
    place: &Place,
    level: u64,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    let wanted = |case: &&live::Case| u64::from(case.level) <= level && options.wants(case.id);
    for case in live::all().filter(wanted) {
        for one_begins in [true, false] {
            one.revive(options).await?;
            two.revive(options).await?;
            let (first, second) = if one_begins { (&*one, &*two) } else { (&*two, &*one) };
            let first_dials = one_begins == one_dials;
            let (dials, listens) = if first_dials { (first, second) } else { (second, first) };
            let on = format!(
                "{carrier}: {} dials {}, {} begins",
                dials.name,
                listens.name,
                if first_dials { "the dialer" } else { "the listener" }
            );
            let testees = [&first.testee, &second.testee];
            let begun = Instant::now();
            let play = async || {
                testees.iter().for_each(|testee| testee.new_case());
                let live = Live::new(&first.testee, &second.testee, first_dials, carrier, place);
                live::run(case, &live).await
            };
            let result = options.repeated(play).await;
            note(report, (case.id, &on, case.requirements, case.why), begun, &testees, result);
        }
    }
    Ok(())
}

/// Each of the three in the middle once, over the first carrier that each pair shares.
async fn chains(
    players: &mut [Player],
    place: &Place,
    level: u64,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        for case in
            live::CHAINS.iter().filter(|case| u64::from(case.level) <= level && options.wants(case.id))
        {
            for player in players.iter_mut() {
                player.revive(options).await?;
            }
            let [a, b, c] = order.map(|at| &players[at]);
            let carrier = |one: &Player, two: &Player| shared_carriers(&one.testee, &two.testee, options);
            let (left, right) = (carrier(a, b), carrier(b, c));
            let (Some(left), Some(right)) = (left.first(), right.first()) else { continue };
            let on = format!("{} {left} {} {right} {}", a.name, b.name, c.name);
            let testees = [&a.testee, &b.testee, &c.testee];
            let begun = Instant::now();
            let play = async || {
                testees.iter().for_each(|testee| testee.new_case());
                let chain = Chain {
                    left: Live::new(&a.testee, &b.testee, true, left, place),
                    right: Live::new(&b.testee, &c.testee, false, right, place),
                };
                live::run_chain(case, &chain).await
            };
            let result = options.repeated(play).await;
            note(report, (case.id, &on, case.requirements, case.why), begun, &testees, result);
        }
    }
    Ok(())
}

fn note(
    report: &mut Report,
    (id, on, requirements, why): (&str, &str, &[&str], &str),
    begun: Instant,
    testees: &[&Testee],
    result: Result<(), Trouble>,
) {
    let mut row = Row {
        id: id.to_owned(),
        on: on.to_owned(),
        requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
        why: why.to_owned(),
        verdict: Verdict::Skip,
        text: String::new(),
        due: String::new(),
        transcript: String::new(),
        took: Duration::ZERO,
    };
    row.took = begun.elapsed();
    if matches!(result, Err(Trouble::Failed(_))) {
        let said = testees.iter().map(|testee| format!("\n   {}:{}", testee.name(), testee.transcript()));
        row.transcript = said.collect();
    }
    report.note(row, result);
}

/// Prints the live cases: between three, and those of a played peer, if they are asked for.
pub(super) fn list(options: &Options, chains: bool, played: bool) -> Result<(), String> {
    let line = |id: &str, level: u8, why: &str| println!("{id:<24} level {level}  {why}");
    for case in live::all().filter(|case| options.wants(case.id)) {
        line(case.id, case.level, case.why);
    }
    if chains {
        for case in live::CHAINS.iter().filter(|case| options.wants(case.id)) {
            line(case.id, case.level, case.why);
        }
    }
    if !played {
        return Ok(());
    }
    for case in rogue::cases(Role::Server, &bundle::load(options.vectors.as_deref())?) {
        if options.wants(&case.id) {
            line(&case.id, case.level, &case.why);
        }
    }
    Ok(())
}
