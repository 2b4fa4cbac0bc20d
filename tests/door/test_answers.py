import subprocess
import sys
import time

import pytest

import studygroup
from studygroup.door import answer, enter
from studygroup.door.table import read_table

HEAVY = ("torch", "lightning", "numpy", "yaml", "jsonargparse", "jaxtyping")


def test_the_program_answers_without_what_takes_seconds():
    code = (
        "import sys\n"
        "from studygroup.program import main\n"
        "for words in (['--help'], ['--version'], ['train', '--help'], ['train', '--epcohs', '3']):\n"
        "    sys.argv = ['studygroup', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        print(end.code)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - begun < 10  # without the imports it is 0.3 s
    assert done.stdout.splitlines()[-2:] == ["2", "[]"]
    assert "did you mean --epochs?" in done.stderr


def said(*words: str) -> str:
    found = answer(words)
    assert found is not None
    assert (found.status, found.err) == (0, "")
    return " ".join(found.out.split())


def test_help_of_all_and_of_each_command():
    assert "Begin with studygroup train" in said("--help")
    assert said("-h") == said("--help", "train")
    for name, command in read_table().commands.items():
        assert f"{name} {command.help[:30]}" in said("--help")
        told = said(name, "--help")
        assert told.startswith(f"usage: studygroup {name}")
        for option in read_table().options(command):
            assert f"--{option}" in told
    assert "--sigmas SIGMAS" in said("analyse", "flatness", "runs/a", "-h")
    assert "flatness" in said("analyse", "-h")


def test_help_of_recipes_and_of_their_arguments():
    told = said("train", "--recipe.help")
    assert all(name in told for name in read_table().classes["recipe"])
    assert "--recipe.students STUDENTS K = 8 in the paper. (int, default: 8)" in said(
        "train", "--recipe.help", "cgl"
    )
    assert said("train", "--recipe.help=cgl") == said("train", "--recipe", "cgl", "--recipe.help")
    assert "It has no arguments." in said("train", "--recipe.help=baseline")
    assert answer(["train", "--recipe.help=mine.own"]) is None


def test_the_version_and_nothing_at_all():
    assert said("--version") == f"studygroup {studygroup.__version__}"
    found = answer([])
    assert found is not None
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("usage: studygroup COMMAND")


def test_a_refusal_moves_no_terminal(capsys):
    with pytest.raises(SystemExit) as end:
        enter(["tra\x1b[2Jin"])
    assert end.value.code == 2
    assert "\x1b" not in capsys.readouterr().err
    enter(["train", "--epochs", "3"])
    assert capsys.readouterr() == ("", "")
