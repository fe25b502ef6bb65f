"""What `oclaw status` shows of the last errors: what the log shows."""

from __future__ import annotations

import pytest

from gateway.daemon.desk import last_error
from gateway.notices import ChildCrashed, DeliveryBuried, RequestFailed
from gateway.telemetry.lines import Masks
from gateway.telemetry.tail import Seen

QUOTE = RequestFailed("the walk of a message", "KeyError: 'what anna wrote'", "e1")


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (QUOTE, "KeyError: (text withheld)"),
        (ChildCrashed("irc", "OSError: no route for hunter2hunter2", 1.0), "OSError: no route for [secret]"),
        (DeliveryBuried("e1.0", "irc", "ValueError: what anna wrote"), "ValueError: (text withheld)"),
    ],
)
def test_an_error_is_told_without_secrets_and_without_what_people_wrote(notice, text):
    told = last_error(Seen(1.0, notice), Masks(["hunter2hunter2"]), texts=False)
    assert (told.at, told.event, told.text) == (1.0, type(notice).__name__, text)


def test_where_texts_may_be_logged_they_are_shown():
    told = last_error(Seen(1.0, QUOTE), Masks(), texts=True)
    assert (told.text, told.envelope_id) == (QUOTE.error, "e1")
