"""What the commands ask the running gateway, what they show, and what they say when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import trio
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from gateway.cli.frame import COMMANDS, oclaw
from gateway.cli.show import table
from gateway.config import paths
from tests.cli.daemon import Asked, Cut, control_socket


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # short: a Unix socket's path may have 107 bytes
        monkeypatch.setenv("RUNTIME_DIRECTORY", folder)
        monkeypatch.setenv("OCLAW_CONFIG", folder)
        yield Path(folder)


def asking(runtime: Path, answers: dict[str, tuple[int, Any]], *command: str) -> tuple[Result, Asked]:
    with control_socket(paths.control_socket(runtime, {"RUNTIME_DIRECTORY": str(runtime)}), answers) as asked:
        return CliRunner().invoke(oclaw, command), asked


@pytest.mark.parametrize("command", [["status"], ["send", "hi", "--channel", "c"], ["trace", "x"], ["dead", "list"]])
def test_without_a_gateway_a_command_says_how_to_start_one(runtime: Path, command: list[str]) -> None:
    elsewhere = CliRunner().invoke(oclaw, command)
    assert (elsewhere.exit_code, "holds no oclaw.toml: name the gateway's folder" in elsewhere.stderr) == (69, True)
    nowhere = CliRunner().invoke(oclaw, [*command, "--config", str(runtime / "nowhere")])
    assert f"{runtime.resolve()}/nowhere holds no oclaw.toml" in nowhere.stderr
    (runtime / "oclaw.toml").touch()
    result = CliRunner().invoke(oclaw, command)
    assert result.exit_code == 69
    assert f"no gateway is running for {runtime.resolve()}: start it with oclaw run --config {runtime}" in result.stderr


@pytest.mark.parametrize("how", ["<&-", "0>/dev/null"], ids=["closed", "nohup"])
def test_standard_input_that_cannot_be_read_is_told(runtime: Path, how: str) -> None:
    closed = ["sh", "-c", f'exec "$0" -m gateway.cli send - --channel c {how}', sys.executable]
    done = subprocess.run(closed, capture_output=True, text=True, check=False)
    assert (done.returncode, "which is closed here: pipe something in" in done.stderr) == (1, True)


def test_a_socket_left_behind_by_a_kill_is_no_gateway(runtime: Path) -> None:
    import socket

    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(paths.control_socket(runtime, {"RUNTIME_DIRECTORY": str(runtime)})))
    dead.close()
    assert CliRunner().invoke(oclaw, ["status"]).exit_code == 69


def test_a_long_cell_is_cut_on_a_terminal_alone_and_one_that_says_why_at_the_end_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    why = "connection refused, " * 20
    rows = [{"name": "irc", "why": why, "restarts": "3"}, {"name": "web", "restarts": "0"}]
    assert table(rows)[1:] == [f"irc   {why}  3", f"web   {' ' * 60}  0"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert table(rows)[1:] == [f"irc   {why[:59]}…  3", f"web   {' ' * 60}  0"]
    assert table([{"name": "irc", "why": why}])[1] == f"irc   {why}".rstrip()


def test_status_shows_tables_and_fails_when_not_ready(runtime: Path) -> None:
    answer = {
        "ready": False,
        "problems": ["the gateway is draining", "the event loop is 1.2 s late"],
        "state": "draining",
        "uptime_seconds": 12.5,
        "channels": [{"name": "irc", "state": "failed", "error": "bad password"}, {"name": "web", "state": "running"}],
    }
    result, _ = asking(runtime, {"GET /status": (200, answer)}, "status")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "ready           no",
        "problems        the gateway is draining, the event loop is 1.2 s late",
        "state           draining",
        "uptime seconds  12.5",
        "",
        "channels:",
        "  NAME  STATE    ERROR",
        "  irc   failed   bad password",
        "  web   running",
    ]
    result, _ = asking(runtime, {"GET /status": (200, answer)}, "status", "--json")
    assert json.loads(result.stdout) == answer


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
def test_status_fails_also_when_a_running_gateway_cannot_serve(runtime: Path, ready: bool, code: int) -> None:
    answer = {"ready": ready, "state": "ready", "problems": [] if ready else ["the journal cannot write: disk full"]}
    result, _ = asking(runtime, {"GET /status": (200, answer)}, "status")
    assert result.exit_code == code


def test_send_hands_over_the_message_and_shows_the_reply(runtime: Path) -> None:
    answer = {"id": "e1", "state": "done", "replies": [{"content": "hi yourself"}]}
    result, asked = asking(runtime, {"POST /send": (200, answer)}, "send", "hello", "--channel", "web", "--wait", "3")
    assert result.exit_code == 0
    assert "hi yourself" in result.stdout
    body = {"channel": "web", "conversation": "oclaw-send", "sender": "operator", "content": "hello", "wait_seconds": 3}
    assert asked.requests == [("POST", "/send", body)]


def test_a_refusal_is_the_gateways_sentence(runtime: Path) -> None:
    answers = {"GET /trace/nope": (404, {"title": "Not found", "detail": "no message has the id nope"})}
    result, _ = asking(runtime, answers, "trace", "nope")
    assert (result.exit_code, result.stderr) == (1, "oclaw: no message has the id nope\n")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([], "none: no setting, rule, pipeline or hook is another"),
        (["rules changed", "a went"], "rules changed, a went"),
    ],
)
def test_a_reload_says_what_changed_and_when_nothing_did(runtime: Path, changes: list[str], told: str) -> None:
    answers = {"POST /reload": (200, {"applied": True, "generation": 2, "changes": changes})}
    result, _ = asking(runtime, answers, "reload")
    assert result.stdout.splitlines() == ["applied     yes", "generation  2", f"changes     {told}"]


def test_a_refused_reload_names_every_problem_and_exits_78(runtime: Path) -> None:
    answers = {"POST /reload": (422, {"detail": "No. a b", "problems": ["a is wrong", "b is wrong"]})}
    result, _ = asking(runtime, answers, "reload")
    assert result.exit_code == 78
    assert result.stderr.splitlines()[1:] == ["  a is wrong", "  b is wrong"]


def test_status_leaves_out_what_is_nought_except_for_programs(runtime: Path) -> None:
    answer = {"state": "ready", "counters": {"accepted": 3, "dead": 0}, "queues": {"lanes": 0}, "last_errors": []}
    result, _ = asking(runtime, {"GET /status": (200, answer)}, "status")
    assert result.stdout.splitlines() == ["state  ready", "", "counters:", "  accepted  3"]
    result, _ = asking(runtime, {"GET /status": (200, answer)}, "status", "--json")
    assert json.loads(result.stdout) == answer


@pytest.mark.parametrize("typed", [[], ["statsu"]], ids=["nothing yet", "a command that is none"])
def test_a_shell_may_complete_commands_whatever_was_typed_before(typed: list[str]) -> None:
    found = ShellComplete(oclaw, {}, "oclaw", "_OCLAW_COMPLETE").get_completions(typed, "stat")
    assert [each.value for each in found] == ["status"]


def test_an_id_with_odd_characters_stays_one_part_of_the_path(runtime: Path) -> None:
    _, asked = asking(runtime, {}, "trace", "../dead?x=/1")
    assert asked.requests == [("GET", "/trace/..%2Fdead%3Fx%3D%2F1", None)]


@pytest.mark.parametrize(
    "command", [("send", "--channel=c", "a\udcff"), ("trace", "\udcff"), ("send", "--channel=c", "-")]
)
def test_what_is_no_text_is_refused_in_a_sentence(runtime: Path, command: tuple[str, ...]) -> None:
    with control_socket(paths.control_socket(runtime, {"RUNTIME_DIRECTORY": str(runtime)}), {}):
        result = CliRunner().invoke(oclaw, command, input=b"a\xff")
    assert (result.exit_code, result.stderr) == (1, "oclaw: what was given is not text in UTF-8\n")


def test_what_a_terminal_has_no_character_for_is_escaped() -> None:
    result = CliRunner(charset="latin-1").invoke(oclaw, ["init", "--help"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "NAME,\\u2026" in result.stdout


async def interrupted() -> None:
    async with trio.open_nursery() as outer, trio.open_nursery():
        outer.start_soon(trio.sleep_forever)
        raise KeyboardInterrupt


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = click.Command("wait", callback=lambda: trio.run(interrupted))
    monkeypatch.setitem(sys.modules, "waits", SimpleNamespace(command=waits))
    monkeypatch.setitem(COMMANDS, "wait", ("waits", "Wait."))
    result = CliRunner().invoke(oclaw, ["wait"])
    assert (result.exit_code, result.stderr.strip()) == (1, "Aborted!")


def test_no_error_steers_the_terminal(runtime: Path) -> None:
    refusal = {"detail": "there is no channel \x1b[2J\x9b1m\u202e;\ntry another"}
    result, _ = asking(runtime, {"GET /trace/x": (404, refusal)}, "trace", "x")
    assert result.stderr == "oclaw: there is no channel \ufffd[2J\ufffd1m\ufffd;\ntry another\n"


def test_dead_letters_are_listed_retried_and_dropped_only_when_confirmed(runtime: Path) -> None:
    answers: dict[str, tuple[int, Any]] = {
        "GET /dead?kind=inbound&limit=2": (200, [{"id": "a", "why": "poison"}]),
        "POST /dead/a/retry": (200, None),
        "POST /dead/a/drop": (200, {"id": "a", "state": "dropped"}),
    }
    listed, _ = asking(runtime, answers, "dead", "list", "--kind", "inbound", "--limit", "2")
    assert listed.stdout.splitlines() == ["ID  WHY", "a   poison"]
    _, asked = asking(runtime, answers, "dead", "retry", "a")
    assert asked.requests == [("POST", "/dead/a/retry", None)]
    kept, asked = asking(runtime, answers, "dead", "drop", "a")
    assert (kept.exit_code, asked.requests) == (1, [])
    assert "--yes does it without asking" in kept.stderr
    dropped, asked = asking(runtime, answers, "dead", "drop", "a", "--yes", "--json")
    assert json.loads(dropped.stdout) == {"id": "a", "state": "dropped"}


def test_a_trace_is_one_table_of_stages_and_attempts_with_their_times(runtime: Path) -> None:
    why = "Cannot connect to a host with a name that is rather long: Connection refused, and so on"
    attempt = {"at": 1.8e9 + 2.5, "stage": "attempt", "outcome": "deferred", "by": "", "why": why, "attempt": 1}
    reply = {"id": "m.0", "channel": "shop", "state": "deferred", "steps": [attempt]}
    steps = [
        {"at": 1.8e9 + 0.25, "stage": "accept", "outcome": "accepted", "seconds": 0.0},
        {"at": 1.8e9 + 3, "stage": "person", "outcome": "retried", "by": "operator"},
    ]
    trace = {"id": "m", "received_at": 1.8e9, "steps": steps, "deliveries": [reply]}
    result, _ = asking(runtime, {"GET /trace/m": (200, trace)}, "trace", "m")
    accepted, tried, person = result.stdout.split("STAGE")[1].splitlines()[1:4]
    assert ".250  0.250 s  accept" in accepted
    assert ".500  2.500 s  attempt  deferred  reply 0 to shop" in tried and why in tried
    assert "3.000 s  person" in person
    same, _ = asking(runtime, {"GET /trace/m": (200, trace)}, "trace", "m", "--json")
    assert json.loads(same.stdout) == trace


def test_all_dead_letters_are_retried_the_oldest_first(runtime: Path) -> None:
    ids = ["02.10", "02.9", "03", "01.0"]
    answers: dict[str, Any] = {f"POST /dead/{each}/retry": (200, None) for each in ids}
    answers["GET /dead/export"] = (200, [{"letter": {"id": each}} for each in ids])
    result, asked = asking(runtime, answers, "dead", "retry", "--all")
    assert result.exit_code == 0
    assert [path for _, path, _ in asked.requests[1:]] == [f"/dead/{e}/retry" for e in ["01.0", "02.9", "02.10", "03"]]
    for words in ([], ["--all", "03"]):
        result, asked = asking(runtime, answers, "dead", "retry", *words)
        assert (result.exit_code, asked.requests) == (2, [])


def test_dead_letters_are_exported_line_by_line_as_people_read_them(runtime: Path) -> None:
    story = {"letter": {"id": "a", "why": "é"}, "trace": {"id": "a"}}
    result, asked = asking(runtime, {"GET /dead/export": (200, [story, story])}, "dead", "export")
    assert asked.requests == [("GET", "/dead/export", None)]
    assert result.stdout.splitlines() == [json.dumps(story, ensure_ascii=False)] * 2


@pytest.mark.parametrize("command", ["dead export", "tail"])
def test_a_stream_that_breaks_off_is_not_taken_for_a_whole_one(runtime: Path, command: str) -> None:
    cut = {f"GET /{command.replace(' ', '/')}": (200, Cut([{"notice": "first"}]))}
    result, _ = asking(runtime, cut, *command.split())
    assert (result.exit_code, "first" in result.stdout) == (69, True)
    assert result.stderr == "oclaw: the gateway broke off in the middle of its answer: it has stopped\n"


def test_an_export_of_nothing_takes_the_place_of_the_one_before(runtime: Path) -> None:
    target = runtime / "dead.jsonl"
    target.write_text("yesterday's\n")
    result, _ = asking(runtime, {"GET /dead/export": (200, [])}, "dead", "export", "--to", str(target))
    assert (result.exit_code, target.read_text()) == (0, "")


def test_a_full_disk_is_a_sentence(runtime: Path) -> None:
    story = {"letter": {"id": "a"}}
    result, _ = asking(runtime, {"GET /dead/export": (200, [story])}, "dead", "export", "--to", "/dev/full")
    assert (result.exit_code, result.stderr) == (
        1,
        "oclaw: not everything could be written: No space left on device\n",
    )
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gateway.cli", "completion", "fish"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, result.stderr)


@pytest.mark.parametrize("words", ["dead retry", "dead drop --yes", "held release", "held drop --yes"])
def test_what_is_refused_for_one_does_not_keep_the_others_from_it(runtime: Path, words: str) -> None:
    section, verb = words.split()[:2]
    answers = {f"POST /{section}/{each}/{verb}": (200, {"id": each, "state": "it"}) for each in "ac"}
    result, asked = asking(runtime, answers, *words.split(), "a", "b", "c", "--json")
    assert [target.split("/")[2] for _, target, _ in asked.requests] == ["a", "b", "c"]
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["a", "c"]
    assert (result.exit_code, result.stderr) == (1, "oclaw: there is no such thing\n")


@pytest.mark.parametrize(("section", "query"), [("held", "limit=2"), ("dead", "limit=2")])
def test_a_list_that_may_have_been_cut_says_so(runtime: Path, section: str, query: str) -> None:
    answers = {f"GET /{section}?{query}": (200, [{"id": "a"}, {"id": "b"}])}
    result, _ = asking(runtime, answers, section, "list", "--limit", "2", "--json")
    assert [row["id"] for row in json.loads(result.stdout)] == ["a", "b"]
    assert result.stderr == "These are 2, and there may be more (--limit, at most 1000).\n"


def test_json_steers_no_terminal_and_is_json_in_any_encoding(runtime: Path) -> None:
    answer = {"state": "failed", "ready": True, "why": "é \U0001f600 \x1b[2J \x9b1A \x7f \u202e"}
    for charset, holds in (("utf-8", "é"), ("latin-1", "\\u00e9")):
        with control_socket(paths.control_socket(runtime, {"RUNTIME_DIRECTORY": str(runtime)}), {}) as asked:
            asked.answers["GET /status"] = (200, answer)
            result = CliRunner(charset=charset).invoke(oclaw, ["status", "--json"])
        assert json.loads(result.stdout) == answer
        assert holds in result.stdout and result.stdout.rstrip("\n").isprintable()


def test_an_empty_list_says_nothing_is_there(runtime: Path) -> None:
    result, _ = asking(runtime, {"GET /held?limit=50": (200, [])}, "held", "list")
    assert result.stdout == "nothing\n"


def test_tail_prints_a_line_a_notice_and_never_a_control_character(runtime: Path) -> None:
    notices = [
        {"at": 1.0, "notice": "EnvelopeAccepted", "level": "debug", "envelope_id": "e1", "channel": "web"},
        {"at": 2.0, "notice": "EnvelopeRejected", "level": "info", "channel": "irc", "why": "\x1b[2Jred"},
    ]
    result, _ = asking(runtime, {"GET /tail": (200, notices)}, "tail", "--channel", "irc")
    assert "EnvelopeRejected" in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert "EnvelopeAccepted" not in result.stdout
    result, _ = asking(runtime, {"GET /tail": (200, notices)}, "tail", "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == notices


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_a_line_in_the_list(name: str) -> None:
    result = CliRunner().invoke(oclaw, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert COMMANDS[name][1] in CliRunner().invoke(oclaw, ["--help"], terminal_width=200).output


@pytest.mark.parametrize("name", [name for name in COMMANDS if hasattr(oclaw.get_command(None, name), "commands")])
def test_a_command_of_several_tells_what_each_does_to_the_end_of_the_sentence(name: str) -> None:
    listed = CliRunner().invoke(oclaw, [name, "--help"], terminal_width=80).output.partition("Commands:")[2]
    assert listed and "..." not in listed


def test_an_unknown_command_names_the_nearest() -> None:
    result = CliRunner().invoke(oclaw, ["stats"])
    assert (result.exit_code, 'Did you mean "status"?' in result.stderr) == (2, True)


def test_a_folder_given_as_an_argument_is_taken_for_what_was_meant(runtime: Path) -> None:
    (runtime / "oclaw.toml").touch()
    done = CliRunner().invoke(oclaw, ["check", str(runtime)])
    assert (done.exit_code, f"Did you mean --config {runtime}?" in done.stderr) == (2, True)
    for other in ("elsewhere", "x" * 300):  # the second is longer than a file's name can be
        done = CliRunner().invoke(oclaw, ["check", other])
        assert (done.exit_code, "Did you mean" in done.stderr) == (2, False)
    missing = CliRunner().invoke(oclaw, ["check", "--config", str(runtime / "x" / "oclaw.toml")])
    assert missing.stderr.startswith(f"{runtime}/x/oclaw.toml is missing")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_oclaw(shell: str) -> None:
    result = CliRunner().invoke(oclaw, ["completion", shell])
    assert (result.exit_code, "_OCLAW_COMPLETE" in result.stdout) == (0, True)


def test_help_imports_no_command_and_no_trio() -> None:
    script = "import sys; from gateway.cli.frame import oclaw; oclaw(['--help'], standalone_mode=False)\n"
    script += "heavy = {'trio', 'msgspec', 'gateway.cli.init', 'gateway.cli.run', 'asyncio'} & set(sys.modules)\n"
    script += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_keys_are_made_listed_and_rotated_without_showing_a_secret(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (runtime / "oclaw.toml").write_text("", "utf-8")
    assert "first oclaw run" in CliRunner().invoke(oclaw, ["keys", "list"]).stderr
    assert CliRunner().invoke(oclaw, ["keys", "new"]).exit_code == 0
    assert "already" in CliRunner().invoke(oclaw, ["keys", "new"]).stderr
    rotated = CliRunner().invoke(oclaw, ["keys", "rotate", "--json"])
    rows = json.loads(rotated.stdout)
    assert [row["role"] for row in rows] == ["active", "retired"]
    assert "no gateway is running" in rotated.stderr
    assert json.loads(CliRunner().invoke(oclaw, ["keys", "list", "--json"]).stdout) == rows
    assert all(set(row) == {"key", "role", "since"} for row in rows)


def test_a_file_that_the_system_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/oclaw/journal.sqlite3")

    monkeypatch.setattr("gateway.cli.journal._place", refuse)
    result = CliRunner().invoke(oclaw, ["journal", "info"])
    said = "oclaw: /var/lib/oclaw/journal.sqlite3: Permission denied. Are you the gateway's user?\n"
    assert (result.exit_code, result.stderr) == (1, said)
