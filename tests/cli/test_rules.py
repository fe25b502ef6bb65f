"""`oclaw rules`: told before it goes live what is wrong, what would change, and afterwards why."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.frame import oclaw
from gateway.cli.show import moment, text
from tests.support.rules_daemon import Daemon, a_daemon, write_configuration

HOUSE = Path(__file__).parents[2]
RULES = """RULE "vip" PRIORITY 5
WHEN message.sender.id == "ann"
THEN tag("vip") CONTINUE
RULE "spam" SHADOW WHEN message.content CONTAINS "casino" THEN reject("spam")
WHEN message.content == "hi" THEN reply("hello")
RULESET "models"
  WHEN input CONTAINS "@" THEN use_model("loud")
END
TEST "a greeting is answered"
  GIVEN message.content = "hi"
  EXPECT reply("hello")
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    conf = write_configuration(tmp_path, RULES)
    monkeypatch.setenv("OCLAW_CONFIG", str(conf))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return conf


def rules(*words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(oclaw, ["rules", *words], input=text)


def test_check_finds_nothing_wrong_with_good_rules_and_counts_them(conf: Path) -> None:
    result = rules("check")
    assert (result.exit_code, result.stdout) == (0, f"{conf / 'rules.d'}: 4 rules, no problems in 1 file\n")
    assert json.loads(rules("check", "--json").stdout) == {"problems": [], "files": 1, "rules": 4}


def test_what_files_quote_cannot_steer_the_terminal_and_carets_stand_under_it(conf: Path) -> None:
    (conf / "rules.d" / "odd.rules").write_text('WHEN\tmessage.chanel == "\x1b[31m\x9b" THEN tag("x")\n')
    for words in (["rules", "check"], ["rules", "lint"], ["check"]):
        told = CliRunner().invoke(oclaw, words, color=True).stderr
        assert '1 | WHEN message.chanel == "\ufffd[31m\ufffd" THEN' in told
        assert "\n   |      ^^^^^^^^^^^^^^\n" in told


def test_check_names_every_problem_of_an_edited_file_with_its_place_and_exits_78(conf: Path, tmp_path: Path) -> None:
    edited = tmp_path / "main.rules"
    edited.write_text('WHEN message.chanel == "x" THEN tag("x")\nWHEN message.content == "x" THEN route_to("chatt")\n')
    result = rules("check", "--with", str(edited))
    assert result.exit_code == 78
    assert "main.rules:1:6: there is no field message.chanel" in result.stderr
    assert 'did you mean "chat"?' in result.stderr.replace("Did", "did")
    problems = json.loads(rules("check", "--with", str(edited), "--json").stdout)["problems"]
    assert [(one["file"], one["line"]) for one in problems] == [("main.rules", 1), ("main.rules", 2)]


def test_an_edited_file_that_is_a_pipe_is_told_and_not_passed_over(conf: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "main.rules")
    judged = rules("check", "--with", str(tmp_path / "main.rules"))
    assert (judged.exit_code, "main.rules cannot be read: a pipe, not a plain file" in judged.stderr) == (1, True)


def test_check_refuses_what_a_reload_would_a_failing_test_too(conf: Path) -> None:
    (conf / "rules.d" / "t.rules").write_text('TEST "t" GIVEN message.content = "hi" EXPECT drop("x")\n')
    result = rules("check")
    assert result.exit_code == 78
    assert 't.rules:1: TEST "t" fails: expected drop("x"), got reply("hello")' in result.stderr


def test_check_works_beside_a_faulty_oclaw_toml_and_without_a_rules_folder(conf: Path) -> None:
    (conf / "oclaw.toml").write_text("[gateway\n")
    assert rules("check").exit_code == 78  # its names are unknown now
    (conf / "rules.d" / "main.rules").unlink()
    (conf / "rules.d").rmdir()
    assert rules("check").exit_code == 0


def test_fmt_writes_one_layout_keeps_the_mode_and_changes_nothing_the_second_time(conf: Path) -> None:
    path = conf / "rules.d" / "main.rules"
    path.write_text('when message.content=="hi"   then reply("hello") # why\n')
    path.chmod(0o640)
    assert rules("fmt", "--check").exit_code == 1
    assert "formatted" in rules("fmt").stdout
    assert path.read_text() == 'WHEN message.content == "hi" THEN reply("hello")  # why\n'
    assert path.stat().st_mode & 0o777 == 0o640
    assert rules("fmt", "--check").exit_code == 0
    assert json.loads(rules("fmt", "--json").stdout) == {"changed": [], "files": 1}
    assert [each.name for each in path.parent.iterdir()] == ["main.rules"]


def test_fmt_keeps_a_link_and_whose_the_file_is(conf: Path, tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.rules", conf / "rules.d" / "main.rules"
    kept.write_text('when message.content=="hi"   then reply("hello")\n')
    if os.geteuid() == 0:
        os.chown(kept, 12345, 12345)
    link.unlink()
    link.symlink_to(kept)
    owner = kept.stat().st_uid
    assert rules("fmt").exit_code == 0
    assert link.is_symlink()
    assert kept.read_text() == 'WHEN message.content == "hi" THEN reply("hello")\n'
    assert kept.stat().st_uid == owner


def test_fmt_leaves_a_broken_file_alone(conf: Path) -> None:
    path = conf / "rules.d" / "main.rules"
    path.write_text("WHEN x THEN\n")
    assert rules("fmt").exit_code == 78
    assert path.read_text() == "WHEN x THEN\n"


def test_test_runs_blocks_and_cases_and_shows_what_came_instead(conf: Path) -> None:
    assert rules("test").stdout == "1 test, 0 failed\n"
    (conf / "rules.d" / "more.cases").write_text('TEST "no" GIVEN message.content = "hi" EXPECT reply("bye")\n')
    result = rules("test")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        'more.cases:1: TEST "no" fails',
        '  - expected reply("bye")',
        '  + got reply("hello")',
        "2 tests, 1 failed",
    ]
    assert json.loads(rules("test", "--json").stdout)["failed"] == 1


def test_cases_that_cannot_be_read_are_named(conf: Path) -> None:
    (conf / "rules.d" / "a.cases").write_bytes(b'TEST "\xff"')
    result = rules("test")
    assert (result.exit_code, "a.cases is not UTF-8: byte 0xFF at offset 6" in result.stderr) == (1, True)
    (conf / "rules.d" / "a.cases").unlink()
    (conf / "rules.d" / "a.cases").mkdir()
    assert "a.cases cannot be read: Is a directory" in rules("test").stderr


def test_status_shows_why_rules_were_refused_line_by_line() -> None:
    refused = "main.rules:1:1: found `x`\n 1 | x\n   | ^\x1b[2J"
    lines = text({"rules": {"loaded": {"generation": 1, "refused": refused}}}).splitlines()
    assert lines[-3:] == ["      main.rules:1:1: found `x`", "       1 | x", "         | ^\ufffd[2J"]


def test_lint_tells_and_is_strict_only_when_asked(conf: Path) -> None:
    (conf / "rules.d" / "slow.rules").write_text('WHEN NOT message.content CONTAINS "x" THEN tag("y") CONTINUE\n')
    result = rules("lint")
    assert result.exit_code == 0
    assert "[unindexed]" in result.stdout
    assert rules("lint", "--strict").exit_code == 1
    assert {"unindexed"} == {one["code"] for one in json.loads(rules("lint", "--json").stdout)}


def test_explain_shows_every_condition_of_a_message_from_a_file_or_standard_input(conf: Path, tmp_path: Path) -> None:
    message = {"channel": "desk", "content": "hi", "sender": {"id": "ann"}}
    result = rules("explain", "-", text=json.dumps(message))
    assert result.exit_code == 0
    assert 'fired: "vip" (main.rules:1)' in result.stdout
    assert '✓ message.sender.id == "ann"   "ann"' in result.stdout
    assert "models: ran to its end" in result.stdout
    path = tmp_path / "message.json"
    path.write_text(json.dumps({"message": message}))
    answer = json.loads(rules("explain", str(path), "--json").stdout)
    assert json.loads(rules("explain", json.dumps(message), "--json").stdout) == answer
    assert answer["actions"] == ['tag("vip")', 'reply("hello")']
    assert answer["verdicts"][0]["conditions"][0]["held"] is True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no message"),
        ('{"content": 3}', "is no message"),
        ('{"channel": "desk", "contnt": "hi"}', 'a message has no field "contnt" (Did you mean "content"?). One is'),
        ('{"channel": "desk", "sender": {"zzz": 1}}', 'a sender has no field "zzz". One is'),
    ],
)
def test_explain_says_what_a_message_looks_like(conf: Path, text: str, told: str) -> None:
    result = rules("explain", "-", text=text)
    assert result.exit_code == 1
    assert told in result.stderr
    assert '"sender": {"id": "ann"}' in result.stderr


