"""Every statement of the writer, in one place: SQLite compiles each once and keeps it.

Values that are the same for all rows stand in the text, so that fewer are bound.
"""

from __future__ import annotations

# An expired claim is taken over; a live one leaves the table as it is, and the row count says so.
CLAIM = """INSERT INTO dedupe (digest, until, id) VALUES (?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET until = excluded.until, id = excluded.id WHERE dedupe.until <= ?"""
KNOWN = "SELECT id FROM dedupe WHERE digest = ?"
MOVE_CURSOR = """INSERT INTO cursor (channel, name, sealed) VALUES (?, ?, ?)
    ON CONFLICT (channel, name) DO UPDATE SET sealed = excluded.sealed"""

STORE = """INSERT INTO inbound (seq, id, channel, state, attempt, received_at, changed_at, lane, sender, sealed)
    VALUES (?, ?, ?, 'accepted', 1, ?, ?, ?, ?, ?)"""
STORE_ENDED = """INSERT INTO inbound
    (seq, id, channel, state, attempt, received_at, changed_at, due_at, lane, sender, sealed, note)
    VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)"""
FIND_INBOUND = "SELECT seq, state FROM inbound WHERE id = ?"
MOVE_INBOUND = """UPDATE inbound SET state = ?, changed_at = ?, due_at = ?, note = coalesce(nullif(?, x''), note)
    WHERE seq = ?"""
REENTER_INBOUND = """UPDATE inbound SET seq = ?, state = 'accepted', attempt = 1, changed_at = ?, due_at = 0,
    note = coalesce(nullif(?, x''), note) WHERE seq = ?"""
FOLLOW_INBOUND = "UPDATE delivery SET inbound = ? WHERE inbound = ?"

INTEND = """INSERT INTO delivery
    (seq, id, inbound, channel, destination, state, created_at, changed_at, expires_at, sealed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# In place of a sealed reply: it stands in the record of its message.
SHARED = b"\0"
FIND_DELIVERY = "SELECT seq, state, attempt FROM delivery WHERE id = ?"
# SQLite's || makes text of blobs, byte for byte; the cast takes that back.
_SETTLE = """UPDATE delivery SET state = ?, attempt = ?, changed_at = ?, due_at = ?, notes = CAST(notes || ? AS BLOB)
    WHERE"""
MOVE_DELIVERY = f"{_SETTLE} seq = ?"
SETTLE_PENDING = f"{_SETTLE} id = ? AND state = 'pending'"
SETTLE_PENDING_AT = f"{_SETTLE} seq = ? AND id = ? AND state = 'pending'"
RESEAL_DELIVERY = "UPDATE delivery SET sealed = ? WHERE seq = ?"
REENTER_DELIVERY = """UPDATE delivery SET seq = ?, attempt = 0, expires_at = CASE WHEN ? > 0 THEN ? ELSE expires_at END
    WHERE seq = ?"""

# A counter that somebody changed by hand must not stop commits; `oclaw journal check` tells.
COUNT = "UPDATE tally SET rows = max(0, rows + ?) WHERE name = ?"
# Rewrites every counter with itself: a page that must reach the disk.
PROBE = "UPDATE tally SET rows = rows"
