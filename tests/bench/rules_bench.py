"""Rules per second, ours beside others: the same rules and messages in one run.

    python tests/bench/rules_bench.py [--json] [--sizes 10,100,1000,10000,100000] [--seconds 0.5]

70 % of the rules test equality, 20 % a contained word or a prefix, 5 % a regular expression, 5 % a
length. Every engine must name the same matching rules before its time counts. Figures are messages
per CPU second; peers answer "which rules match" (all-match), so that is what ours is compared by.
Loading is measured as a host does it, with the collector resting; the memory is that of a fresh
process, interpreter and all, that has loaded the rules and explained a message.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from pathlib import Path
from random import Random
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))
from rules import ActionSpec, Field, Param, Ruleset, Scope, Unavailable, Vocabulary, explain, load
from rules.calls import ActionChecker
from rules.check import Checker
from rules.parser import statements
from rules.syntax import Rule

CHANNELS = ["imessage", "telegram", "irc", "slack", "matrix", "email", "sms", "xmpp", "discord", "web"]
MOMENT = 1_772_452_800.0
# What a peer takes for one message grows with the rules; past these sizes a run would take minutes.
LARGEST = {"cel": 10_000, "zen-engine": 10_000, "rule-engine": 1_000}
Matcher = Callable[["Message"], list[int]]


class Message(msgspec.Struct, frozen=True):
    channel: str
    type: str
    sender: str
    content: str


class Made(msgspec.Struct, frozen=True):
    """One generated rule: tests as (field, operator, value)."""

    number: int
    tests: tuple[tuple[str, str, Any], ...]


class NoLists:
    """A loader without lists."""

    def lines(self, name: str) -> tuple[str, ...]:
        raise Unavailable(name)

    def zone(self, _name: str) -> tzinfo:
        return UTC


def generated(count: int) -> list[Made]:
    rng = Random(count)
    return [Made(number, tuple(_tests(rng, max(20, count)))) for number in range(count)]


def _tests(rng: Random, spread: int) -> Iterator[tuple[str, str, Any]]:
    kind, which = rng.random(), rng.randrange(spread * 2)
    if kind < 0.7:
        if rng.random() < 0.6:
            yield ("channel", "==", rng.choice(CHANNELS))
        yield ("sender", "==", f"user{rng.randrange(spread)}")
    elif kind < 0.8:
        yield ("channel", "==", rng.choice(CHANNELS))
        yield ("content", "contains", f"word{which}x")
    elif kind < 0.9:
        yield ("content", "starts", f"/cmd{which} ")
    elif kind < 0.95:
        yield ("content", "matches", rf"order\s+num{which}[a-z]")
    else:
        yield ("type", "==", "text")
        yield ("content", "longer", 400 + which)


def messages(count: int, spread: int) -> list[Message]:
    rng = Random(spread)
    made = []
    for _ in range(count):
        words = ["hello", "there", "please", "thanks", "the", "invoice", f"word{rng.randrange(spread * 2)}x"]
        content = " ".join(rng.choice(words) for _ in range(10))
        if rng.random() < 0.1:
            content = f"/cmd{rng.randrange(spread * 2)} {content}"
        if rng.random() < 0.05:
            content += f" order  num{rng.randrange(spread * 2)}z"
        made.append(Message(rng.choice(CHANNELS), "text", f"user{rng.randrange(spread)}", content))
    return made


def text_of(rules: list[Made]) -> str:
    shown = {"==": "{f} == {v}", "contains": "{f} CONTAINS {v}", "starts": "{f} STARTS WITH {v}"}
    shown |= {"matches": "{f} MATCHES /{r}/", "longer": "LENGTH({f}) > {v}"}
    return "".join(f'RULE "{r.number}" WHEN {_joined(r, shown, " AND ")} THEN tag("x")\n' for r in rules)


def scope() -> Scope:
    fields = {f: Field("text", (f,), exact=True, always=True, nfc=True) for f in Message.__struct_fields__}
    return Scope(fields, {"tag": ActionSpec((Param("name"),))})


def parse_and_check(text: str) -> None:
    """Do the first half of a load: from text to checked conditions and actions."""
    known, checker = scope(), Checker(NoLists(), {})
    actions = ActionChecker(checker, {})
    for made in statements(text, _refuse):
        assert isinstance(made, Rule)
        checker.condition(made.condition, known, _refuse)
        actions.calls(made.actions, known, _refuse)


def _refuse(*mistake: object) -> None:
    raise AssertionError(mistake)


def ours(text: str) -> Ruleset:
    made = load({"bench.rules": text}, Vocabulary({"routing": scope()}), NoLists())
    assert isinstance(made, Ruleset), made.render()
    return made


def spent(work: Callable[[], object]) -> tuple[float, Any]:
    """CPU seconds and what came of it, with the collector resting."""
    gc.collect()
    gc.disable()
    begun = time.process_time()
    done = work()
    seconds = time.process_time() - begun
    gc.enable()
    return seconds, done


def memory(size: int) -> int:
    """MB of a fresh process that loaded so many rules and can explain what they do."""
    asked = [sys.executable, __file__, "--memory-of", str(size)]
    return int(subprocess.run(asked, capture_output=True, check=True, text=True).stdout)


def own_memory(size: int) -> int:
    """MB of this process after it loaded so many rules and explained a message."""
    _, ruleset = spent(lambda: ours(text_of(generated(size))))
    explanation = explain(ruleset, "routing", messages(1, size)[0], MOMENT)
    assert explanation.render()
    (kilobytes,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)
    return int(kilobytes) // 1024


def every_of(ruleset: Ruleset) -> Matcher:
    return lambda message: [int(ref.name) for ref in ruleset.matches("routing", message, MOMENT)]


def cel(rules: list[Made]) -> Matcher:
    import cel as library

    shown = {"==": "{f} == {v}", "contains": "{f}.contains({v})", "starts": "{f}.startsWith({v})"}
    shown |= {"matches": "{f}.matches({q})", "longer": "size({f}) > {v}"}
    programs = [(rule.number, library.compile(_joined(rule, shown, " && "))) for rule in rules]

    def match(message: Message) -> list[int]:
        context = library.Context(msgspec.structs.asdict(message))
        return [number for number, program in programs if program.execute(context)]

    return match


def rule_engine(rules: list[Made]) -> Matcher:
    import rule_engine as library

    shown = {"==": "{f} == {v}", "contains": "{f} =~~ {c}", "starts": "{f} =~ {p}", "matches": "{f} =~~ {q}"}
    shown |= {"longer": "{f}.length > {v}"}
    made = [(rule.number, library.Rule(_joined(rule, shown, " and "))) for rule in rules]

    def match(message: Message) -> list[int]:
        thing = msgspec.structs.asdict(message)
        return [number for number, rule in made if rule.matches(thing)]

    return match


def zen_engine(rules: list[Made]) -> Matcher:
    import zen

    fields = list(Message.__struct_fields__)
    shown = {"==": "{v}", "contains": "contains($, {v})", "starts": "startsWith($, {v})"}
    shown |= {"matches": "matches($, {q})", "longer": "len($) > {v}"}
    rows = [
        {"_id": str(rule.number), **dict.fromkeys(fields, ""), "out": str(rule.number)}
        | {field: _shown(field, operator, value, shown) for field, operator, value in rule.tests}
        for rule in rules
    ]
    table = {
        "hitPolicy": "collect",
        "inputs": [{"id": field, "name": field, "field": field} for field in fields],
        "outputs": [{"id": "out", "name": "out", "field": "out"}],
        "rules": rows,
    }
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode", "position": {"x": 0, "y": 0}},
        {"id": "t", "name": "t", "type": "decisionTableNode", "content": table, "position": {"x": 0, "y": 0}},
        {"id": "o", "name": "o", "type": "outputNode", "position": {"x": 0, "y": 0}},
    ]
    edges = [{"id": f"{a}{b}", "sourceId": a, "targetId": b, "type": "edge"} for a, b in (("in", "t"), ("t", "o"))]
    decision = zen.ZenEngine().create_decision(json.dumps({"nodes": nodes, "edges": edges}))

    def match(message: Message) -> list[int]:
        found = decision.evaluate(msgspec.structs.asdict(message))["result"]
        return [int(row["out"]) for row in found or []]

    return match


PEERS = {"cel": cel, "zen-engine": zen_engine, "rule-engine": rule_engine}


def _joined(rule: Made, shown: dict[str, str], word: str) -> str:
    return word.join(_shown(field, operator, value, shown) for field, operator, value in rule.tests)


def _shown(field: str, operator: str, value: Any, shown: dict[str, str]) -> str:
    quoted = json.dumps(value)
    forms = {"c": json.dumps(f".*{value}"), "p": json.dumps(f"{value}.*"), "q": quoted, "r": value}
    if "=~~" in shown["matches"]:
        forms["q"] = json.dumps(f".*{value}")
    return shown[operator].format(f=field, v=quoted, **forms).replace("=~~", "=~")


def speed(match: Callable[[Message], object], made: list[Message], seconds: float) -> float:
    """Messages per CPU second, over at least `seconds` or one message."""
    begun, done = time.process_time(), 0
    while True:
        for message in made:
            match(message)
            done += 1
            if done & 15 == 0 and time.process_time() - begun > seconds:
                break
        if (taken := time.process_time() - begun) > seconds:
            return done / taken


def measured(size: int, seconds: float) -> dict[str, Any]:
    rules, made = generated(size), messages(2000 if size < 50_000 else 1000, max(20, size))
    text = text_of(rules)
    parsing, _ = spent(lambda: parse_and_check(text))
    loading, ruleset = spent(lambda: ours(text))
    row: dict[str, Any] = {"rules": size, "parse + check, µs a rule": parsing / size * 1e6}
    row |= {"whole load, µs a rule": loading / size * 1e6, "memory, MB": memory(size)}
    expected = [every_of(ruleset)(message) for message in made]
    gc.freeze()
    row["ours, first match"] = speed(lambda m: ruleset.decide("routing", m, MOMENT), made, seconds)
    row["ours, all match"] = speed(lambda m: ruleset.matches("routing", m, MOMENT), made, seconds)
    for name, build in PEERS.items():
        if size > LARGEST[name]:
            continue
        peer = build(rules)
        for message, found in list(zip(made, expected, strict=True))[: max(3, 2000 // size)]:
            assert peer(message) == found, (name, message, peer(message), found)
        row[name] = speed(peer, made, seconds)
    fastest = max((row[name] for name in PEERS if name in row), default=None)
    if fastest is not None:
        row["times the fastest peer"] = row["ours, all match"] / fastest
    return row


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--sizes", default="10,100,1000,10000")
    asked.add_argument("--seconds", type=float, default=0.5)
    asked.add_argument("--memory-of", type=int, default=0, help="print the memory this many rules take, and end")
    given = asked.parse_args()
    if given.memory_of:
        print(own_memory(given.memory_of))
        return
    ours(text_of(generated(100)))  # what is imported at the first use belongs to no size
    rows = [measured(int(size), given.seconds) for size in given.sizes.split(",")]
    if given.json:
        print(json.dumps(rows))
        return
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [f"{row[name]:>12,.{0 if row[name] >= 10 else 1}f}" if name in row else f"{'–':>12}" for row in rows]
        print(f"{name:<26}" + "".join(cells))


if __name__ == "__main__":
    main()
