"""The command `sublet`: its commands, and the one place where errors become messages and exit codes.

    0 done   1 the job failed   2 wrong usage or bad input   3 broker unreachable   4 refused by a policy
    5 a verification failed   130 interrupted

Results go to stdout, progress, logs and errors to stderr. What a command needs is imported when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from nodes.cli.console import to_json
from schemas.errors import SubletError, VerificationFailed

UNEXPECTED = 1
INTERRUPTED = 130
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "compute": ("demo", "run"),
        "jobs": ("job", "order", "events"),
        "market": ("market", "account", "contract", "receipt"),
        "joint": ("joint",),
        "programs": ("program",),
        "evidence": ("evidence",),
        "network": ("network",),
        "keys": ("key",),
        "roles": ("hub", "renter", "lessor", "partner", "bridge"),
        "check": ("check",),
        "page": ("page",),
        "node": ("node",),
    }
)
"""The modules beside this one, in the order of the help, and what each adds."""


def build(modules: Iterable[str] = COMMANDS) -> typer.Typer:
    """All commands, or those of some modules."""
    app = typer.Typer(
        name="sublet",
        help="Rent out idle compute between organisations without showing each other the data.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for module in modules:
        import_module(f"nodes.cli.{module}").add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code. The installed command exits with it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build(_needed(given))(args=given, prog_name="sublet")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SubletError as error:
        return _report(given, str(error), error.exit_code, error)
    except OSError as error:
        return _report_system(given, error)
    except Exception as error:
        return _report_unexpected(given, error)
    return 0


def _needed(arguments: Sequence[str]) -> Iterable[str]:
    """The one module whose command stands first, which takes half of the time that all take; else all."""
    first = arguments[0] if arguments else ""
    return [module for module, names in COMMANDS.items() if first in names] or COMMANDS


def _report_system(arguments: Sequence[str], error: OSError) -> int:
    """A full or failing disk is told with its place and room, what else the system refuses as unexpected."""
    import tempfile  # noqa: PLC0415

    from nodes.runtime.storage import StorageFailed, is_fault  # noqa: PLC0415

    if not is_fault(error):
        return _report_unexpected(arguments, error)
    folder = Path(error.filename).parent if error.filename else Path(tempfile.gettempdir())
    return _report(arguments, str(StorageFailed.of(error, folder)), StorageFailed.exit_code, error)


def _report_unexpected(arguments: Sequence[str], error: Exception) -> int:
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    message = f"unexpected: {said}; run `sublet --debug …` for the traceback"
    return _report(arguments, message, UNEXPECTED, error)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415

        sys.stdout.write(f"sublet {metadata.version('sublet')}\n")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Both are acted upon elsewhere: the version at once, `--debug` where errors are reported."""


def _report(arguments: Sequence[str], message: str, code: int, error: Exception) -> int:
    if "--debug" in arguments:
        import traceback  # noqa: PLC0415

        traceback.print_exception(error)
    if "--json" in arguments:
        named = {"code": error.code} if isinstance(error, VerificationFailed) else {}
        sys.stdout.write(to_json({"error": message, "exit_code": code, **named}) + "\n")
    sys.stderr.write(f"sublet: {message}\n")
    return code
