"""IRC without a socket: lines, the session, and texts in both directions."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels.irc_lines import Line, Lines, encode, folded, parse
from gateway.channels.irc_session import Gone, Login, Moved, Ready, Said, Send, Session, Strange, Wrong
from gateway.channels.irc_text import action_of, budget, ctcp_of, lines_of, plain, said
from gateway.message.message import Attachment

TAGS = {"time": "x", "msgid": "a b;", "+d": ""}
LOGIN = Login(nick="oclaw", username="oclaw", realname="gateway")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"PING :a b", Line("PING", ("a b",))),
        (b":n!u@h PRIVMSG #c :hi: there", Line("PRIVMSG", ("#c", "hi: there"), "n", "u", "h")),
        (b":irc.example 001 me :Welcome", Line("001", ("me", "Welcome"), "irc.example")),
        (b"@time=x;msgid=a\\sb\\:;+d :n!u@h JOIN #c", Line("JOIN", ("#c",), "n", "u", "h", TAGS)),
        (b":n PRIVMSG  #c   :", Line("PRIVMSG", ("#c", ""), "n")),
        (b":n!u@h PRIVMSG #c :caf\xe9", Line("PRIVMSG", ("#c", "café"), "n", "u", "h")),
        (b"", None),
        (b":only", None),
        (b"@a=b", None),
    ],
)  # fmt: skip
def test_a_line_is_read(raw, line):
    assert parse(raw) == line


@given(st.binary(max_size=600))
def test_any_bytes_are_read_and_obeyed_without_raising(raw):
    session = Session(LOGIN)
    for line in Lines().feed(raw + b"\r\n"):
        session.take(line)


WORDS = "PRIVMSG|001|CAP|LS|*|NICK|433|AUTHENTICATE|376|KICK|oclaw|#c|\n|\x01|+|ACK|sasl|JOIN|005|CHANTYPES=|:| "


@given(st.lists(st.sampled_from(WORDS.encode().split(b"|"))))
def test_any_conversation_of_a_server_is_obeyed_without_raising(parts):
    session = Session(
        Login(nick="oclaw", username="o", realname="r", channels=("#c",), sasl_user="u", sasl_password="p")
    )
    session.begin()
    for line in Lines().feed(b"".join(parts) + b"\n"):
        session.take(line)
    session.tidy()


@given(st.binary(max_size=300), st.integers(1, 20))
def test_how_the_bytes_come_makes_no_difference(stream, size):
    whole, pieces = Lines().feed(stream), Lines()
    assert [line for at in range(0, len(stream), size) for line in pieces.feed(stream[at : at + size])] == whole


def test_an_endless_line_is_dropped_and_the_next_one_is_read():
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 1000) == []
    assert lines.feed(b"end\r\nPING :a\r\n") == [Line("PING", ("a",))]
    assert len(lines._held) < 10_000


@given(st.text(max_size=700))
def test_whatever_is_said_is_one_line_of_at_most_512_bytes(text):
    line = encode("PRIVMSG", "#c", said(text))
    assert line.endswith(b"\r\n") and len(line) <= 512
    assert not {b"\r", b"\n", b"\0"} & {line[i : i + 1] for i in range(len(line) - 2)}
    (read,) = Lines().feed(line)
    assert read.command == "PRIVMSG" and read.params[0] == "#c"


@pytest.mark.parametrize("word", ["", "a b", "a\nb", ":a", "a\0"])
def test_a_parameter_that_would_move_the_others_is_refused(word):
    with pytest.raises(ValueError, match="cannot stand"):
        encode("PRIVMSG", word, "x")


def talk(session, *lines):
    effects = session.begin()
    for line in lines:
        effects += session.take(parse(line.encode()))
    return effects


def sent(effects):
    return [effect.line.decode().rstrip() for effect in effects if isinstance(effect, Send)]


def test_registration_without_anything_special():
    session = Session(LOGIN)
    effects = talk(session, ":s CAP * LS :multi-prefix", ":s 001 oclaw :Hi", ":s 422 oclaw :no motd")
    assert sent(effects) == ["CAP LS :302", "NICK :oclaw", "USER oclaw 0 * :gateway", "CAP :END"]
    assert effects[-1] == Ready() and session.ready


def test_sasl_over_several_lines_of_capabilities():
    login = Login(nick="oclaw", username="o", realname="r", sasl_user="u", sasl_password="p" * 300)
    effects = talk(Session(login), ":s CAP * LS * :a b", ":s CAP * LS :sasl=PLAIN server-time",
                   ":s CAP * ACK :server-time sasl", "AUTHENTICATE +", ":s 903 oclaw :ok")  # fmt: skip
    lines = sent(effects)
    assert lines[3:5] == ["CAP REQ :server-time sasl", "AUTHENTICATE :PLAIN"]
    proof = "".join(line.removeprefix("AUTHENTICATE :") for line in lines[5:-1])
    assert base64.b64decode(proof) == b"u\0u\0" + b"p" * 300 and lines[-1] == "CAP :END"


def test_a_password_is_said_where_it_was_asked_for_and_once():
    def proofs(login, *lines):
        said = sent(talk(Session(login), *lines))
        return [line for line in said if line.startswith("AUTHENTICATE") and "PLAIN" not in line]

    login = Login(nick="oclaw", username="o", realname="r", sasl_user="u", sasl_password="p")
    assert proofs(login, "AUTHENTICATE +") == []
    assert len(proofs(login, ":s CAP * ACK :sasl", "AUTHENTICATE +", "AUTHENTICATE +")) == 1
    assert proofs(LOGIN, ":s CAP * ACK :sasl", "AUTHENTICATE +") == []


def test_what_a_server_makes_up_costs_bounded_memory():
    session = Session(LOGIN)
    talk(session, ":s 001 oclaw :Hi", ":s 422 oclaw :no motd")
    for number in range(3000):
        session.take(parse(f":s CAP * LS * :made-up-{number}".encode()))
        session.take(parse(f":oclaw!o@h JOIN #{number}".encode()))
        session.take(parse(f":s KICK #k{number} oclaw :out".encode()))
        session.take(parse(f":oclaw!o@h JOIN #put-into-{number}".encode()))
        session.take(parse(f":s KICK #put-into-{number} oclaw :out".encode()))
    assert len(session.joined) <= 500 and not session.refused and not session._offered
    session.take(parse(b":oclaw!o@h NICK " + b"x" * 8000))
    assert len(session.nick) == 64


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (":s 904 * :SASL failed", Wrong),
        (":s 464 * :Password incorrect", Wrong),
        (":s 432 * oclaw :Erroneous", Wrong),
        (":s 465 * :You are banned", Gone),
        ("ERROR :Closing link", Gone),
        (":s CAP * LS :multi-prefix", Gone),
        (":s 421 * CAP :Unknown command", Gone),
    ],
)
def test_what_a_server_refuses_is_a_setting_or_a_lost_connection(line, kind):
    login = Login(nick="oclaw", username="o", realname="r", sasl_user="u", sasl_password="secret")
    effect = talk(Session(login), line)[-1]
    assert isinstance(effect, kind) and "secret" not in str(effect)


def test_services_that_are_not_there_or_hold_our_nick_back_are_no_wrong_setting():
    login = Login(nick="oclaw", username="o", realname="r", sasl_user="u", sasl_password="p")
    effects = talk(Session(login), ":s CAP * ACK :sasl", ":s 906 * :SASL authentication aborted")
    assert isinstance(effects[-1], Gone) and effects[-1].after_seconds >= 60
    held = ":s 432 * oclaw :Nickname is unavailable: Being held for registered user"
    assert isinstance(talk(Session(LOGIN), held)[-1], Wrong)
    session = Session(LOGIN, nick_was_ours=True)
    assert sent(talk(session, held))[-1] == "NICK :oclaw_"


def test_a_nick_in_use_becomes_another_one_and_is_won_back():
    session = Session(LOGIN)
    effects = talk(session, ":s 433 * oclaw :in use", ":s 433 * oclaw_ :in use")
    assert sent(effects)[3:] == ["NICK :oclaw_", "NICK :oclaw__"]
    talk(session, ":s 001 oclaw__ :Hi", ":s 422 oclaw__ :x")
    assert session.nick == "oclaw__" and sent(session.tidy()) == ["NICK :oclaw"]
    session.take(parse(b":oclaw__!u@h NICK :oclaw"))
    assert session.nick == "oclaw" and session.tidy() == []


def test_too_many_taken_nicks_wait():
    session = Session(LOGIN)
    effects = talk(session, *[":s 433 * x :in use"] * 6)
    assert isinstance(effects[-1], Gone) and effects[-1].after_seconds > 60


def test_channels_are_joined_before_we_are_ready_and_again_after_a_kick():
    session = Session(Login(nick="oclaw", username="o", realname="r", channels=("#a", "#b key", "#c")))
    effects = talk(session, ":s 001 oclaw :Hi", ":s 376 oclaw :end")
    assert sent(effects)[3:] == ["JOIN :#a", "JOIN #b :key", "JOIN :#c", "PING :oclaw-joined"] and not session.ready
    talk(session, ":oclaw!u@h JOIN #a", ":oclaw!u@h JOIN :#B", ":s 473 oclaw #c :Cannot join (+i)")
    assert session.ready and session.joined == {"#a", "#b"} and session.refused == {"#c": "Cannot join (+i)"}
    session.take(parse(b":op!u@h KICK #a oclaw :out"))
    assert sent(session.tidy()) == ["JOIN :#a", "JOIN :#c"]


@pytest.mark.parametrize(
    "answers",
    [
        (":s 470 oclaw #a ##a :Forwarding to another channel", ":oclaw!u@h JOIN ##a"),
        (":s 470 oclaw [Link] Cannot join channel #a (+L)", ":oclaw!u@h JOIN ##a"),
        (":s 599 oclaw #a :some number of this server alone",),
        (),
    ],
)
def test_a_channel_that_is_refused_in_whatever_words_keeps_us_from_no_other(answers):
    session = Session(Login(nick="oclaw", username="o", realname="r", channels=("#a", "#b")))
    effects = talk(session, ":s 001 oclaw :Hi", ":s 376 oclaw :end", *answers, ":oclaw!u@h JOIN #b")
    assert sent(effects)[-1] == "PING :oclaw-joined"
    effects = session.take(parse(b":s PONG s :oclaw-joined"))
    assert effects in ([Ready()], []) and session.ready
    assert set(session.refused) == {"#a"} and "#b" in session.joined


def test_a_channel_that_a_server_puts_us_into_takes_the_place_of_none():
    session = Session(Login(nick="oclaw", username="o", realname="r", channels=("#a",)))
    effects = talk(session, ":s 001 oclaw :Hi", ":oclaw!u@h JOIN #lobby", ":s 376 oclaw :end")
    assert sent(effects)[3:] == ["JOIN :#a", "PING :oclaw-joined"] and not session.ready


def test_status_hears_of_every_change_of_where_we_are_and_of_nothing_else():
    session = Session(Login(nick="oclaw", username="o", realname="r", channels=("#a", "#b")))
    talk(session, ":s 001 oclaw :Hi", ":s 376 oclaw :end", ":oclaw!u@h JOIN #a", ":oclaw!u@h JOIN #b")
    assert session.take(parse(b":op!u@h KICK #a oclaw :out")) == [Moved()]
    assert (session.absence("#A"), session.absence("#b"), session.absence("#other")) == ("kicked: out", "", "")
    session.tidy()
    assert session.take(parse(b":s 474 oclaw #a :banned")) == [Moved()]
    session.tidy()
    assert session.take(parse(b":s 474 oclaw #a :banned")) == []
    assert session.take(parse(b":oclaw!u@h PART #b :by services")) == [Moved()]
    assert session.refused["#b"] == session.absence("#b") == "the server took us out"
    session.tidy()
    assert session.take(parse(b":oclaw!u@h JOIN #b")) == [Moved()] and "#b" not in session.refused
    assert session.take(parse(b":oclaw!u@h JOIN #b")) == []
    session.tidy()
    assert session.take(parse(b":oclaw!u@h JOIN #a")) == [Moved()] and session.absence("#a") == ""
    assert session.take(parse(b":oclaw!u@h NICK :Guest1")) == [Moved()]


def heard(line):
    session = Session(LOGIN)
    talk(session, ":s 001 oclaw :Hi", ":s 005 oclaw STATUSMSG=@+ CHANTYPES=# :are supported")
    return session.take(parse(line.encode()))


def test_what_is_said_to_a_channel_a_query_or_its_operators():
    (event,) = heard(":bob!b@h PRIVMSG #c :hi")
    assert isinstance(event, Said) and (event.target, event.text, event.to_channel) == ("#c", "hi", True)
    (event,) = heard(":bob!b@h PRIVMSG @#c :hi")
    assert (event.target, event.to_channel) == ("#c", True)
    (event,) = heard(":bob!b@h PRIVMSG OCLAW :hi")
    assert not event.to_channel


@pytest.mark.parametrize("line", [":bob!b@h NOTICE oclaw :hi", ":bob!b@h PRIVMSG other :hi", "PRIVMSG oclaw :x"])
def test_what_is_not_for_us_is_counted(line):
    assert isinstance(heard(line)[0], Strange)


def test_pings_are_answered():
    assert sent(heard("PING :a b")) == ["PONG :a b"]


def test_names_are_compared_as_servers_do():
    assert folded("Bob[]\\~") == folded("bOB{}|^")


def test_formats_actions_and_ctcp():
    assert plain("\x02bold\x02 \x0304,12red\x03 \x1dit\x0f \x04ff0000x") == "bold red it x"
    assert action_of("\x01ACTION waves\x01") == "waves" and action_of("waves") is None
    assert ctcp_of("\x01version\x01") == "VERSION" and ctcp_of("hi") == ""


def test_nothing_of_ours_is_ctcp_but_the_action():
    assert said("\x01DCC SEND x\x01") == "DCC SEND x"
    assert said("/me waves\x01") == "\x01ACTION waves\x01"
    assert said("a\r\nQUIT :b\0") == "a QUIT :b"


def test_a_reply_becomes_lines_in_our_form():
    made = lines_of("**Hi**\n\n`x` [a](https://e.org)\n/me waves", (Attachment(name="f.png", url="https://e.org/f"),),
                    bytes_each=400, formatting=True, to="bob")  # fmt: skip
    assert made == ["bob: \x02Hi\x02", "\x11x\x11 a (https://e.org)", "/me waves", "f.png https://e.org/f"]
    assert lines_of("**Hi**", (), bytes_each=400, formatting=False) == ["Hi"]


@given(st.text(max_size=900), st.integers(1, 40))
def test_every_line_is_relayed_whole(text, length):
    nick, target = "n" * 16, "#" + "c" * length
    prefix = f":{nick}!{'u' * 11}@{'h' * 63} ".encode()
    for line in lines_of(text, (), bytes_each=budget(nick, target), formatting=True):
        whole = prefix + encode("PRIVMSG", target, said(line))
        assert len(whole) <= 512
        (read,) = Lines().feed(whole)
        assert read.params[1] == said(line)
