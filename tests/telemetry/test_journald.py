"""A line's level reaches systemd's journal, and nobody else."""

from __future__ import annotations

import io
import os

from gateway.telemetry.journald import is_journald, marked
from gateway.telemetry.log import open_log


def name_of(stream):
    there = os.fstat(stream.fileno())
    return f"{there.st_dev}:{there.st_ino}"


def test_the_journal_is_known_by_the_file_that_systemd_names(tmp_path):
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "elsewhere").open("w") as elsewhere:
        assert is_journald(journal, {"JOURNAL_STREAM": name_of(journal)})
        assert not is_journald(elsewhere, {"JOURNAL_STREAM": name_of(journal)})
        assert not is_journald(journal, {})
        assert not is_journald(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
    assert not is_journald(journal, {"JOURNAL_STREAM": "1:2"})


def test_each_line_has_the_level_of_the_whole():
    assert marked("oclaw: 2 faults:\n  one\n", "error") == "<3>oclaw: 2 faults:\n<3>  one\n"
    assert marked("{}\n", "chatter") == "<6>{}\n"


def test_the_log_grades_its_lines_for_the_journal_alone(tmp_path, monkeypatch):
    for place in ("journal", "elsewhere"):
        with (tmp_path / place).open("w") as stream:
            if place == "journal":
                monkeypatch.setenv("JOURNAL_STREAM", name_of(stream))
            with open_log(stream, "json") as log:
                log.put(lambda: {"level": "warning"})
    assert (tmp_path / "journal").read_text() == '<4>{"level":"warning"}\n'
    assert (tmp_path / "elsewhere").read_text() == '{"level":"warning"}\n'
