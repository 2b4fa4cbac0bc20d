"""Optional packages: what to say where one is missing."""


def missing(what: str, extra: str, error: ImportError) -> ValueError:
    """Return the error that tells which extra to install.

    Args:
        what: what needs the package.
        extra: that installs it, of those in `pyproject.toml`.
        error: of the import.
    """
    return ValueError(f"{what} needs a package more ({error}); pip install 'studygroup[{extra}]'")
