"""`oclaw check` tells each fault once: what follows from it is not told besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cli.faults import examine


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path.parent / "state"))
    for name in ("rules.d", "pipelines.d", "hooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "oclaw.toml").write_text('[gateway]\ndefault_pipeline = "chat"\n\n[models.m]\nprovider = "echo"\n')
    (tmp_path / "pipelines.d" / "chat.yaml").write_text("pipeline:\n  - name: a\n    model: m\n")
    (tmp_path / "rules.d" / "a.rules").write_text('WHEN message.content == "x" THEN route_to("chat")\n')
    return tmp_path


def test_a_right_folder_has_none(config: Path) -> None:
    assert examine(config).faults == []


SHOP = '\n[channels.shop]\ntype = "webhook"\nauth = "bearer"\ntokens = ["credential:shop"]\n'


def test_what_systemd_passes_to_the_service_alone_is_no_fault_beside_it(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (config / "oclaw.toml").write_text((config / "oclaw.toml").read_text() + SHOP)
    (config / "rules.d" / "a.rules").write_text('WHEN message.content == "x" THEN forward("shop")\n')
    found = examine(config)
    assert found.faults == []
    (note,) = found.notes
    assert note.startswith("channels.shop needs credential:shop, which systemd passes to the service alone")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(config / "gone"))
    (fault,) = examine(config).faults
    assert "the credential shop: No such file" in fault, "here systemd did pass some"


def test_a_certificate_that_cannot_be_shown_is_told_beside_all_else(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with (config / "oclaw.toml").open("a") as file:
        file.write('[listen]\ntls_certificate = "port.pem"\ntls_key = "/run/credentials/oclaw.service/port-key"\n')
    found = examine(config)
    assert found.faults == []
    (note,) = found.notes
    assert note.startswith("listen needs /run/credentials/oclaw.service/port-key, which systemd passes")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/oclaw.service")
    (config / "rules.d" / "a.rules").write_text('THEN route_to("nowhere")\n')
    certificate, rules = examine(config).faults
    assert certificate.startswith("listen.tls_certificate is not usable") and "port.pem" in certificate
    assert "nowhere" in rules


def test_a_file_that_is_no_toml_is_the_only_fault(config: Path) -> None:
    (config / "oclaw.toml").write_text("x = = 3\n")
    (fault,) = examine(config).faults
    assert "oclaw.toml:1:5 is not TOML" in fault


def test_hooks_in_both_forms_of_toml_are_told_apart_in_words(config: Path) -> None:
    (config / "oclaw.toml").write_text('[hooks]\ninbound = ["max_length"]\n[[hooks.inbound]]\nuse = "max_length"\n')
    (fault,) = examine(config).faults
    assert "hooks.inbound stands there as a list already" in fault


CALLED = """
import math
def message(message): ...
def context(message, context): ...
def more(message, context=None, *, more=None): ...
def any(*given): ...
def none(): ...
def three(one, two, three): ...
def named(*, message): ...
"""


@pytest.mark.parametrize(
    ("function", "hook", "step"),
    [
        ("message", True, True),
        ("context", True, False),
        ("more", True, True),
        ("any", True, True),
        ("math.sqrt", True, True),
        ("none", False, False),
        ("three", False, False),
        ("named", False, False),
    ],
)
def test_a_function_that_could_never_be_called_is_a_fault(config: Path, function: str, hook: bool, step: bool) -> None:
    (config / "hooks" / "own.py").write_text(f"{CALLED}\nit = {function}\n")
    (config / "pipelines.d" / "own.yaml").write_text("pipeline:\n  - name: a\n    function: own:it\n")
    found = [] if step else ["a function that can be called with one argument; it cannot."]
    assert [fault.partition("it must be ")[2] for fault in examine(config).faults] == found
    (config / "pipelines.d" / "own.yaml").unlink()
    with (config / "oclaw.toml").open("a") as file:
        file.write('[hooks]\ninbound = ["own:it"]\n')
    found = [] if hook else ["a function that can be called with one argument, or two; it cannot."]
    assert [fault.partition("it must be ")[2] for fault in examine(config).faults] == found


def test_a_faulty_pipeline_is_not_missing_to_those_who_name_it(config: Path) -> None:
    (config / "pipelines.d" / "chat.yaml").write_text("pipeline:\n  - name: a\n    modell: m\n")
    (fault,) = examine(config).faults
    assert "pipelines.d/chat.yaml" in fault and "modell" in fault


def test_two_files_for_one_pipeline_are_a_fault(config: Path) -> None:
    (config / "pipelines.d" / "chat.yml").write_text("pipeline:\n  - name: a\n    model: m\n")
    (fault,) = examine(config).faults
    assert fault.endswith('chat.yml is another file for the pipeline "chat"; it must be one of another name.')


def test_what_is_no_text_file_is_a_fault_and_nothing_waits_for_it(config: Path) -> None:
    folder = config / "pipelines.d"
    os.mkfifo(folder / "a.yaml")
    (folder / "b.yaml").write_bytes(b"pipeline:\n  - name: \xff\n")
    (folder / "c.yaml").symlink_to("nowhere")
    with (folder / "d.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert examine(config).faults == [
        "pipelines.d/a.yaml is not readable (a pipe, not a plain file); it must be a text file in UTF-8.",
        "pipelines.d/b.yaml is not UTF-8 at byte 20 (line 2); it must be a text file in UTF-8.",
        "pipelines.d/c.yaml is not readable (No such file or directory); it must be a text file in UTF-8.",
        "pipelines.d/d.yaml is 1,099,511,627,776 bytes long; it must be at most 4,000,000.",
    ]


def test_a_pipe_in_the_place_of_any_file_is_a_fault_and_nobody_waits_for_it(config: Path) -> None:
    with (config / "oclaw.toml").open("a") as file:
        file.write(
            '[models.help]\nprovider = "faq"\nfile = "faq.md"\n'
            '[[hooks.inbound]]\nuse = "sensitive_words"\nwords_file = "words.txt"\n'
            '[channels.irc]\ntype = "irc"\nhost = "localhost"\nnick = "o"\ntls_authority = "authority.pem"\n'
        )
    for folder in ("hooks", "rules.d"):
        (config / folder).mkdir(exist_ok=True)
    for name in ("faq.md", "words.txt", "authority.pem", "rules.d/pipe.rules", "hooks/mine.py"):
        os.mkfifo(config / name)
    faults = examine(config).faults
    for name in ("faq.md", "words.txt", "authority.pem", "pipe.rules"):
        assert any(name in fault and "a pipe, not a plain file" in fault for fault in faults), "\n".join(faults)
    places = ("models.help.file is ", "hooks.inbound[0].words_file is ", "channels.irc.tls_authority is ")
    assert all(any(fault.startswith(place) for fault in faults) for place in places), faults
    with (config / "oclaw.toml").open("a") as file:
        file.write('[[hooks.outbound]]\nuse = "mine:sign"\n')
    assert f"{config / 'hooks/mine.py'} is no plain file" in "".join(examine(config).faults)
    (config / "oclaw.toml").unlink()
    os.mkfifo(config / "oclaw.toml")
    (fault,) = examine(config).faults
    assert "oclaw.toml is not readable (a pipe, not a plain file)" in fault


def test_a_faulty_setting_hides_no_fault_in_rules_and_pipelines(config: Path) -> None:
    (config / "oclaw.toml").write_text((config / "oclaw.toml").read_text() + '\n[gatway]\nx = "y"\n')
    (config / "rules.d" / "a.rules").write_text('WHEN message.content == "x" THEN route_to("caht")\n')
    faults = examine(config).faults
    assert len(faults) == 2
    assert "gatway" in faults[0] and 'did you mean "chat"?' in faults[1]


def test_a_faulty_setting_hides_no_fault_in_other_sections(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with (config / "oclaw.toml").open("a") as file:
        file.write(
            '[models.help]\nprovider = "faq"\nfile = "faq.md"\n[models.none]\nprovider = "faqq"\n'
            '[[hooks.inbound]]\nuse = "rate_limit"\nmessages = -1\n'
            '[[hooks.inbound]]\nuse = "sensitive_words"\nwords_file = "words.txt"\n'
            '[channels.in]\ntype = "webhook"\nauth = "none"\nbody_bytes = "many"\n'
            '[channels.out]\ntype = "irc"\nhost = "localhost"\nnick = "o"\ntls_authority = "authority.pem"\n'
            '[channels.shop]\ntype = "webhook"\nauth = "bearer"\ntokens = ["credential:shop"]\n'
        )
    places = sorted(fault.partition(" is ")[0] for fault in examine(config).faults)
    assert places == [
        "channels.in.body_bytes",
        "channels.out.tls_authority",
        "hooks.inbound[0].messages",
        "hooks.inbound[1].words_file",
        "models.help.file",
        "models.none.provider",
    ]


def test_a_folder_that_cannot_be_listed_is_the_one_fault_and_not_all_that_names_what_is_in_it(config: Path) -> None:
    folder = config / "pipelines.d"
    folder.rename(config / "aside")
    folder.write_text("not a folder")
    (fault,) = examine(config).faults
    assert fault == f"{folder} is not readable (Not a directory); it must be a folder that the gateway's user may read."


def test_a_task_of_two_models_is_a_fault(config: Path) -> None:
    models = '[models.p]\nprovider = "echo"\ntasks = ["sum"]\n[models.q]\nprovider = "echo"\ntasks = ["sum"]\n'
    (config / "oclaw.toml").write_text((config / "oclaw.toml").read_text() + models)
    assert examine(config).faults == ['models.q.tasks is "sum"; it must be a task of one model, and models.p has it.']


def test_a_worker_whose_token_is_missing_is_not_missing_to_the_step_that_asks_it(config: Path) -> None:
    with (config / "oclaw.toml").open("a") as file:
        file.write('\n[access.workers]\nshout = "env:NO_SUCH_TOKEN"\n')
    (config / "pipelines.d" / "loud.yaml").write_text("pipeline:\n  - name: shout\n    worker: shout\n")
    (fault,) = examine(config).faults
    assert fault.startswith("access.workers.shout is the environment variable NO_SUCH_TOKEN, which is unset")
