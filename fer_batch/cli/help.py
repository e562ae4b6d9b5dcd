"""How help looks: options under headings, examples at the end, bold headings on terminals alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Given to every command: lines as long as people still read well.
CONTEXT_SETTINGS = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
#: The headings of options, and of commands, that have none of their own.
_OPTIONS, _COMMANDS = "Options", "Commands"


class Command(TyperCommand):
    """A command whose options stand in groups, by their `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group of options in the order of their first option."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                default_panel = "Arguments" if parameter.param_type_name == "argument" else _OPTIONS
                panel = getattr(parameter, "rich_help_panel", None) or default_panel
                groups.setdefault(panel, []).append((_names(parameter, record[0]), record[1]))
        last = groups.pop(_OPTIONS, [])  # `--help` is there in every command.
        for heading, records in [*groups.items(), (_OPTIONS, last)]:
            _write_section(formatter, heading, records)


class Group(TyperGroup):
    """The command itself: its commands stand in groups."""

    def main(self, args: Any = None, *rest: Any, **settings: Any) -> Any:
        """Run a command. On Windows Click would expand globs, also those of `--include` and of `preview`, which are
        meant as they stand; `~` is expanded there, as other shells do."""
        if os.name == "nt":
            args = with_home(sys.argv[1:] if args is None else args)
        return super().main(args, *rest, **{**settings, "windows_expand_args": False})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group of commands."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            groups.setdefault(panel or _COMMANDS, []).append((name, command.get_short_help_str(limit=200)))
        for heading, records in groups.items():
            _write_section(formatter, heading, records)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        records = [record for parameter in self.get_params(ctx) if (record := parameter.get_help_record(ctx))]
        _write_section(formatter, _OPTIONS, records)
        self.format_commands(ctx, formatter)


def examples(*lines: str) -> str:
    """The end of a command's help. Each line is a command, or a remark that starts with `#`."""
    return "\n".join(["\b", heading("Examples") + ":", *(f"  {line}" for line in lines)])


def with_home(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with the home folder for each `~` that begins one."""
    return [os.path.expanduser(argument) if argument[:1] == "~" else argument for argument in arguments]


def heading(text: str) -> str:
    """The text in bold, unless colours are unwanted (https://no-color.org); Click removes it where no terminal is."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, bold=True)


def _write_section(formatter: Any, title: str, records: list[tuple[str, str]]) -> None:
    if records:
        with formatter.section(heading(title)):
            formatter.write_dl(records, col_max=32)


def _names(parameter: Any, shown: str) -> str:
    """What help calls a parameter: its metavar, if it takes no value, for one side of a switch is enough."""
    takes_no_value = parameter.param_type_name == "argument" or parameter.is_flag
    return str(parameter.metavar) if takes_no_value and parameter.metavar else shown
