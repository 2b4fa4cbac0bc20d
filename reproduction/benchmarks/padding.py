"""The share of padding in a step, with rows in random order and with rows of similar length together.

    python reproduction/benchmarks/padding.py --data IMDB

IMDB is a folder or hub name that `studygroup.data.load` takes. Reviews in at most 512 of 16,000 BPE pieces, steps of
64, and for CGL 64 rows of each of 8 students; one epoch of each. Beside it the time that the plain Transformer of the
CGL paper takes for steps of the two orders, evenly spaced over an epoch, in turn.
"""

import argparse
from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any

import torch

from environment import environment, save
from studygroup import recipes
from studygroup.analysis.cost import Step
from studygroup.data import Draw, SentencePiece, SharedBatches, StudentBatches, TokenSplit, load, subsets
from studygroup.models import build
from timing import in_turn

STUDENTS = 8


def padding(steps: Iterable[Draw], tokens: torch.Tensor) -> float:
    """Return the share of places without a token, with each step padded to its longest row."""
    filled, places = 0, 0
    for draw in steps:
        lengths = tokens[draw.rows]
        filled += int(lengths.sum())
        places += len(lengths) * int(lengths.max())
    return 1 - filled / places


def epochs(split: TokenSplit) -> dict[str, dict[str, float]]:
    """Return the padding of an epoch by the method and the order."""
    rows, lengths = len(split), split.tokens
    parts = subsets(rows, STUDENTS)
    return {
        "one network": {
            "random": padding(SharedBatches(rows), lengths),
            "like length": padding(SharedBatches(rows, lengths=lengths), lengths),
        },
        f"CGL, {STUDENTS} students": {
            "random": padding(StudentBatches(parts), lengths),
            "like length": padding(StudentBatches(parts, lengths=lengths), lengths),
        },
    }


def step_times(split: TokenSplit, vocabulary: int, steps: int) -> dict[str, Any]:
    """Return the time of a few alternating steps of both orders, and tokens per second in the second."""
    task = recipes.baseline(
        build("text_transformer", classes=2, vocabulary=vocabulary, padding=split.padding)
    )
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-4)

    def through(lengths: torch.Tensor | None) -> list[Any]:
        draws = list(SharedBatches(len(split), lengths=lengths))[:-1]
        return [split[draw.rows] for draw in draws[:: len(draws) // steps]][:steps]

    def take(batches: list[Any]) -> None:
        for x, y in batches:
            Step(task, optimizer, lambda x=x, y=y: (losses.total for losses in task.steps(x, y))).take()

    batches = [through(None), through(split.tokens)]
    pairs = in_turn([partial(take, some) for some in batches], turns=3)
    tokens = [sum(int(x["attention_mask"].sum()) for x, _ in some) for some in batches]
    speeds = [median(n / pair[i][0] for pair in pairs) for i, n in enumerate(tokens)]
    return {"steps": steps, "tokens": tokens, "pairs": pairs, "tokens_per_second": speeds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=6, help="of an epoch, evenly spaced")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    data = load(args.data, holdout=2000, test_rows=100, tokenizer=SentencePiece())
    train = data.train
    assert isinstance(train, TokenSplit)
    shares = epochs(train)
    torch.set_num_threads(args.threads)
    times = step_times(train, data.form.sizes["vocabulary"], args.steps)
    mean = float(train.tokens.double().mean())
    results = {"rows": len(train), "mean_tokens": mean, "padding": shares, "time": times}
    save("padding", {"environment": environment(), "results": results})
    print(f"{len(train)} reviews, {mean:.1f} tokens on average\n")
    print("| method | padding, random order | padding, like length |")
    print("|---|---|---|")
    for method, orders in shares.items():
        print(f"| {method} | {orders['random']:.1%} | {orders['like length']:.1%} |")
    plain, alike = times["tokens_per_second"]
    print(f"\n{plain:,.0f} tokens a second in random order, {alike:,.0f} with rows of like length")


if __name__ == "__main__":
    main()
