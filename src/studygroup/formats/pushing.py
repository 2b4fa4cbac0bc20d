"""A folder sent to the Hugging Face hub."""

from pathlib import Path

from studygroup.formats.folders import CARD, CONFIGURATION


def push(folder: str | Path, repository: str, *, private: bool = True) -> str:
    """Send an exported folder to the hub; its card's header is checked by the hub first.

    The token is the one of `hf auth login`, or `HF_TOKEN`.

    Args:
        folder: the folder that `save_huggingface` or `save_timm` wrote.
        repository: `OWNER/NAME`; it is created if missing.
        private: whether a new repository is private.

    Returns:
        The address of the commit.

    Raises:
        ValueError: a folder without card and configuration, a header that the hub refuses, or a hub that cannot be
            reached or does not let this token write.
    """
    from huggingface_hub import HfApi, ModelCard

    path = Path(folder)
    if not ((path / CARD).is_file() and (path / CONFIGURATION).is_file()):
        raise ValueError(
            f"{path} has no {CARD} and {CONFIGURATION}; push a folder of the format huggingface or timm"
        )
    api = HfApi()
    try:
        ModelCard.load(path / CARD).validate()
        name = api.create_repo(repository, private=private, exist_ok=True).repo_id
        sent = api.upload_folder(repo_id=name, folder_path=path, commit_message="Export from studygroup")
    except Exception as error:  # of its HTTP client, of the network, of the hub's answers
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"{path} is written and could not be pushed to {repository} ({said:.400}); check name and connection, "
            "sign in with `hf auth login`, and push the folder again with studygroup.formats.push"
        ) from error
    return str(sent.commit_url)
