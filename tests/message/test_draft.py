"""A hook's draft: free to change, unable to harm the message behind it, and checked at the end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from gateway.errors import DraftError
from gateway.message.draft import Draft, verified
from gateway.message.message import Attachment, Conversation, Message, Sender
from tests.message.strategies import messages

MESSAGE = Message(
    channel="web",
    content="hello",
    sender=Sender("u1", "Ann"),
    conversation=Conversation("c1", "group"),
    attachments=(Attachment("image", url="https://example.com/a.png"),),
    metadata={"route": "a", "deep": {"list": [1, 2]}},
)


@settings(max_examples=50)
@given(messages)
def test_a_draft_that_was_only_read_is_the_same_message(message):
    draft = Draft(message)
    for name in Message.__struct_fields__:
        getattr(draft, name)
    assert draft.sender.name == message.sender.name
    assert draft.finish() is message


def test_an_untouched_draft_is_the_same_message():
    assert Draft(MESSAGE).finish() is MESSAGE


def test_every_field_can_be_assigned_and_the_message_behind_stays_as_it_was():
    draft = Draft(MESSAGE)
    draft.content = draft.content.upper()
    draft.sender.name = "Bob"
    draft.conversation = Conversation("c2")
    draft.attachments.append(Attachment("file", name="b.txt"))
    draft.metadata["deep"]["list"].append(3)
    draft.metadata["new"] = None
    draft.sent_at = 5
    finished = draft.finish()
    assert (finished.content, finished.sender, finished.conversation.id) == ("HELLO", Sender("u1", "Bob"), "c2")
    assert [each.name for each in finished.attachments] == ["", "b.txt"]
    assert finished.metadata == {"route": "a", "deep": {"list": [1, 2, 3]}, "new": None}
    assert finished.sent_at == 5.0
    assert isinstance(finished.attachments, tuple)
    assert MESSAGE.metadata == {"route": "a", "deep": {"list": [1, 2]}}
    assert MESSAGE.content == "hello"


def test_a_change_that_is_taken_back_is_no_change():
    draft = Draft(MESSAGE)
    draft.content = "x"
    draft.content = "hello"
    draft.metadata["x"] = 1
    del draft.metadata["x"]
    draft.sender = Sender("u1", "Ann")
    assert draft.finish() is MESSAGE


def test_text_that_a_hook_writes_is_kept_in_normal_form():
    draft = Draft(MESSAGE)
    draft.content = "e\u0301"
    assert draft.finish().content == "é"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", None),
        ("content", 7),
        ("content", "\ud800"),
        ("type", "song"),
        ("mentions_me", "yes"),
        ("attachments", "a.png"),
        ("attachments", [1]),
        ("sender", "Ann"),
        ("metadata", []),
        ("metadata", {1: "x"}),
        ("metadata", {"x": object()}),
        ("metadata", {"x": 2**80}),
    ],
)
def test_a_value_of_the_wrong_type_is_named_when_the_hook_is_done(field, value):
    draft = Draft(MESSAGE)
    setattr(draft, field, value)
    with pytest.raises(DraftError, match=rf"message\.{field}"):
        draft.finish()


def test_a_wrong_value_inside_a_part_is_named_by_its_path():
    draft = Draft(MESSAGE)
    draft.sender.name = 5
    with pytest.raises(DraftError, match=r"message\.sender\.name as 5"):
        draft.finish()


def test_a_field_that_messages_do_not_have_is_told_at_once_with_the_likely_one():
    draft = Draft(MESSAGE)
    with pytest.raises(AttributeError, match="did you mean 'content'"):
        draft.contents = "x"
    with pytest.raises(AttributeError, match="a message has no 'text'; it has channel, id"):
        print(draft.text)
    with pytest.raises(AttributeError, match="a sender has no 'title'"):
        draft.sender.title = "Dr."


@settings(max_examples=50)
@given(messages)
def test_a_message_that_a_hook_built_itself_is_checked_alike(message):
    assert verified(message).metadata == message.metadata
    with pytest.raises(DraftError, match=r"message\.content"):
        verified(Message(channel="web", content=5))
