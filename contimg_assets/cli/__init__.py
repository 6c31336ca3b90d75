"""The command line ``contimg``; every command lives in a module of its kind."""

from importlib import import_module

import click

from contimg_assets import __version__

#: Command to module: a command loads what it needs and nothing else, since
#: stages start a hundred times an hour and Dagster takes a second to import.
_MODULES = {
    **dict.fromkeys(("convert", "flag", "solve", "apply", "selfcal", "image", "predict", "qa"), "stages"),
    **dict.fromkeys(("init", "register", "process", "reprocess", "status", "products"), "operations"),
    **dict.fromkeys(("serve", "ui"), "serve"),
    "token": "token",
    **dict.fromkeys(("calibrators", "registry", "provenance"), "calibration"),
    "flags": "flags",
    "groups": "groups",
    "catalogs": "catalogs",
    "history": "history",
    "pointing": "history",
    "simulate": "simulate",
    "compare": "simulate",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"contimg_assets.cli.{_MODULES[cmd_name]}")
        return next((c for c in module.commands if c.name == cmd_name), None)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """From DSA-110 UVH5 files to calibrated, quality-checked continuum images.

    Everything that a run keeps lies under CONTIMG_HOME (default ~/contimg).
    """
