"""`oclaw init` writes what `oclaw check` accepts, and never over what is there."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import scaffold
from gateway.cli.frame import oclaw


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCLAW_CONFIG", raising=False)
    return tmp_path


def run(*command: str) -> Result:
    return CliRunner().invoke(oclaw, command)


def test_the_documented_call_succeeds_and_names_the_secrets_still_to_be_supplied(here: Path) -> None:
    made = run("init", "--env", "prod", "--model", "qianwen-72b", "--channel", "imessage,dingtalk")
    assert made.exit_code == 0, made.output
    for source in ("env:BLUEBUBBLES_PASSWORD", "env:IMESSAGE_PATH_SECRET", "env:DINGTALK_APP_SECRET"):
        assert source in made.output
    written = (here / "oclaw.toml").read_text("utf-8")
    assert '[channels.imessage]\ntype = "imessage"\nenabled = false' in written
    assert '[channels.dingtalk]\ntype = "dingtalk"\nenabled = false' in written
    assert "[models.qianwen-72b]" in written
    for path in ("systemd/oclaw.service", "systemd/oclaw.service.d/network.conf", "prometheus/oclaw.rules.yml"):
        assert (here / path).is_file()
    checked = run("check")
    assert checked.exit_code == 0, checked.output
    assert "no faults in oclaw.toml, 2 pipelines, 1 rule file" in checked.output


def test_a_kept_configuration_is_said_to_lack_what_was_asked_for(here: Path) -> None:
    assert run("init", "--channel", "irc").exit_code == 0
    before = (here / "oclaw.toml").read_text("utf-8")
    again = run("init", "--channel", "irc,slack", "--model", "qianwen-72b")
    assert "oclaw.toml stays as it was, without [models.qianwen-72b], [channels.slack]: copy" in again.stdout
    assert "switched off" not in again.stdout
    assert (here / "oclaw.toml").read_text("utf-8") == before
    assert "stays as it was" not in run("init", "--channel", "irc").stdout


@pytest.mark.parametrize(
    ("servers", "away"),
    [
        ("nameserver 127.0.0.53\noptions edns0", ""),
        ("nameserver 9.9.9.9\nnameserver 2620:fe::fe", ""),
        ("# mine\nnameserver 192.168.7.1\nnameserver 9.9.9.9\nnameserver fe80::1%eth0", "192.168.7.1 fe80::1"),
        ("nameserver 169.254.169.254", "169.254.169.254"),
        ("nameserver 1.2.3.4.5", ""),
        (None, ""),
    ],
)
def test_a_name_server_that_the_service_could_not_reach_is_noted(
    servers: str | None, away: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = here / "resolv.conf"
    if servers is not None:
        place.write_text(servers)
    monkeypatch.setattr(scaffold, "RESOLV_CONF", place)
    made = run("init", "--env", "prod")
    assert made.exit_code == 0
    assert ("names a server there" in made.stdout) == bool(away)
    assert f"IPAddressAllow={away} to it" in made.stdout or not away
    assert "names a server" not in run("init", "dev").stdout


@pytest.mark.parametrize(
    ("env", "models", "channels"),
    list(itertools.product(["dev", "prod"], ["", "qwen:7b,org/model.v2"], ["", "webhook", "imessage"])),
)
def test_every_mixture_is_accepted(env: str, models: str, channels: str) -> None:
    assert run("init", "sub", "--env", env, "--model", models, "--channel", channels).exit_code == 0
    checked = run("check", "--config", "sub", "--json")
    assert (checked.exit_code, json.loads(checked.stdout)["faults"]) == (0, [])


def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_written(here: Path) -> None:
    place = here / "conf" / "hooks"
    place.parent.mkdir()
    place.write_text("mine")
    made = run("init", "conf")
    assert (made.exit_code, made.stdout) == (1, "")
    assert made.stderr == "oclaw: the folder conf/hooks cannot be made: File exists\n"
    assert [path for path in here.rglob("*") if path.is_file()] == [place]


def test_a_channel_type_may_write_a_file_beside_its_section_that_only_the_owner_reads(here: Path) -> None:
    made = run("init", "--channel", "matrix")
    assert made.exit_code == 0, made.output
    path = here / "matrix-registration.yaml"
    first = yaml.safe_load(path.read_text("utf-8"))
    assert first["url"] == "http://127.0.0.1:8420" and first["sender_localpart"] == "oclaw"
    assert len({first["hs_token"], first["as_token"]}) == 2 and path.stat().st_mode & 0o777 == 0o600
    assert "env:MATRIX_HS_TOKEN" in made.output
    assert run("check").exit_code == 0
    run("init", "--channel", "matrix")
    assert yaml.safe_load(path.read_text("utf-8")) == first


def test_slack_brings_the_manifest_of_an_app_and_names_its_secrets(here: Path) -> None:
    made = run("init", "--channel", "slack")
    assert made.exit_code == 0, made.output
    app = yaml.safe_load((here / "slack-manifest.yaml").read_text("utf-8"))
    assert {"chat:write", "im:history"} <= set(app["oauth_config"]["scopes"]["bot"])
    section = tomllib.loads((here / "oclaw.toml").read_text("utf-8"))["channels"]["slack"]
    assert (section["mode"] == "socket") is app["settings"]["socket_mode_enabled"] is True
    assert "env:SLACK_BOT_TOKEN" in made.output and "env:SLACK_APP_TOKEN" in made.output
    assert run("check").exit_code == 0


def test_an_irc_account_is_commented_and_off_until_its_password_is_there(here: Path) -> None:
    made = run("init", "--channel", "irc")
    text = (here / "oclaw.toml").read_text()
    assert '[channels.irc]\ntype = "irc"\nenabled = false' in text and "# The channels to be in" in text
    assert "supply env:IRC_SASL_PASSWORD, then set enabled = true" in made.stdout
    assert run("check").exit_code == 0


def test_an_existing_file_is_kept(here: Path) -> None:
    (here / "oclaw.toml").write_text("# mine\n", "utf-8")
    made = json.loads(run("init", "--json").stdout)
    assert "oclaw.toml" in made["kept"]
    assert (here / "oclaw.toml").read_text("utf-8") == "# mine\n"
    assert json.loads(run("init", "--json").stdout)["written"] == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--channel", "imesage", 'Did you mean "imessage"?'), ("--model", "a b", "is no name for a model")],
)
def test_a_wrong_name_is_refused_before_anything_is_written(here: Path, option: str, value: str, said: str) -> None:
    made = run("init", option, value)
    assert made.exit_code == 1
    assert said in made.stderr
    assert list(here.iterdir()) == []


def test_check_names_faults_of_settings_pipelines_and_rules_at_once(here: Path) -> None:
    run("init")
    with (here / "oclaw.toml").open("a", encoding="utf-8") as file:
        file.write("[journal]\nretention = 3\n")
    (here / "pipelines.d/chat.yaml").write_text("pipeline:\n  - name: a\n    modl: x\n", "utf-8")
    (here / "pipelines.d/broken.yaml").write_text("pipeline: [", "utf-8")
    (here / "rules.d/main.rules").write_text('WHEN message.chanel == "x" THEN route_to("chatt")\n', "utf-8")
    checked = run("check")
    assert checked.exit_code == 78
    for part in (
        "journal.retention is unknown",
        "pipelines.d/chat.yaml:3:5: pipeline[0].modl",
        "pipelines.d/broken.yaml",
        "message.chanel",
        "chatt",
        "faults in oclaw.toml",
    ):
        assert part in checked.stderr, part


def test_check_builds_what_reads_files_and_passes_on_what_it_says(here: Path) -> None:
    run("init")
    (here / "faq.md").unlink()
    assert "models.assistant.file" in run("check").stderr


def test_check_of_an_empty_folder_says_how_to_begin() -> None:
    checked = run("check")
    assert checked.exit_code == 78
    assert "oclaw init" in checked.stderr


def test_a_file_that_the_disk_has_no_room_for_is_not_half_there(here: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        made = run("init")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (made.exit_code, made.stderr) == (1, "oclaw: oclaw.toml cannot be written: File too large\n")
    assert not (here / "oclaw.toml").exists()
    assert run("init").exit_code == 0
    assert run("check").exit_code == 0


def test_the_path_of_the_file_is_as_good_as_that_of_its_folder(here: Path) -> None:
    assert run("init", "demo").exit_code == 0
    checked = run("check", "--config", "demo/oclaw.toml")
    assert (checked.exit_code, checked.stdout.partition(":")[0]) == (0, "demo")


@pytest.mark.parametrize("model", ["4.1", "no", "2026-01-01", "a:", "qwen2.5:7b"])
def test_a_model_may_have_a_name_that_yaml_takes_for_something_else(here: Path, model: str) -> None:
    assert run("init", "--model", model).exit_code == 0
    assert run("check").exit_code == 0, run("check").output


def test_the_unit_that_is_written_is_one_that_systemd_takes(here: Path) -> None:
    assert run("init", "--env", "prod").exit_code == 0
    unit = here / "systemd" / "oclaw.service"
    text = unit.read_text("utf-8")
    # Without these: given up after a minute of a full disk, killed in the middle of a large journal's update, and ended
    # by a hook in a process of its own that takes all the memory.
    for line in ("StartLimitIntervalSec=0", "TimeoutStartSec=15min", "OOMPolicy=continue"):
        assert line in text.splitlines()
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not here")
    unit.write_text(text.replace("/opt/oclaw/bin/oclaw", "/bin/true"), "utf-8")
    told = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False).stderr
    assert "oclaw.service" not in told
