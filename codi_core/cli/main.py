"""``codi NAME ...``: any registered command, a plugin's or our own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.registered import run_registered
from codi_core.host.plugins import load_plugins
from codi_core.version import __version__


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, with the others."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        print(f"codi {__version__}")
        return 0
    host = load_plugins(warn=print_warning)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: codi COMMAND ...\n\ncommands:")
        for record in host.commands:
            print(f"  {record.name:<20} {record.summary}")
        print("\ncodi COMMAND --help shows a command's options.")
        return 0
    record = host.commands.get(arguments[0])
    return run_registered(record, f"command '{record.name}'", arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
