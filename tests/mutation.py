"""Does a test fail when the mathematics is changed? Mutates a seeded sample of each part of the core and counts.

`mutmut` (`pip install mutmut`) makes the mutants. Its own runner starts pytest anew for each; here the tests are
collected once, and each mutant is tried in a fork of that process: the tests that call the changed function, those
that mirror its file first, then the fastest, until one fails. Not mutated are texts of errors and warnings, the names
that checks put into them, functions under a decorator, and the `strict` of `zip`, which guards what no caller can
make. What was tried is kept in `build/mutation`, so that a stopped run goes on.
"""

import argparse
import difflib
import gc
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pytest
from mutmut.configuration import config
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutation"
AT_IMPORT = re.compile(
    r"def _should_skip_dynamo\(.*?return False", re.DOTALL
)  # called before there is a switch
UNCOUNTED = (
    (r"(\bcheck_\w+\(\s*)(?:f?\"[^\"]*\"|None)", r"\1"),  # a check's name for a value
    (r",? *strict=\w+", ""),
    (r",\s*\)", ")"),
)


@dataclass(frozen=True)
class Part:
    """Files that are mutated, and the tests that are to notice; all tests are of the fast suite."""

    files: str
    tests: tuple[str, ...]


PARTS = {
    "schedules": Part("schedules.py", ("test_schedules.py",)),
    "routes": Part("routes.py", ("test_routes.py", "test_route_drawing.py", "test_checks.py")),
    "functional": Part(
        "functional/*.py",
        (
            "functional",
            "objectives/test_imitation.py",
            "objectives/test_pull_push.py",
            "recipes/test_kdcl.py",
            "test_no_waiting.py",
        ),
    ),
    "teachers": Part(
        "teachers/*.py",
        (
            "teachers",
            *(f"recipes/test_{name}.py" for name in ("cgl", "kdcl", "okddip", "one", "pcl")),
            "test_task.py",
            "test_task_peers.py",
            "test_checks.py",
            "test_no_waiting.py",
        ),
    ),
    "objectives": Part(
        "objectives/*.py",
        (
            "objectives",
            "recipes/test_inner.py",
            "recipes/test_intra.py",
            "test_task.py",
            "test_task_absent.py",
            "test_no_waiting.py",
        ),
    ),
    "engine": Part(
        "_engine/*.py",
        (
            "_engine",
            "recipes/test_recomputed.py",
            "recipes/test_song_chai.py",
            *(
                f"test_{name}.py"
                for name in ("group", "group_refusals", "no_waiting", "ownership", "peers", "state")
            ),
        ),
    ),
}


@dataclass
class Mutants:
    """The mutants of a part by their full names, and where each came from."""

    file: dict[str, Path] = field(default_factory=dict)
    version: dict[str, str] = field(default_factory=dict)
    code: dict[Path, str] = field(default_factory=dict)

    def versions(self, mutant: str) -> list[list[str]]:
        """Return the lines of a function and of its mutant."""
        text, name = self.code[self.file[mutant]], mutant.rpartition(".")[2]
        return [_lines(text, each) for each in (f"{function(name)}__mutmut_orig", name)]

    def change(self, mutant: str) -> str:
        """Return the lines that a mutant takes away and puts in."""
        lines = [*difflib.unified_diff(*self.versions(mutant), lineterm="", n=0)][2:]
        return "\n".join(f"    {line[0]} {line[1:].strip()}" for line in lines if line[0] in "-+")

    def counts(self, mutant: str) -> bool:
        """Return whether a mutant differs in more than the name in an error, or the `strict` of `zip`."""
        own, other = ("\n".join(lines) for lines in self.versions(mutant))
        for found, left in UNCOUNTED:
            own, other = re.sub(found, left, own), re.sub(found, left, other)
        return own != other

    def sample(self, size: int, seed: int) -> list[str]:
        """Return so many mutants, the same ones for a seed as long as there are no others."""
        drawn = sorted(self.file, key=lambda name: sha256(f"{seed} {name}".encode()).digest())
        return sorted(islice(filter(self.counts, drawn), size))


