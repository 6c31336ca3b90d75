"""Options of how published images are named and found in archives."""

from pydantic import Field

from contimg_assets.radio.options import Options


class ArchiveOptions(Options):
    """What the Virtual Observatory's metadata say of where an image comes from and is had from."""

    authority: str = Field(default="dsa110", pattern=r"^[A-Za-z0-9][A-Za-z0-9._~*'()-]{2,}$")
    """Naming authority in ``obs_publisher_did`` (``ivo://<authority>/contimg?<image>``): the one that whoever
    publishes has registered with the IVOA; the default is not registered."""
    access_url: str | None = None
    """Address of an image in ``access_url``, such as ``https://host/products/{name}/image/{file}``, with the
    group for ``{name}`` and the file for ``{file}``; None: the file's name, relative to the metadata."""
