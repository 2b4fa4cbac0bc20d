"""The methods of the CGL paper's Table 3 on texts: a thin Transformer on IMDB, a thin VDCNN-9 on a part of AG News.

    python benchmarks/text_cells.py --data FOLDER

FOLDER holds `imdb` and `ag_news_10k`, Parquet files with the columns text and label. 4,000 reviews of IMDB (400
held out, 4,000 of the test rows) in at most 64 of 8,000 BPE pieces, embedding 128, 3 blocks of hidden size 64, 32
rows a step, 6 epochs; all 10,000 rows of AG News (1,000 held out, 7,600 test rows) in 256 characters, VDCNN-9 of
width 16, 64 rows a step, 8 epochs. Adam 1e-3. For CGL a step has as many rows of each student; 5 students for the
compared methods and 8 for CGL, as in the paper. All cells with seed 0, then 1, then 2. The table prints n: below 3
nothing should be claimed.
"""

from pathlib import Path
from typing import Any

import cells

RECIPES: dict[str, Any] = {
    "baseline": "baseline",
    "dml": {"class_path": "dml", "init_args": {"students": 5}},
    "cl_ilr": {"class_path": "cl_ilr", "init_args": {"students": 5}},
    "one": {"class_path": "one", "init_args": {"students": 5}},
    "okddip": {"class_path": "okddip", "init_args": {"students": 5}},
    "cgl": {"class_path": "cgl", "init_args": {"students": 8, "probability": 0.5}},
}
COMMON = {
    "rate": "Constant",
    "threads": 1,
    "optimizer": {"class_path": "Adam", "init_args": {"lr": 1e-3}},
}
SETS: dict[str, dict[str, Any]] = {
    "Transformer, imdb": {
        "data": "imdb",
        "train_rows": 4000,
        "test_rows": 4000,
        "holdout": 400,
        "tokenizer": {
            "class_path": "studygroup.data.SentencePiece",
            "init_args": {"vocabulary": 8000, "length": 64},
        },
        "model": "text_transformer",
        "model_options": {"embedding": 128, "hidden": 64, "feed_forward": 256, "length": 64},
        "epochs": 6,
        "batch_size": 32,
    },
    "VDCNN-9, ag_news_10k": {
        "data": "ag_news_10k",
        "holdout": 1000,
        "tokenizer": {"class_path": "studygroup.data.Characters", "init_args": {"length": 256}},
        "model": "vdcnn9",
        "model_options": {"width": 16, "hidden": 256},
        "epochs": 8,
        "batch_size": 64,
    },
}


def main() -> None:
    args = cells.parser(__doc__, data="a folder with imdb and ag_news_10k").parse_args()
    wanted = {
        f"{name}, {method}": {
            **COMMON,
            **settings,
            "data": str(Path(args.data) / settings["data"]),
            "recipe": recipe,
        }
        for name, settings in SETS.items()
        for method, recipe in RECIPES.items()
    }
    found = cells.run("text_cells", wanted, args)
    head = [
        "network",
        "data",
        "method",
        "n",
        "test, shipped",
        "over the baseline",
        "test, mean",
        "test, ensemble",
    ]
    print(f"| {' | '.join([*head, 'updates', 'padding'])} |")
    print("|---" * (len(head) + 2) + "|")
    for cell in [cell for cell in wanted if cell in found]:
        seeds, (network, data, method) = found[cell], cell.split(", ")
        plain = found[f"{network}, {data}, baseline"]
        over = "" if method == "baseline" else cells.gain(seeds, plain, "test")
        test, mean, ensemble = (cells.spread(seeds, name) for name in ("test", "students_mean", "ensemble"))
        first = next(iter(seeds.values()))
        row = [network, data, method, str(len(seeds)), test, over, mean, ensemble, f"{first['updates']:,}"]
        print(f"| {' | '.join(row)} | {first['texts']['padding']:.1%} |")


if __name__ == "__main__":
    main()
