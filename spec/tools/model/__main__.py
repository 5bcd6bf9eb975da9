"""`python3 -m model` in spec/tools: see README.md beside this file."""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from typing import Callable

from .cuts import cuts
from .fair import FILL, TURN, fair, newcomer
from .greedy import greedy
from .hostile import hostile
from .large import large
from .play import play

#: Worlds, conversations to be cut, hostile peers, loads.
QUICK = {"worlds": 20, "cuts": 1, "hostile": 40, "fair": 3}
LONG = {"worlds": 720, "cuts": 12, "hostile": 400, "fair": 30}


def main() -> None:
    parser = argparse.ArgumentParser(prog="model", description="Plays two machines, and looks for broken promises.")
    parser.add_argument("--seed", type=int, help="the first seed; without it a random one, which is printed")
    parser.add_argument("--long", action="store_true", help="many more of everything: about half an hour")
    parser.add_argument("--only", choices=[*QUICK, "mutants"], help="this part alone")
    parser.add_argument("--count", type=int, help="how many of it")
    said = parser.parse_args()
    seed = said.seed if said.seed is not None else random.randrange(10**9)
    if said.only == "mutants":
        from .mutants import main as mutants

        mutants()
        return
    counts = LONG if said.long else QUICK
    if said.only:
        counts = {said.only: said.count or counts[said.only]}
    for part, count in counts.items():
        PARTS[part](seed, count)


def each(name: str, seed: int, count: int, one: Callable[[int], Counter[str]]) -> Counter[str]:
    """Plays so many seeds; the one that fails is named."""
    began = time.monotonic()
    total: Counter[str] = Counter()
    for at in range(seed, seed + count):
        try:
            total += one(at)
        except BaseException:
            print(f"{name}: failed. Again: python3 -m model --only {name} --seed {at} --count 1", flush=True)
            raise
    print(f"{name}: {count} from seed {seed} in {time.monotonic() - began:.0f} s: {dict(sorted(total.items()))}")
    return total


def worlds(seed: int, count: int) -> None:
    total = each("worlds", seed, count, play)
    assert count < 10 or total["arrived"] > 100 * count, "next to nothing was sent: the checker sees nothing"


def cut_links(seed: int, count: int) -> None:
    each("cuts", seed, count, lambda at: Counter(frames=cuts(at)))


def hostile_peers(seed: int, count: int) -> None:
    each("hostile", seed, count, hostile)
    for size in (40_000, 49_900):
        print(
            f"hostile: one that takes all it can get, with messages of {size}, holds {greedy(size):.2f} of the memory"
        )
    stuck = [at for at in range(seed, seed + 12) if large(at) is None]
    assert not stuck, f"large messages that are read do not come: seeds {stuck}"
    many = sum(large(at, given_up=99, steps=1000) is None for at in range(seed, seed + 6))
    print(f"hostile: large messages that are read come; with many receives given up {many} of 6 stand still")


def fairness(seed: int, count: int) -> None:
    def one(at: int) -> Counter[str]:
        ratio, ahead = fair(at), newcomer(at)
        assert ratio <= 2, f"one has {ratio:.2f} times the share of another"
        assert ahead <= FILL + TURN, f"a newcomer waits for {ahead} bytes"
        return Counter({f"ratio up to {-(-ratio * 10 // 1) / 10}": 1})

    each("fair", seed, count, one)


PARTS = {"worlds": worlds, "cuts": cut_links, "hostile": hostile_peers, "fair": fairness}

if __name__ == "__main__":
    main()