def test_without_a_journal_replay_says_so(conf: Path) -> None:
    result = rules("replay")
    assert result.exit_code == 1
    assert "key ring" in result.stderr
    assert "1h" in rules("replay", "--since", "soon").stderr


def test_bench_measures_these_rules(conf: Path) -> None:
    answer = json.loads(rules("bench", "--seconds", "0.05", "--json").stdout)
    assert answer["rules"] == 4
    assert answer["messages_per_cpu_second"] > 1000
    assert sum(answer["index"]["routing"].values()) >= 3


def test_an_installed_action_is_known_to_every_command(conf: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "escalating-1.dist-info").mkdir(parents=True)
    (site / "escalating-1.dist-info" / "METADATA").write_text("Name: escalating\nVersion: 1\n")
    (site / "escalating-1.dist-info" / "entry_points.txt").write_text("[oclaw.actions]\nescalate = escalating\n")
    (site / "escalating.py").write_text(
        "from gateway.flow.actions import Do\n"
        "from rules import ActionSpec, Param\n"
        'spec = ActionSpec((Param("level", "number"),), about="tell the people on call")\n'
        "def apply(call):\n"
        '    return [Do("tag", {"names": ("escalated",)}), Do("forward", {"channel": "oncall"})]\n'
    )
    (conf / "rules.d" / "main.rules").write_text('WHEN message.content == "fire" THEN escalate(2)\n')
    assert rules("check").exit_code == 78
    command = [sys.executable, "-m", "gateway.cli", "rules", "check", "--config", str(conf)]
    done = subprocess.run(command, env={"PYTHONPATH": f"{HOUSE}:{site}"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 rule, no problems" in done.stdout) == (0, True), done.stderr


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with a_daemon(RULES) as daemon:
        yield daemon


def asked(daemon: Daemon, *words: str) -> Result:
    return rules(*words, "--config", str(daemon.folder))


def test_a_journaled_message_is_explained_by_the_rules_in_force(daemon: Daemon) -> None:
    envelope = daemon.says("hi", sender="ann")["id"]
    result = asked(daemon, "explain", envelope)
    assert 'fired: "vip"' in result.stdout
    answer = json.loads(asked(daemon, "explain", envelope, "--json").stdout)
    assert answer["then_actions"] == answer["actions"] == ['tag("vip")', 'reply("hello")']
    missing = asked(daemon, "explain", "01900000-0000-7000-8000-000000000000")
    assert (missing.exit_code, "there is no message" in missing.stderr) == (1, True)


def test_the_rules_in_force_are_listed_with_what_they_did(daemon: Daemon) -> None:
    daemon.says("casino", sender="bob")
    rows = {row["rule"]: row for row in json.loads(asked(daemon, "list", "--json").stdout)}
    assert rows["spam"]["shadow_matched"] >= 1
    assert rows["spam"]["last_match_at"] > 0
    assert "spam" in asked(daemon, "list").stdout


def test_replay_says_which_decisions_an_edit_changes_and_what_a_shadow_would_do(daemon: Daemon, tmp_path: Path) -> None:
    envelope = daemon.says("hi", sender="zoe")["id"]
    daemon.says("casino night", sender="zoe")
    edited = tmp_path / "main.rules"
    edited.write_text(RULES.replace('reply("hello")', 'reply("good day")'))
    answer = json.loads(asked(daemon, "replay", "--since", "1h", "--with", str(edited), "--json").stdout)
    change = next(one for one in answer["changes"] if envelope in one["ids"])
    assert (change["before"], change["after"]) == (['reply("hello")'], ['reply("good day")'])
    assert answer["shadow"]["spam"] >= 1
    assert json.loads(asked(daemon, "replay", "--json").stdout)["changed"] == 0
    shown = asked(daemon, "replay", "--with", str(edited)).stdout
    assert "decided otherwise" in shown
    explained = asked(daemon, "explain", envelope, "--with", str(edited)).stdout
    assert 'on its walk the decision was another: reply("hello")' in explained


def test_the_working_loop_of_the_document_runs_as_written(daemon: Daemon, tmp_path: Path) -> None:
    """Every command of conf/rules.d/README.md, in its order, in the configuration folder of a running gateway."""
    text = (HOUSE / "conf/rules.d/README.md").read_text("utf-8")
    envelope = daemon.says("hi", sender="ann")["id"]
    commands = [line for block in re.findall(r"```shell\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len([line for line in commands if line.startswith("oclaw ")]) >= 8
    runtime = str(daemon.folder.parent / "run")
    env = {"PYTHONPATH": str(HOUSE), "RUNTIME_DIRECTORY": runtime, "PATH": "/usr/bin:/bin"}
    for line in commands:
        words = line.partition("   #")[0].replace("ID", envelope)
        if "rules lsp" in words:
            continue
        script = words.replace("oclaw ", f"{shlex.quote(sys.executable)} -m gateway.cli ", 1)
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd=daemon.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_the_language_server_starts_with_the_names_of_the_configuration(conf: Path) -> None:
    pytest.importorskip("pygls")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}})
    ending = json.dumps({"jsonrpc": "2.0", "method": "exit"})
    spoken = "".join(f"Content-Length: {len(one)}\r\n\r\n{one}" for one in (body, ending))
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "rules", "lsp", "--config", str(conf)],
        input=spoken.encode(), env={"PYTHONPATH": str(HOUSE)}, capture_output=True, check=False, timeout=180,
    )  # fmt: skip
    assert b'"completionProvider"' in done.stdout


def test_a_time_that_no_calendar_has_is_shown_as_a_number() -> None:
    assert [moment(at) for at in (8.64e18, 1e12, float("inf"))] == ["8.64e+18", "1e+12", "inf"]
