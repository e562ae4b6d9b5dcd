"""`fer-batch run`: options, from the command line and from a file, to a run and an exit status."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fer_batch.cli.exit_status import EXIT_DONE, EXIT_SOME_FAILED, endings
from fer_batch.config_file import make_config
from fer_batch.run_config import GROUPS, MESSAGES, RESULTS, choices, flag, option_info, options, value_types


def run(**given: Any) -> None:
    """Find, classify and tabulate the faces of all images and videos under PATH."""
    with endings():
        from fer_batch.log import set_up_logging

        file, only_estimate = given.pop("config"), given.pop("dry_run")
        config = make_config({name: value for name, value in given.items() if value not in (None, [])}, file)
        set_up_logging(config.quiet, config.verbose, config.log_file)
        from fer_batch.pipeline.resolve import resolve

        resolved = resolve(config)
        if only_estimate:
            from fer_batch.pipeline.dry_run import dry_run

            typer.echo("\n".join(dry_run(resolved).lines()))
            raise typer.Exit(EXIT_DONE)
        from fer_batch.pipeline.run import run as run_pipeline

        all_done = run_pipeline(resolved)
    raise typer.Exit(EXIT_DONE if all_done else EXIT_SOME_FAILED)


def _parameter(name: str) -> inspect.Parameter:
    """An option as a parameter that Typer reads. All default to None, so that what was typed is known."""
    kind, field = value_types()[name], options()[name]
    info = option_info(field)
    kind = {tuple[str, ...]: list[str]}.get(kind, str if choices(name) else kind)
    annotation: Any
    if info.positional:
        annotation = typer.Argument(metavar=info.metavar, help=info.help, show_default=False)
    else:
        default, on_off = _default_text(name), f"{flag(name)}/--no-{flag(name)[2:]}"
        annotation = typer.Option(
            on_off if kind is bool else flag(name),
            help=f"{info.help}  [default: {default}]" if default else info.help,
            metavar=_metavar(name, on_off),
            show_default=False,
            rich_help_panel=info.group,
            autocompletion=_completion(choices(name)) if choices(name) else None,
        )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, annotation]
    )


def _metavar(name: str, on_off: str) -> str | None:
    """What stands for the option's value in help; of a switch, what help calls it."""
    default = options()[name].default
    if isinstance(default, bool):
        return on_off if default else flag(name)
    return "|".join(choices(name)) or option_info(options()[name]).metavar


def _default_text(name: str) -> str:
    """What help says of the default; empty where it says nothing."""
    field = options()[name]
    if (text := option_info(field).default_help) is not None:
        return text
    if field.default in (None, ()) or isinstance(field.default, bool):
        return ""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _completion(values: tuple[str, ...]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Options from a TOML file, or from the run.json of an earlier run; those given here win.",
            rich_help_panel=MESSAGES,
        ),
    ],
)
#: No option of a configuration: a file or a repetition that says so would never run.
_DRY_RUN = inspect.Parameter(
    "dry_run",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only list what would be read and estimate the time, from some seconds of measuring.",
            rich_help_panel=RESULTS,
        ),
    ],
)
_NAMES = sorted(options(), key=lambda name: GROUPS.index(option_info(options()[name]).group))
_PARAMETERS = [*map(_parameter, _NAMES), _DRY_RUN, _CONFIG]
run.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
run.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS} | {"return": None}
