"""Error messages for optional packages that are not installed."""


def missing(what: str, extra: str, error: ImportError) -> ValueError:
    """Return the error that says which extra to install.

    Args:
        what: the feature that needs the package.
        extra: the extra of `pyproject.toml` that installs it.
        error: the import error.
    """
    return ValueError(f"{what} needs a package more ({error}); pip install 'studygroup[{extra}]'")
