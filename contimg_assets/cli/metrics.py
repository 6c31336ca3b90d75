"""``contimg metrics``: what Prometheus is told, printed once.

Belongs here: the command.  Does not belong here: the metrics (``station/metrics.py``,
``resources/dagster_metrics.py``), or serving them (``web/metrics.py``).
"""

import click

from contimg_assets.cli.common import Opened, told_plainly


@click.command("metrics")
@told_plainly
def metrics() -> None:
    """Print what Prometheus is told of this installation, in its text format.

    `contimg serve` and `contimg ui` tell the same at /metrics.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    from contimg_assets.resources.dagster_metrics import InstallationCollector

    opened = Opened()
    with opened.instance() as instance:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(InstallationCollector(opened.settings, instance))
        click.echo(generate_latest(registry), nl=False)


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [metrics]
