import csv

import pytest
import torch

from studygroup.training.confusion import NO_CLASS, Answers, Confusion, read_confusion
from studygroup.training.scores import score_net

pytestmark = pytest.mark.slow  # whole runs

COUNTS = Confusion({(0, 0): 3, (0, 2): 2, (1, 0): 2, (2, 2): 1, (2, 1): 4, (2, NO_CLASS): 1})


def test_sums_by_class():
    assert (COUNTS.total, COUNTS.total_right) == (13, 4)
    assert COUNTS.rows == {0: 5, 1: 2, 2: 6}
    assert [COUNTS.answers[k] for k in (0, 1, 2, NO_CLASS, 7)] == [5, 4, 3, 1, 0]
    assert [COUNTS.right(k) for k in range(3)] == [3, 0, 1]
    assert [COUNTS.errors(k) for k in range(3)] == [2, 2, 5]
    assert COUNTS.mistaken() == [(2, 1), (0, 2), (1, 0), (2, NO_CLASS)]


def test_answers_are_those_of_a_loop():
    torch.manual_seed(0)
    logits, labels = torch.randn(12, 4), torch.randint(4, (12,))
    logits[3, 1] = float("nan")
    answers = Answers()
    answers.add(logits[:7], labels[:7])
    answers.add(logits[7:], labels[7:])
    expected: dict[tuple[int, int], int] = {}
    for n in range(12):
        answer = NO_CLASS if n == 3 else max(range(4), key=logits[n].tolist().__getitem__)
        expected[int(labels[n]), answer] = expected.get((int(labels[n]), answer), 0) + 1
    assert answers.read().counts == expected
    assert Answers().read().total == 0


def test_they_are_kept_in_the_pass_that_scores():
    net = torch.nn.Linear(5, 3)
    batches = [(torch.randn(8, 5), torch.arange(8) % 3), (torch.randn(4, 5), torch.arange(4) % 3)]
    answers, asked = Answers(), []
    net.register_forward_hook(lambda *_: asked.append(None))
    scores = score_net(net, batches, each=answers.add)
    assert len(asked) == 2
    assert scores == score_net(net, batches)
    found = answers.read()
    assert (found.total, found.total_right) == (12, round(12 * scores.students[0]))


def test_they_come_back_from_their_file(tmp_path):
    path = tmp_path / "confusion.csv"
    assert read_confusion(path, classes=3, rows=13, right=4 / 13) is None
    COUNTS.write(path)
    assert path.read_text().splitlines()[:2] == ["label,answer,rows", "0,0,3"]
    assert "2,,1" in path.read_text().splitlines()
    assert read_confusion(path, classes=3, rows=13, right=4 / 13) == COUNTS


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["label,answer"], "its columns are not label, answer, rows"),
        (["label,answer,rows", "0,3,13"], "'0,3,13' is no count of 3 classes"),
        (["label,answer,rows", ",0,13"], "',0,13' is no count of 3 classes"),
        (["label,answer,rows", "0,0,-1"], "'0,0,-1' is no count of 3 classes"),
        (["label,answer,rows", "0,0,4", "1,0,9", "0,0,4"], "label 0 and answer 0 stand twice"),
        (["label,answer,rows", "0,0,5", "1,0,8"], "it has 5 right answers on 13 rows, where the summary has 4 on 13"),
        (["label,answer,rows", "0,0,4", "1,0,8"], "it has 4 right answers on 12 rows"),
        (["label,answer,rows", "0,0,many"], "invalid literal"),
        (["label,answer,rows", "0,0"], "not enough values"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(lines, said, tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(
        ValueError, match=r"confusion.csv cannot be read .*remove it to do without it"
    ) as refused:
        read_confusion(path, classes=3, rows=13, right=4 / 13)
    assert said in str(refused.value)


def test_a_run_keeps_what_its_summary_says(finished):
    for folder in (finished.folder, finished.folder.baseline):
        found = folder.read_summary()
        kept = read_confusion(
            folder.confusion, classes=len(found.run.classes), rows=found.test.rows, right=found.shipped.test
        )
        assert kept.total == 60
        assert kept.total_right == round(60 * found.shipped.test)
        with folder.confusion.open(newline="") as file:
            assert sum(int(line["rows"]) for line in csv.DictReader(file)) == 60
