"""``python -m contimg_assets.cli``: the command line without the installed script."""

from contimg_assets.radio.processes import die_with_parent

if __name__ == "__main__":
    # Before the seconds that the imports of a stage take.
    die_with_parent()

    from contimg_assets.cli import main

    main()
