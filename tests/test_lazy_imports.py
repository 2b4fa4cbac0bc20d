"""What importing the library imports, in a process of its own."""

import subprocess
import sys

import pytest

import studygroup as sg

LAZY = ("analysis", "data", "models", "training")


def said(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_core_imports_torch_and_jaxtyping_alone():
    code = (
        "import sys, jaxtyping, torch\n"
        "before = set(sys.modules)\n"
        "import studygroup as sg\n"
        "named = {name: getattr(sg, name) for name in sg.__all__}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'torch', 'jaxtyping'}))\n"
        "later = ('analysis', 'data', 'models', 'training', 'cli')\n"
        "print([name for name in later if f'studygroup.{name}' in sys.modules])\n"
        "import importlib, pkgutil\n"
        "for one in pkgutil.iter_modules(sg.__path__):\n"
        "    if one.name not in later + ('program', 'report', 'integrations', '__main__'):\n"
        "        importlib.import_module(f'studygroup.{one.name}')\n"
        "print([name for name in named if getattr(sg, name) is not named[name]])\n"
    )
    assert said(code).splitlines() == ["['studygroup']", "[]", "[]"]


def test_the_package_alone_imports_nothing():
    assert said(
        "import sys, studygroup; print('torch' in sys.modules, 'EqualStudentsWarning' in dir(studygroup))"
    ) == ("False True")


def test_the_rest_is_imported_on_first_use():
    code = (
        "import sys, studygroup as sg\n"
        "assert 'studygroup.analysis' not in sys.modules\n"
        "assert callable(sg.analysis.training_cost)\n"
        "assert sg.analysis is sys.modules['studygroup.analysis']\n"
        "print('studygroup.models' in sys.modules, 'studygroup.training' in sys.modules)\n"
    )
    assert said(code) == "False False"
    for name in LAZY:
        assert getattr(sg, name) is sys.modules[f"studygroup.{name}"]
        assert name in dir(sg)
        assert name not in sg.__all__  # from studygroup import * needs no extra
    assert "layers" in sg.__all__


def test_a_missing_package_has_its_extra_named():
    code = (
        "import sys\n"
        "sys.modules['yaml'] = sys.modules['lightning'] = None\n"
        "import studygroup as sg\n"
        "for attempt in ('sg.training', 'from studygroup import training', 'sg.training.train'):\n"
        "    if 'train' in attempt.split('.'):\n"
        "        del sys.modules['yaml']\n"
        "    try:\n"
        "        exec(attempt)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
    )
    way_out = "needs the package {!r}, which is not installed; pip install 'studygroup[train]'"
    assert said(code).splitlines() == [
        *[f"studygroup.training {way_out.format('yaml')}"] * 2,
        f"studygroup.training.train {way_out.format('lightning')}",
    ]


def test_what_opens_finished_runs_imports_neither_lightning_nor_what_it_does_not_need():
    heavy = (
        "datasets",
        "lightning",
        "matplotlib",
        "optuna",
        "pandas",
        "sqlalchemy",
        "timm",
        "torchmetrics",
        "torchvision",
    )
    code = (
        "import sys\n"
        "import studygroup.analysis.command, studygroup.training.load_run, studygroup.training.predict\n"
        "import studygroup.report\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    assert said(code) == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'studygroup' has no attribute 'modles'"):
        sg.modles  # noqa: B018


def test_without_its_extra_the_program_says_what_to_install():
    code = (
        "import sys\n"
        "for name in {hidden}:\n"
        "    sys.modules[name] = None\n"
        "from studygroup.program import main\n"
        "sys.argv = ['studygroup', 'train', '--epochs', '1']\n"
        "sys.exit(main())\n"
    )
    without = (
        (("jsonargparse", "yaml", "lightning"), ("jsonargparse", "yaml")),
        (("lightning",), ("lightning",)),
    )
    for hidden, missing in without:
        done = subprocess.run(
            [sys.executable, "-c", code.format(hidden=hidden)], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (1, "")
        (said,) = done.stderr.splitlines()
        assert any(f"studygroup train needs the package {name!r}, which is not" in said for name in missing)
        assert said.endswith("pip install 'studygroup[train]'")
