"""Random rules and random messages, with everything the language has and few distinct values, so
that rules match, overlap and disagree about types often."""

from __future__ import annotations

from random import Random
from typing import Any

from rules.tokens import quote

TEXTS = ["a", "ab", "abc", "Abc", "ÄBC", "äbc", "straße", "STRASSE", "é", "e\u0301", "ſ", "K", "free money"]
TEXTS += ["FREE  MONEY", "casino", "x" * 40, "J\u030c", "ǰ", "İ", "", "1", "hello world", "日本語", "a\nb"]
TEXT_FIELDS = ["message.channel", "message.type", "message.content", "message.sender.id", "message.sender.name"]
KEYS = ["k", "n", "flag", "x y"]
PATTERNS = ["/a+b/", "/(?i)abc/", "/(?i)free\\s+money/", "/^a/", "/casino|lottery/", "/[a-z]{2,}$/", "/h.llo/"]
PATTERNS += ["/abc/i", "/colou?r|world/", "/\\d/", "/(?:free)+ mon/", "/ſ|k/i", "/J/i", "/./", "/x{3}y*/", "/straße/"]


def text(rng: Random) -> str:
    return quote(rng.choice(TEXTS))


def texts(rng: Random) -> str:
    if rng.random() < 0.1:
        return 'FILE "spam.txt"'
    return "[" + ", ".join(text(rng) for _ in range(rng.randint(0, 4))) + "]"


def number(rng: Random) -> str:
    return rng.choice(["0", "1", "2", "3", "1.0", "2.5", "-1", "1KB", "2s"])


def dynamic(rng: Random) -> str:
    if rng.random() < 0.1:
        return "message.metadata.k.a"
    key = rng.choice(KEYS)
    return f'message.metadata["{key}"]' if " " in key or rng.random() < 0.5 else f"message.metadata.{key}"


def text_operand(rng: Random) -> str:
    field = dynamic(rng) if rng.random() < 0.2 else rng.choice(TEXT_FIELDS)
    return f"LOWER({field})" if rng.random() < 0.1 else field


def number_operand(rng: Random) -> str:
    field = rng.choice(TEXT_FIELDS)
    choices = ["message.size", f"LENGTH({field})", f"{field}.length", "COUNT(message.tags)", dynamic(rng)]
    return rng.choice(choices)


def predicate(rng: Random) -> str:
    negation = rng.choice(["", "", "", "NOT "])
    case = rng.choice(["", "", " IGNORING CASE"])
    match rng.randint(0, 12):
        case 0 | 1 | 2:
            return f"{text_operand(rng)} {rng.choice(['==', '==', '==', '!='])} {text(rng)}"
        case 3:
            return f"{text_operand(rng)} {negation}IN {texts(rng)}"
        case 4 | 5:
            return f"{text_operand(rng)} {negation}CONTAINS {text(rng)}{case}"
        case 6:
            return f"{text_operand(rng)} {negation}CONTAINS ANY {texts(rng)}{case}"
        case 7:
            affix = rng.choice(["STARTS", "ENDS"])
            return f"{text_operand(rng)} {negation}{affix} WITH {text(rng)}{case}"
        case 8:
            return f"{text_operand(rng)} {negation}MATCHES {rng.choice(PATTERNS)}{case}"
        case 9 | 10:
            symbol = rng.choice(["<", "<=", ">", ">=", "==", "!="])
            return f"{number_operand(rng)} {symbol} {number(rng)}"
        case 11:
            return odd(rng, negation, case)
        case _:
            return f"message.tags {negation}{rng.choice(['CONTAINS', 'INCLUDES'])} {text(rng)}{case}"


def odd(rng: Random, negation: str, case: str) -> str:
    return rng.choice(
        [
            f"{rng.choice(TEXT_FIELDS)} {negation}EXISTS",
            f"{dynamic(rng)} {negation}EXISTS",
            "message.sender.is_bot == TRUE",
            "message.sender.is_bot != FALSE",
            f"{dynamic(rng)} == TRUE",
            "TIME IN 22:00..06:00 ON MON,SUN",
            'TIME IN 11:00..13:00 TZ "Europe/London"',
            f"message.content == {text_operand(rng)}",
            f"message.content {negation}CONTAINS message.sender.name{case}",
            f"{number_operand(rng)} <= {number_operand(rng)}",
            f"message.tags {negation}CONTAINS ANY {texts(rng)}{case}",
        ]
    )


def condition(rng: Random, depth: int = 2) -> str:
    if depth == 0 or rng.random() < 0.4:
        return predicate(rng)
    parts = [condition(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    joined = rng.choice([" AND ", " AND ", " OR "]).join(f"({part})" for part in parts)
    return f"NOT ({joined})" if rng.random() < 0.15 else joined


def rule(rng: Random, number: int) -> str:
    attributes = rng.choice(["", "", f" PRIORITY {rng.randint(-3, 3)}"]) + rng.choice(["", "", "", " SHADOW"])
    outcome = rng.choice(["", "", " STOP", " CONTINUE", " CONTINUE"])
    action = rng.choice([f'tag("{number}")', f'route_to("default"), tag("{number}")', 'drop("no") AND priority(2)'])
    return f'RULE "{number}"{attributes} WHEN {condition(rng)} THEN {action}{outcome}\n'


def facts(rng: Random) -> dict[str, Any]:
    """A message: some fields missing, some None, the dynamic ones of any type."""
    made: dict[str, Any] = {}
    for field in (*TEXT_FIELDS, "message.size", "message.tags", "message.sender.is_bot", "message.metadata"):
        if rng.random() < 0.15:
            if rng.random() < 0.5:
                made[field] = None
            continue
        made[field] = _value(rng, field)
    return made


def _value(rng: Random, field: str) -> Any:
    if field == "message.size":
        return rng.choice([0, 1, 2, 3, 2.5, -1, 1024])
    if field == "message.tags":
        return [rng.choice(TEXTS) for _ in range(rng.randint(0, 3))]
    if field == "message.sender.is_bot":
        return rng.random() < 0.5
    if field == "message.metadata":
        wild = [1, 2.5, True, False, None, "a", "abc", ["a", "abc"], [1], {"a": 1}, float("nan"), 10**30]
        return {key: rng.choice([*wild, rng.choice(TEXTS)]) for key in KEYS if rng.random() < 0.8}
    glued = rng.choice(TEXTS) + rng.choice(["", " ", "-"]) + rng.choice(TEXTS)
    return rng.choice([rng.choice(TEXTS), glued, glued + "\ud83d"])
