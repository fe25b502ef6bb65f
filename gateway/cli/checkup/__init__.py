"""What `oclaw doctor` tries beyond the configuration's form: this machine, the state directory, each channel."""

from __future__ import annotations
