"""The model card of a folder, with the header that the Hugging Face hub reads."""

from pathlib import Path

from studygroup.formats.facts import Facts
from studygroup.untrusted import in_markdown


def card(
    facts: Facts,
    *,
    library: str,
    name: str = "network",
    text: str | None = None,
    data: str | None = None,
    accuracy: float | None = None,
) -> str:
    """Return a model card: a YAML header for the hub, then text.

    The licence is left to the publisher.

    Args:
        facts: the classes, and how pixels become input.
        library: the library that opens the folder, `"transformers"` or `"timm"`.
        name: of the network.
        text: Markdown below the header; omitted, a few lines made of the facts.
        data: name of the training data; a name with a slash that is not a folder is taken as one on the hub.
        accuracy: accuracy on test rows, in [0, 1], for the hub's table of results; requires `data`.

    Raises:
        ValueError: an accuracy without `data`.
    """
    from huggingface_hub import EvalResult, ModelCardData

    if accuracy is not None and data is None:
        raise ValueError("an accuracy is of some data; give their name, data='...'")
    on_hub = data is not None and data.count("/") == 1 and not Path(data).exists()
    results = None
    if accuracy is not None and data is not None:
        kind = data if on_hub else Path(data).name
        results = [
            EvalResult(
                task_type=facts.task,
                dataset_type=kind,
                dataset_name=Path(data).name,
                dataset_split="test",
                metric_type="accuracy",
                metric_value=round(accuracy, 6),
            )
        ]
    header = ModelCardData(
        library_name=library,
        pipeline_tag=facts.task,
        tags=["studygroup", "knowledge-distillation", "collaborative-learning"],
        datasets=[data] if data is not None and on_hub else None,
        metrics=["accuracy"],
        model_name=name,
        eval_results=results,
    )
    return f"---\n{header.to_yaml()}\n---\n\n{_words(facts, name) if text is None else text}"


def _words(facts: Facts, name: str) -> str:
    classes = in_markdown(", ".join(facts.classes))
    lines = [f"# {in_markdown(name)}", "", f"Logits of {len(facts.classes)} classes: {classes}."]
    if facts.shape is not None and facts.mean is not None and facts.std is not None:
        lines += [
            "",
            f"Input: images (N, {', '.join(map(str, facts.shape))}), pixels / 255, then normalised per channel with "
            f"mean {[round(one, 4) for one in facts.mean]}, std {[round(one, 4) for one in facts.std]}.",
        ]
    return "\n".join(lines) + "\n"