def _lines(text: str, name: str) -> list[str]:
    """Return the lines of a function by its name, which is taken out."""
    end = r"(?=\1[^\s)]|(?!\1)\s*\S|\Z)"
    found = re.search(rf"^( *)def {re.escape(name)}\(.*?\n{end}", text, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return found[0].replace(name, "f").splitlines()


def function(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]


def mutate(name: str) -> Mutants:
    """Write a copy of the library with all mutants of a part, each behind a switch, and return their names."""
    folder, kept, versions = WORK / name / "src", WORK / f"{name}.mutants", {}
    digest = sha256(repr(config().do_not_mutate_patterns).encode())
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    old = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if old.get("of") == digest.hexdigest():
        versions = old["versions"]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
        for path in sorted((folder / "studygroup").glob(PARTS[name].files)):
            text = AT_IMPORT.sub(r"\g<0>  # pragma: no mutate", path.read_text(encoding="utf-8"))
            mutated = mutate_file_contents(str(path), text)
            path.write_text(mutated.code, encoding="utf-8")
            versions[str(path.relative_to(folder))] = {
                each: mutated.hash_by_function_name[function(each)] for each in mutated.mutant_names
            }
        kept.write_text(json.dumps({"of": digest.hexdigest(), "versions": versions}), encoding="utf-8")
    made = Mutants()
    for file, own in versions.items():
        module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        made.code[folder / file] = (folder / file).read_text(encoding="utf-8")
        for each, version in own.items():
            made.file[f"{module}.{each}"] = folder / file
            made.version[f"{module}.{each}"] = version
    return made


class Kept(dict[str, list]):
    """A dictionary that is kept as JSON, a line an entry; later lines stand for earlier ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        super().__init__(json.loads(line) for line in lines)

    def keep(self, key: str, value: list) -> None:
        self[key] = value
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, value]) + "\n")


class Runner:
    """A plugin of pytest that, in place of running the tests once, runs them for every mutant in a fork."""

    def __init__(self, name: str, mutants: Mutants, sample: list[str], args: argparse.Namespace) -> None:
        self.mutants, self.budget = mutants, args.budget
        self.end = time.monotonic() + 60 * args.minutes
        # of each mutant: version of its function, verdict, the test that failed
        self.verdicts = Kept(WORK / f"{name}.verdicts")
        # of each test: age, seconds, whether it passes, functions that it calls
        self.tests = Kept(WORK / f"{name}.tests")
        self.failed = ""
        kept = {each: (self.verdicts.get(each) or [""])[:2] for each in sample}
        self.left = [
            each
            for each in sample
            if kept[each][0] != mutants.version[each] or (args.again and kept[each][1] == "survived")
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        age = {name: str(item.path.stat().st_mtime_ns) for name, item in items.items()}
        new = [name for name in items if name not in self.tests or self.tests[name][0] != age[name]]
        if new and (pid := os.fork()):
            os.waitpid(pid, 0)
            self.tests = Kept(self.tests.path)
        elif new:
            self.record([items[name] for name in new], age)
            os._exit(0)
        gc.collect()
        gc.freeze()  # what a fork does not touch need not be copied
        while self.left and time.monotonic() < self.end:
            mutant = self.left[0]
            verdict, test = self.attempt(mutant, items)
            self.verdicts.keep(mutant, [self.mutants.version[mutant], verdict, test])
            self.left.pop(0)
            print(f"{len(self.left)} left; {mutant}: {verdict} {test}", file=sys.__stderr__, flush=True)
        return True

    def record(self, items: list[pytest.Item], age: dict[str, str]) -> None:
        """Run tests on what is not mutated, and note what they call and how long they take."""
        set_mutant_under_test("stats")
        for item, following in zip(items, [*items[1:], None], strict=True):
            start, self.failed = time.process_time(), ""
            state()._stats.clear()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds = time.process_time() - start
            self.tests.keep(item.nodeid, [age[item.nodeid], seconds, not self.failed, sorted(state()._stats)])
            if self.failed:
                print(f"left out, it fails on the copy: {self.failed}", file=sys.__stderr__, flush=True)

    def attempt(self, mutant: str, items: dict[str, pytest.Item]) -> tuple[str, str]:
        """Return killed, timeout (or a crash of the process) or survived, and the test that noticed."""
        mirror = f"test_{self.mutants.file[mutant].stem}"
        chosen, seconds = [], 0.0
        calling = [name for name in items if self.tests[name][2] and function(mutant) in self.tests[name][3]]
        for name in sorted(calling, key=lambda test: (mirror not in test, self.tests[test][1])):
            if chosen and seconds + self.tests[name][1] > self.budget:
                continue
            chosen.append(items[name])
            seconds += self.tests[name][1]
        report, writing = os.pipe()
        if (pid := os.fork()) == 0:
            limit = math.ceil(10 + 5 * seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10 * limit)
            set_mutant_under_test(mutant)
            try:
                for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if self.failed:
                        break
            except BaseException as error:  # a mutant may stop pytest itself
                self.failed = repr(error)
            os.write(writing, self.failed.encode() or b"none")
            os._exit(0)
        os.close(writing)
        with os.fdopen(report, encoding="utf-8", errors="replace") as file:
            said = file.read()
        os.waitpid(pid, 0)
        if not chosen:
            return "survived", "no test calls it"
        return ("survived", "") if said == "none" else ("killed", said) if said else ("timeout", "")


def wilson(killed: int, tried: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, spread = killed / tried, z * z / tried
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / tried + spread / tried / 4)
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def run(name: str, args: argparse.Namespace) -> Iterable[str]:
    """Try a part's sample and yield its row of the table, then its survivors."""
    mutants = mutate(name)
    sample = mutants.sample(args.sample, args.seed)
    sys.path.insert(0, str(WORK / name / "src"))
    os.environ["PYTHONPATH"] = os.pathsep.join((sys.path[0], str(ROOT)))
    runner = Runner(name, mutants, sample, args)
    if runner.left:
        tests = [str(ROOT / "tests" / each) for each in PARTS[name].tests]
        options = ["-n", "0", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
        with (WORK / f"{name}.log").open("w", encoding="utf-8") as log, redirect_stdout(log):
            pytest.main([*tests, *options], plugins=[runner])
    if runner.left:
        said = f"{WORK / name}.log says what pytest did"
        sys.exit(f"{len(runner.left)} mutants are left; the same command goes on, and {said}")
    left = defaultdict(list)
    for each in sample:
        left[runner.verdicts[each][1]].append(each)
    killed = len(sample) - len(left["survived"])
    low, high = wilson(killed, len(sample))
    whole = sum(map(mutants.counts, mutants.file))
    yield (
        f"| {name} | {whole} | {len(sample)} | {killed} | {len(left['timeout'])} | {killed / len(sample):.1%} "
        f"| {low:.1%} to {high:.1%} | {len(left['survived'])} |"
    )
    for each in left["survived"]:
        yield f"{each} {runner.verdicts[each][2]}\n{mutants.change(each)}"


def main() -> None:
    """Print a row for each part, then the survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--sample", type=int, default=150, help="mutants of each part")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--again", action="store_true", help="try the survivors again, after new tests")
    parser.add_argument(
        "--budget", type=float, default=3.0, help="seconds of tests that a mutant has to survive"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then; the same command goes on")
    args = parser.parse_args()
    os.chdir(ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    config()  # read here: tests change the folder
    if len(args.parts) == 1:
        print(*run(args.parts[0], args), sep="\n", flush=True)
        return
    rows, survivors = [], []
    options = [f"--{key}={getattr(args, key)}" for key in ("sample", "seed", "minutes", "budget")]
    options += ["--again"] * args.again
    for name in args.parts or PARTS:
        done = subprocess.run(
            [sys.executable, __file__, name, *options], stdout=subprocess.PIPE, text=True, check=True
        )
        row, _, left = done.stdout.partition("\n")
        rows.append(row)
        survivors.append(left)
    print("| part | mutants | sampled | killed | of these timeouts | score | 95 % interval | survivors |")
    print("|---|---|---|---|---|---|---|---|", *rows, *survivors, sep="\n")


if __name__ == "__main__":
    main()
