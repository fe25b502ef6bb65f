"""The commands in the README of gateway/message work as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gateway
from gateway.config.dictionaries import load_dictionaries
from gateway.message.keyring import format_keyring, new_keyring
from gateway.message.seal import HEADER_BYTES, RecordKind

ROOT = Path(gateway.__file__).parents[1]
README = (ROOT / "gateway" / "message" / "README.md").read_text("utf-8")


def test_the_commands_make_dictionaries_that_load(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert len(load_dictionaries(tmp_path).all()) == 3


def test_the_table_has_the_length_and_the_kinds_that_are_sealed():
    assert f"| {HEADER_BYTES}– | ciphertext" in README
    assert ", ".join(f"{kind.value} {kind.name.lower()}" for kind in RecordKind) in README


def test_the_key_ring_looks_as_it_is_shown():
    shown = re.search(r"```\n(oclaw-keyring.*?)```", README, re.DOTALL)
    assert shown is not None
    written = format_keyring(new_keyring(0, os.urandom)).splitlines()
    assert [line.split()[0] for line in shown[1].splitlines()[:3]] == [line.split()[0] for line in written]
