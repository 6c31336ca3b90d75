"""``python -m contimg_assets.cli``: the command line without the installed script."""

from contimg_assets.cli import main

if __name__ == "__main__":
    main()
