"""The `oclaw` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations


def main() -> None:
    """Run `oclaw` with the arguments of the process; exits with the code of frame.py's table."""
    from gateway.cli.frame import oclaw

    oclaw(prog_name="oclaw")
