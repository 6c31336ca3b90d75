"""A database of version 0.1.0, at revision 0003, as ``make demo`` of that release left it.

Two groups, their products, verdicts and one calibration set; its home was ``/data/contimg``.
"""

import gzip
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, create_engine, select

from contimg_assets.station import database

DUMP = Path(__file__).parent / "data" / "release_0_1_0.sql.gz"
CALIBRATOR, TARGET = "2025-06-01T14:05:49", "2025-06-01T14:35:49"


def migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    """Bring a database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.execution_options(contimg_writes=True).begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


def write_sqlite(path: Path) -> None:
    """Write the database as the file that it was."""
    connection = sqlite3.connect(path)
    connection.executescript(gzip.decompress(DUMP.read_bytes()).decode())
    connection.close()


def load(url: str, folder: Path) -> None:
    """Make a database of that release: the file itself, or its rows in PostgreSQL."""
    if url.startswith("sqlite"):
        write_sqlite(Path(url.removeprefix("sqlite:///")))
        return
    write_sqlite(folder / "release.sqlite")
    source, target = create_engine(f"sqlite:///{folder / 'release.sqlite'}"), database.create(url)
    migrate(target, "0003")
    theirs, ours = MetaData(), MetaData()
    theirs.reflect(source)
    ours.reflect(target)
    with source.connect() as reading, target.begin() as writing:
        for table in ours.sorted_tables:
            rows = [dict(row) for row in reading.execute(select(theirs.tables[table.name])).mappings()]
            if rows and table.name != "alembic_version":
                writing.execute(table.insert(), rows)
        for name in ("group_transition", "verdict", "performance", "group_calibration"):
            writing.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
            )
    source.dispose()
    target.dispose()
