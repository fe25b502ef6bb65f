"""Any message, envelope, delivery and receipt that the types allow, as hypothesis strategies."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from gateway.message.envelope import Delivery, Envelope
from gateway.message.message import (
    Attachment,
    AttachmentKind,
    Conversation,
    ConversationKind,
    Message,
    MessageAction,
    MessageType,
    Sender,
)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
whole = st.integers(-(2**63), 2**64 - 1)
times = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)
attachments = st.builds(
    Attachment,
    kind=st.sampled_from(get_args(AttachmentKind)),
    mime=words,
    name=words,
    size=st.integers(0, 2**63),
    url=words,
    ref=words,
)
messages = st.builds(
    Message,
    channel=words,
    id=words,
    platform=words,
    type=st.sampled_from(get_args(MessageType)),
    action=st.sampled_from(get_args(MessageAction)),
    content=words,
    sender=st.builds(Sender, words, words, st.booleans()),
    dedupe_key=words,
    target_id=words,
    conversation=st.builds(Conversation, words, st.sampled_from(get_args(ConversationKind)), words, words),
    mentions_me=st.booleans(),
    attachments=st.lists(attachments, max_size=3).map(tuple),
    reply_to=words,
    sent_at=times,
    metadata=st.dictionaries(words, json_values, max_size=4),
)
envelopes = st.builds(
    Envelope,
    id=words,
    message=messages,
    received_at=times,
    deadline=times,
    trace=words,
    attempt=st.integers(1, 2**31),
    hops=st.integers(0, 99),
    tags=st.lists(words, max_size=3).map(tuple),
    priority=st.integers(-9, 9),
)
deliveries = st.builds(
    Delivery,
    id=words,
    envelope_id=words,
    message=messages,
    created_at=times,
    expires_at=times,
    attempt=st.integers(1, 2**31),
    repeated=st.booleans(),
    replayed=st.booleans(),
)
