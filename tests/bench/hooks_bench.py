"""Measure the built-in hooks: `python tests/bench/hooks_bench.py`. Microseconds for one message, draft included."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.hooks import allowlist, max_length, rate_limit, sensitive_words
from gateway.message.draft import Draft
from gateway.ports import Kit
from tests.bench.seal_bench import MESSAGE, best


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "words.txt").write_text("\n".join(f"forbidden{n}" for n in range(10_000)), "utf-8")
        kit = Kit(report=lambda notice: None, now=float, random=bytes, http=None, config_dir=folder)
        hooks = {
            "no hook, draft alone": lambda draft: None,
            "sensitive_words, 10,000 words": sensitive_words.build(
                sensitive_words.Settings(words_file="words.txt"), kit
            ),
            "allowlist, exact": allowlist.build(allowlist.Settings(senders=(MESSAGE.sender.id,)), kit),
            "allowlist, pattern": allowlist.build(allowlist.Settings(senders=("U07*",)), kit),
            "rate_limit": rate_limit.build(rate_limit.Settings(messages=10**9), kit),
            "max_length": max_length.build(max_length.Settings(), kit),
        }
    for name, hook in hooks.items():

        def ask(hook=hook):  # type: ignore[no-untyped-def]
            draft = Draft(MESSAGE)
            hook(draft)
            return draft.finish()

        print(f"{name:32} {best(ask):6.2f}")


if __name__ == "__main__":
    main()
