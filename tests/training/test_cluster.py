"""One coordinator hands out work, keeps what comes back, and tells what went wrong."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from studygroup.training import NonFiniteLossError, cluster
from studygroup.training.cluster import Job, Outcome, attempt, check_place, hand_out, on_ray
from studygroup.training.folder import try_lock

FAILED = Outcome(words="ValueError: no", failed=True)


@dataclass
class FakeJob(Job):
    """Ends when it was asked so often."""

    answer: Outcome
    asked: int = 1
    log: list = field(default_factory=list)

    @property
    def place(self):
        return "log here"

    def ended(self):
        self.asked -= 1
        return self.asked <= 0

    def outcome(self):
        self.log.append("outcome")
        return self.answer


@dataclass
class Sum:
    """Work that adds, or fails."""

    name: str = "sum"
    folder: Path | None = None
    error: Exception | None = None

    def __str__(self):
        return f"the {self.name}"

    def __call__(self):
        if self.error is not None:
            raise self.error
        return 1 + 1


def test_outcomes_come_as_they_end(capsys):
    jobs, came = [FakeJob(Outcome(4), asked=3), FakeJob(Outcome(5))], []
    works = [Sum("first"), Sum("second")]
    hand_out(works, lambda batch: jobs, lambda *pair: came.append(pair), at_once=None)
    assert came == [(works[1], Outcome(5)), (works[0], Outcome(4))]
    assert [job.log for job in jobs] == [["outcome"]] * 2
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2: the first: log here",
        "2 of 2: the second: log here",
        "the second: finished",
        "the first: finished",
    ]


def test_a_failure_is_told_and_the_others_go_on(capsys):
    jobs, came = [FakeJob(FAILED), FakeJob(Outcome(4), asked=3)], []
    with pytest.raises(RuntimeError, match="1 of 2 runs failed, see above; what is finished is kept"):
        hand_out([Sum("a"), Sum("b")], lambda _: jobs, lambda *pair: came.append(pair[1]), at_once=None)
    assert came == [FAILED, Outcome(4)]
    assert "the a: ValueError: no (log here)" in capsys.readouterr().err


def test_work_that_is_left_is_no_failure(capsys):
    hand_out([Sum()], lambda _: [FakeJob(Outcome(words="elsewhere"))], lambda *_: None, at_once=None)
    assert "the sum: elsewhere (log here)" in capsys.readouterr().err


def test_no_more_than_asked_at_once_and_in_order():
    works, given, alive = [Sum(str(number)) for number in range(6)], [], []

    def start(batch):
        jobs = [FakeJob(Outcome(2), asked=2 + len(given) % 2) for _ in batch]
        alive[:] = [job for job in alive if job.asked > 0] + jobs
        given.append((len(alive), [work.name for work in batch]))
        return jobs

    hand_out(works, start, lambda *_: None, at_once=4)
    assert given[0] == (4, ["0", "1", "2", "3"])
    assert given[1][1] == ["4", "5"]
    assert max(together for together, _ in given) == 4
    assert sum(len(names) for _, names in given) == 6


def test_an_attempt_returns_what_was_found(tmp_path):
    assert attempt(Sum()) == Outcome(2)
    assert attempt(Sum(folder=tmp_path / "new")) == Outcome(2)


@pytest.mark.parametrize(
    ("error", "words", "failed"),
    [
        (NonFiniteLossError("loss is nan"), "loss is nan", False),
        (KeyError("x"), "KeyError: 'x'", True),
    ],
)
def test_an_attempt_says_what_went_wrong(capsys, error, words, failed):
    outcome = attempt(Sum(error=error))
    assert (outcome.found, outcome.words, outcome.failed) == (None, words, failed)
    assert outcome.stopped is not failed
    assert ("Traceback" in capsys.readouterr().err) == failed


def test_an_attempt_leaves_a_folder_that_stays_held(tmp_path):
    with try_lock(tmp_path) as free:
        assert free
        assert attempt(Sum(folder=tmp_path), patience=0.05).words == "in hand elsewhere"
    assert attempt(Sum(folder=tmp_path)).found == 2


def test_an_attempt_waits_for_a_folder_that_is_let_go_of(tmp_path, monkeypatch):
    folder, rest = try_lock(tmp_path), []
    assert folder.__enter__()

    def sleep(seconds):
        rest.append(seconds)
        if len(rest) == 3:
            folder.__exit__(None, None, None)

    monkeypatch.setattr(cluster.time, "sleep", sleep)
    assert attempt(Sum(folder=tmp_path), patience=60).found == 2
    assert rest == [2.0] * 3


def test_one_call_at_a_time_hands_out_to_ray(tmp_path):
    with try_lock(tmp_path), pytest.raises(ValueError, match="another call with --on ray"):
        on_ray([Sum()], lambda *_: None, logs=tmp_path, jobs=None, cluster={})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("here", {"init": {}}, None), "is for --on ray; give that"),
        (("ray", {}, 0), "--jobs 0 does nothing; give at least one"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        check_place(*arguments)
    check_place("ray", {"init": {}}, 2)
