"""``contimg metrics``: what Prometheus is told, printed once.

Belongs here: the command.  Does not belong here: the metrics (``station/metrics.py``,
``resources/dagster_metrics.py``), or serving them (``web/metrics.py``).
"""

import json

import click

from contimg_assets.cli.common import Opened, json_option, told_plainly


@click.command("metrics")
@json_option
@told_plainly
def metrics(as_json: bool) -> None:
    """Print what Prometheus is told of this installation, in its text format.

    `contimg serve` and `contimg ui` tell the same at /metrics.  With --json: a list of samples.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    from contimg_assets.resources.dagster_metrics import InstallationCollector

    opened = Opened()
    with opened.instance() as instance:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(InstallationCollector(opened.settings, instance))
        if as_json:
            samples = [sample for metric in registry.collect() for sample in metric.samples]
            click.echo(json.dumps([{"name": s.name, "labels": s.labels, "value": s.value} for s in samples]))
        else:
            click.echo(generate_latest(registry), nl=False)


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [metrics]
