"""Replies that grow on a platform that can edit."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from gateway.channels.shared.edits import stream_by_edits
from gateway.errors import ModelError
from gateway.message.receipt import Bounced, Deferred, Delivered, Unknown


class Screen:
    """What readers see: the messages and every state of theirs."""

    def __init__(self, *answers):
        self.messages, self.calls, self.answers = {}, [], list(answers)

    def _answer(self, kind, id, text):
        self.calls.append((trio.current_time(), kind, text))
        answer = self.answers.pop(0) if self.answers else None
        if answer is None:
            self.messages[id] = text
            return Delivered(id)
        return answer

    async def post(self, text):
        await trio.lowlevel.checkpoint()
        return self._answer("post", f"m{len(self.messages) + 1}", text)

    async def edit(self, remote_id, text):
        await trio.lowlevel.checkpoint()
        return self._answer("edit", remote_id, text)


async def words(*said, gap=0.2, error=None):
    for word in said:
        await trio.sleep(gap)
        yield word
    if error:
        raise error


async def test_the_beginning_is_posted_and_then_edited_at_most_once_a_second(autojump_clock):
    screen = Screen()
    receipt = await stream_by_edits(words(*(f"w{i} " for i in range(20))), screen.post, screen.edit)
    assert receipt == Delivered("m1")
    assert screen.messages == {"m1": "".join(f"w{i} " for i in range(20))}
    times = [at for at, _, _ in screen.calls]
    assert [kind for _, kind, _ in screen.calls] == ["post"] + ["edit"] * (len(times) - 1)
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in pairwise(times[:-1]))
    assert screen.calls[0][2] == "w0  …" and len(screen.calls) <= 6


class Piece(str):
    """A piece of a reply that does not let itself be put behind a text."""

    def __radd__(self, before):
        raise AssertionError(f"{len(before)} characters are copied for {len(self)} more")


async def test_what_was_said_is_not_copied_with_each_piece(autojump_clock):
    screen = Screen()
    await stream_by_edits(words(*map(Piece, " \nso it grows"), gap=0), screen.post, screen.edit)
    assert screen.messages == {"m1": " \nso it grows"}


async def test_an_answer_that_comes_at_once_is_one_post_and_nothing_else(autojump_clock):
    screen = Screen()
    await stream_by_edits(words("all of it", gap=0), screen.post, screen.edit)
    assert [text for _, kind, text in screen.calls if kind == "post"] == [screen.calls[0][2]]
    assert screen.messages == {"m1": "all of it"}


async def test_a_model_that_breaks_off_leaves_an_honest_end(autojump_clock):
    screen = Screen()
    with pytest.raises(ModelError):
        await stream_by_edits(
            words("half ", "of it", gap=2, error=ModelError("gone", passing=True)), screen.post, screen.edit
        )
    assert screen.messages == {"m1": "half of it […]"}


async def test_nothing_said_and_broken_is_nothing_shown(autojump_clock):
    screen = Screen()
    with pytest.raises(ModelError):
        await stream_by_edits(words(error=ModelError("gone", passing=True)), screen.post, screen.edit)
    assert screen.calls == []


async def test_the_platforms_slower_is_obeyed_and_the_last_edit_is_complete(autojump_clock):
    screen = Screen(None, Deferred("429", 7.0), None)
    await stream_by_edits(words("a", "b", "c", "d", gap=1.5), screen.post, screen.edit)
    gaps = [later[0] - earlier[0] for earlier, later in zip(screen.calls, screen.calls[1:], strict=False)]
    assert screen.messages["m1"] == "abcd" and gaps[0] >= 1.0


@pytest.mark.parametrize("answer", [Unknown("lost"), Bounced("no"), Deferred("later", offline=True)])
async def test_a_first_post_that_fails_is_told_as_it_is(answer, autojump_clock):
    screen = Screen(*[answer] * 50)
    assert await stream_by_edits(words("a", "b", gap=2), screen.post, screen.edit) == answer
    assert isinstance(answer, Deferred) or len(screen.calls) == 1, "what may have arrived is not posted again"


async def test_a_text_that_outgrows_one_message_goes_on_in_the_next(autojump_clock):
    screen = Screen()
    said = [f"word{i:02d} " for i in range(30)]
    await stream_by_edits(words(*said), screen.post, screen.edit, limit=80)
    assert len(screen.messages) >= 3
    assert "".join("".join(screen.messages.values()).split()) == "".join("".join(said).split())
    assert all(len(text) <= 80 for _, _, text in screen.calls)


async def test_a_stream_that_is_cut_off_by_its_step_says_so_to_the_reader(autojump_clock):
    screen = Screen()
    with trio.move_on_after(5):
        await stream_by_edits(words(*(f"w{i} " for i in range(100)), gap=1), screen.post, screen.edit)
    assert screen.messages["m1"].endswith("w3  […]"), screen.messages
    assert trio.current_time() == 5


async def test_a_reply_that_was_whole_when_its_time_was_over_is_shown_whole(autojump_clock):
    async def hang(remote_id, text):
        await trio.sleep_forever()

    screen, edits = Screen(), []

    async def edit(remote_id, text):
        edits.append(text)
        return await (hang if len(edits) == 1 else screen.edit)(remote_id, text)

    with trio.move_on_after(5):
        await stream_by_edits(words("all ", "of ", "it", gap=0.9), screen.post, edit)
    assert screen.messages == {"m1": "all of it"}


async def test_a_platform_that_wants_a_long_pause_at_the_end_is_left_to_the_outbox(autojump_clock):
    screen = Screen(None, Deferred("429", 60.0), Deferred("429", 60.0))
    receipt = await stream_by_edits(words("a", "b", gap=1.5), screen.post, screen.edit)
    assert receipt == Deferred("429", 60.0) and trio.current_time() < 5
