"""Everything wrong with a configuration is said at once, and a right one becomes typed settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.outline import outline
from gateway.config.settings import Settings
from gateway.errors import SettingErrors
from gateway.plugins import PluginTable

BROKEN = """
[gateway]
state_dir = "x"
deadlin_ms = 3
drain_seconds = "20"
time_zone = "Mars/Olympus"
[listen]
addresses = ["foo"]
max_connections = 0
tls_key = "a"
[bogus]
a = 1
[channels.a]
type = "imesage"
[channels.b]
type = "imessage"
server_url = "x"
password = "hunter2"
path_secret = "env:NOPE"
[channels.c]
type = "dingtalk"
enabled = false
app_key = "x"
app_secret = "env:NOT_NEEDED_WHILE_SWITCHED_OFF"
frob = 2
[hooks]
inbound = ["my_hooks:preprocess_hook", {use = "nope", only = ["x"], policy = "foo"}, 3]
[delivery]
max_backoff_seconds = 0.5
"""

FAULTS = """\
bogus is unknown; it must be a section of oclaw.toml.
gateway.deadlin_ms is unknown; it must be a setting of [gateway]. Did you mean "deadline_ms"?
gateway.drain_seconds is "20"; it must be a number from 0 to 3600.
gateway.time_zone is "Mars/Olympus"; it must be the name of a time zone, such as "Europe/London".
listen.max_connections is 0; it must be a whole number of at least 1.
listen.addresses[0] is "foo"; it must be an address and a port, such as "127.0.0.1:8420" or "[::1]:8420".
listen.tls_certificate is missing; it must be set too: certificate and key go together.
delivery.max_backoff_seconds is 0.5; it must be at least first_backoff_seconds.
channels.a.type is "imesage"; it must be a channel type that is there: dingtalk, grpc, imessage, irc, matrix, slack, \
webchat, webhook, websocket. Did you mean "imessage"?
channels.b.password is a secret written out in the file; it must be env:NAME, file:PATH or credential:NAME, which say \
where the secret is kept. Move it out of the file, for example into a variable: password = "env:NAME".
channels.b.path_secret is the environment variable NOPE, which is unset; it must be a secret with a value. \
Set NOPE and start again.
channels.b.enabled is true; it must be false. The iMessage adapter is not part of this version; keep the section, \
switched off, until it is.
channels.c.frob is unknown; it must be a setting of [channels.c].
hooks.inbound[0].use is "my_hooks:preprocess_hook"; it must be "module:function" with a module in {hooks}, where \
my_hooks.py is not found.
hooks.inbound[1].use is "nope"; it must be a hook that is there: allowlist, max_length, rate_limit, sensitive_words.
hooks.inbound[1].policy is "foo"; it must be "hold", "reject" or "skip".
hooks.inbound[2] is 3; it must be a table.
gateway.state_dir is "x"; it must be outside the folder of oclaw.toml, in which nothing is written."""


def loaded(directory: Path, toml: str, **environment: str) -> Settings:
    (directory / "oclaw.toml").write_text(toml, "utf-8")
    return load(directory, PluginTable(directory / "hooks"), environment)


def faults(directory: Path, toml: str, **environment: str) -> list[str]:
    with pytest.raises(SettingErrors) as caught:
        loaded(directory, toml, **environment)
    return [str(problem) for problem in caught.value.problems]


def test_every_fault_of_a_broken_file_is_named_at_once(tmp_path: Path) -> None:
    wanted = FAULTS.replace("{hooks}", str(tmp_path / "hooks")).splitlines()
    assert faults(tmp_path, BROKEN) == wanted


def test_a_misspelt_type_key_is_recognised(tmp_path: Path) -> None:
    assert faults(tmp_path, '[models.x]\nprovder = "echo"') == [
        'models.x.provder is unknown; it must be a setting of [models.x]. Did you mean "provider"?',
        "models.x.provider is missing; it must be text in quotes, not empty.",
    ]


def test_a_file_that_is_not_toml_is_named_with_line_and_column(tmp_path: Path) -> None:
    place = tmp_path / "oclaw.toml"
    assert faults(tmp_path, "[gateway]\nx = = 3") == [
        f"{place}:2:5 is not TOML (Invalid value); it must be a TOML file."
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[rules]\ndir = "a\\u0000b"', "rules.dir"),
        ('[listen]\naddresses = ["127.0.0.1:1", "\\u0000"]', "listen.addresses[1]"),
        ('[[hooks.inbound]]\nuse = "x\\u0000"', "hooks.inbound[0].use"),
    ],
)
def test_a_nul_character_is_named_where_it_stands(tmp_path: Path, text: str, place: str) -> None:
    assert faults(tmp_path, text) == [f"{place} is a NUL character; it must be a text without one."]


@pytest.mark.parametrize("text", [f"x = {'[' * 2000}1{']' * 2000}", f"[{'.'.join('a' * 2000)}]"])
def test_what_nests_too_deeply_is_named_and_no_traceback(tmp_path: Path, text: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert fault.startswith(f"{tmp_path / 'oclaw.toml'} is nested too deeply")


def test_a_folder_without_a_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingErrors, match="oclaw init"):
        load(tmp_path, PluginTable())


def test_an_empty_file_gives_every_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "", HOME="/home/op")
    assert settings.listen.addresses == ("127.0.0.1:8420",)
    assert settings.gateway.deadline_ms == 200
    assert settings.state_dir.parent == Path("/home/op/.local/state/oclaw")
    assert settings.rules_dir == tmp_path / "rules.d"


def test_the_state_folder_may_not_lie_in_the_configuration(tmp_path: Path) -> None:
    assert "nothing is written" in faults(tmp_path, '[gateway]\nstate_dir = "state"')[0]
    settings = loaded(tmp_path, '[gateway]\nstate_dir = "state"', STATE_DIRECTORY="/var/lib/oclaw")
    assert settings.state_dir == Path("/var/lib/oclaw")


CHANNEL = """
[channels.phone]
type = "imessage"
enabled = false
server_url = "http://192.0.2.10:1234"
password = "{}"
path_secret = "env:P"
"""


def test_a_switched_off_channel_is_checked_but_needs_no_secrets(tmp_path: Path) -> None:
    entry = loaded(tmp_path, CHANNEL.format("credential:bb")).channels["phone"]
    assert (entry.name, entry.type, entry.enabled) == ("phone", "imessage", False)
    assert repr(entry.settings.password) == "Secret('credential:bb')"


@pytest.mark.parametrize("literal", ["hunter2", "env:", "vault:x"])
def test_a_secret_written_out_is_refused_and_not_repeated(tmp_path: Path, literal: str) -> None:
    (fault,) = faults(tmp_path, CHANNEL.format(literal))
    assert "written out" in fault
    assert literal not in fault.replace("env:NAME", "")


@pytest.mark.parametrize("name", ["", "a/b c", "x" * 65, "ünïcode", "a\\nb"])
def test_a_channel_has_a_name_that_can_stand_in_its_address(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingErrors, match="as it stands in the address"):
        loaded(tmp_path, f'[channels."{name}"]\ntype = "webchat"\n')


def test_a_wrong_address_and_pointer_are_said_in_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(SettingErrors) as caught:
        loaded(
            tmp_path,
            '[channels.w]\ntype = "webhook"\nauth = "none"\ndeliver_url = "ftp://x"\nfields = { text = "t" }\n',
        )
    address, pointer = sorted(map(str, caught.value.problems))
    assert address.startswith('channels.w.deliver_url is "ftp://x", which is no absolute http or https URL; it must be')
    assert pointer == (
        'channels.w.fields.text is "t", which does not begin with /; it must be a JSON pointer such as /data/text.'
    )


def test_nothing_raises_but_setting_errors_when_sections_are_of_the_wrong_kind(tmp_path: Path) -> None:
    assert len(faults(tmp_path, "gateway = 1\nlisten = []\nchannels = 2\nhooks = 3\nmodels = [1]\nrules = {}")) == 6
    assert len(faults(tmp_path, "[channels]\na = 1\n[models]\nb = []\n[hooks]\ninbound = 'x'\noutbond = []")) == 4


def test_a_byte_order_mark_before_the_first_line_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "oclaw.toml").write_bytes(b'\xef\xbb\xbf[gateway]\r\ndefault_pipeline = "chat"\r\n')
    assert load(tmp_path, PluginTable(), {}).gateway.default_pipeline == "chat"
    assert outline(tmp_path).default_pipeline == "chat"


def test_a_file_that_nests_too_deeply_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "oclaw.toml").write_text("a = " + "[" * 5000)
    assert not outline(tmp_path).known


def test_a_text_of_a_wrong_length_is_told_the_right_one(tmp_path: Path) -> None:
    toml = '[gateway]\ntime_zone = ""\n[[hooks.inbound]]\nuse = "sensitive_words"\nwords_file = "w"\nmask = "**"\n'
    assert faults(tmp_path, toml) == [
        'gateway.time_zone is ""; it must be text in quotes, not empty.',
        'hooks.inbound[0].mask is "**"; it must be text in quotes of 1 character.',
    ]


def test_a_home_that_is_not_there_is_a_fault_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,) = faults(tmp_path, '[gateway]\nstate_dir = "~no-such-user/oclaw"')
    assert fault.startswith('gateway.state_dir is "~no-such-user/oclaw", where nobody is at home; it must be a folder')
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    (fault,) = faults(tmp_path, "")
    assert fault.startswith("gateway.state_dir is unset, and this user has no home folder; it must be a folder")


@pytest.mark.parametrize(
    ("one", "other", "wrong"),
    [
        ("127.0.0.1:8420", "127.0.0.1:8420", True),
        ("0.0.0.0:8420", "127.0.0.1:8420", True),
        ("[::1]:8420", "[::]:8420", True),
        ("0.0.0.0:8420", "[::]:8420", False),
        ("0.0.0.0:8420", "127.0.0.1:8421", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("127.0.0.1:8420", "192.0.2.1:8420", False),
    ],
)
def test_an_address_that_another_one_covers_is_a_fault(tmp_path: Path, one: str, other: str, wrong: bool) -> None:
    toml = f'[listen]\naddresses = ["{one}", "{other}"]'
    if wrong:
        wanted = f'left out, or of another port: "{one}" is there already'
        assert faults(tmp_path, toml) == [f'listen.addresses[1] is "{other}"; it must be {wanted}.']
    else:
        assert loaded(tmp_path, toml).listen.addresses == (one, other)
