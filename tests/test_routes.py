import itertools

import numpy as np
import pytest

import studygroup as sg
from studygroup import routes as r


def test_tables():
    assert r.independent(["a", "b"], students=3).table == ((0, 1, 2), (0, 1, 2))
    assert r.independent(students=2) == sg.Routes(("",), ((0, 1),))
    assert r.branches(["layer4", "fc"], students=3).modules == (3, 3)
    tree = r.tree({"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3]})
    assert tree.layers == ("layer3", "layer4")
    assert tree.modules == (2, 4)
    assert r.hierarchical_dropout(["drop1", "drop2"]).table == ((0, 0, 1, 1), (0, 1, 0, 1))
    assert r.hierarchical_dropout(["a", "b"], views=3).students == 9
    assert r.hierarchical_dropout(["a", "b"], views=1).table == ((0,), (0,))


def test_frozen_hashable_and_kept_as_json():
    routes = r.random([("conv1", "bn1"), "layer1"], students=5, modules=3, seed=2)
    assert sg.Routes.from_json(routes.to_json()) == routes
    assert hash(sg.Routes.from_json(routes.to_json())) == hash(routes)
    led = r.branches(["fc"], students=3, leader=2)
    assert sg.Routes.from_json(led.to_json()).leader == 2
    with pytest.raises(AttributeError):
        routes.leader = 1


def test_layers_that_travel_together_share_one_draw():
    for seed in range(20):
        routes = r.random([("conv1", "bn1"), "layer1"], students=4, modules=2, seed=seed)
        assert routes.layers == ("conv1", "bn1", "layer1")
        assert routes.table[0] == routes.table[1]


@pytest.mark.parametrize(
    ("layers", "students", "modules"),
    [
        (9, 8, 2),
        (3, 8, 2),
        (2, 14, 4),
        (2, 8, 8),
        (1, 16, 16),
        (9, 3, 8),
        (4, 16, 2),
        (1, 2, 2),
        (9, 1, 2),
        (3, 1, 1),
    ],
)
def test_random_paths_are_distinct_and_no_module_idles_where_students_suffice(layers, students, modules):
    for seed in range(10):
        names = [f"l{i}" for i in range(layers)]
        routes = r.random(names, students=students, modules=modules, seed=seed)
        paths = set(zip(*routes.table, strict=True))
        assert len(paths) == students
        assert all(len(set(row)) == modules for row in routes.table) or students < modules
        assert routes.modules == (modules,) * layers
        assert routes == r.random(names, students=students, modules=modules, seed=seed)


def test_a_seed_gives_the_same_table_in_every_version():
    """A structure that was reported can be drawn again; this one by the third draw of distinct paths."""
    table = r.random(["a", "b"], students=8, modules=4, seed=35)
    assert table.table == ((2, 2, 3, 3, 0, 2, 1, 3), (0, 3, 0, 3, 1, 1, 2, 2))
    unasked, of_0, of_1 = (
        r.random(["a", "b"], students=8, modules=4, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert unasked == of_0 != of_1


def test_any_student_leads():
    for leader in range(3):
        assert r.branches(["fc"], students=3, leader=leader).leader == leader
    counted = r.branches(["fc"], students=3, leader=np.int64(2))  # JSON takes none of NumPy's
    assert counted.to_json() == r.branches(["fc"], students=3, leader=2).to_json()


TABLE = sg.Routes(("a", "b"), ((0, 1), (0, 0)), leader=0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (TABLE, ""),
        (sg.Routes(("a", "c"), TABLE.table), "layer 'c' stands where this table has 'b'"),
        (sg.Routes(("a",), ((0, 1),)), "layer None stands where this table has 'b'"),
        (
            sg.Routes(("a", "b"), ((0, 1), (0, 1))),
            "at layer 'b' its students take modules [0, 1], and here [0, 0]",
        ),
        (
            sg.Routes(("a", "b"), TABLE.table, modules=(2, 3)),
            "it has [2, 3] modules a layer, and this table [2, 1]",
        ),
        (sg.Routes(("a", "b"), TABLE.table, leader=1), "its leader is 1, and here 0"),
    ],
)
def test_where_two_tables_differ_is_said(other, said):
    assert TABLE.difference(other) == said


@pytest.mark.parametrize(("layers", "students", "modules"), [(1, 3, 2), (3, 9, 2), (5, 2, 1)])
def test_fewer_paths_than_students_are_warned_of_unless_equal_ones_are_asked_for(layers, students, modules):
    names = [f"l{i}" for i in range(layers)]
    said = (
        rf"{students} students and {modules**layers} paths \({modules} modules at each of {layers} layers\)"
    )
    with pytest.warns(r.EqualPathsWarning, match=said):
        r.random(names, students=students, modules=modules)
    table = r.random(names, students=students, modules=modules, distinct=False).table
    assert len(set(zip(*table, strict=True))) < students


def test_uniform_sampling_as_printed():
    """Each entry is uniform and independent: 2,000 tables of 4 entries, each of 16 outcomes near 125."""
    counts = dict.fromkeys(itertools.product(range(2), repeat=4), 0)
    for seed in range(2000):
        table = r.random(["a", "b"], students=2, modules=2, seed=seed, distinct=False).table
        counts[sum(table, ())] += 1
    chi_squared = sum((n - 125) ** 2 / 125 for n in counts.values())
    assert chi_squared < 37.7  # 99.9 % point at 15 degrees of freedom


def test_sharing():
    assert r.independent(["a", "b"], students=3).sharing() == 0
    assert r.tree({"a": [0, 0, 0], "b": [0, 0, 1]}).sharing() == pytest.approx((3 + 1) / 6)
    assert r.independent(students=1).sharing() == 1


def test_tables_compose():
    """A student for every pair; the first table's vary slowest."""
    both = r.compose(r.branches(["layer4", "fc.0"], students=3), r.hierarchical_dropout(["fc.2", "fc.5"]))
    assert both.layers == ("layer4", "fc.0", "fc.2", "fc.5")
    assert both.students == 12
    for student, path in enumerate(zip(*both.table, strict=True)):
        assert path == (student // 4, student // 4, student % 4 // 2, student % 2)
    idle = r.Routes(("a",), ((0, 1),), modules=(5,))
    assert r.compose(idle, r.branches(["b"], students=2)).modules == (5, 2)
    assert r.compose(idle) == idle
    three = [r.branches([name], students=2) for name in "abc"]
    assert (
        r.compose(*three)
        == r.compose(three[0], r.compose(*three[1:]))
        == r.compose(r.compose(*three[:2]), three[2])
    )
    assert len(set(zip(*r.compose(*three).table, strict=True))) == 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sg.Routes((), ()), "nobody to route"),
        (lambda: sg.Routes(("a",), ((),)), "nobody to route"),
        (lambda: sg.Routes((), ((0, 1),)), "nobody to route"),
        (lambda: sg.Routes(("a",), ()), "nobody to route"),
        (lambda: r.branches(["a"], students=0), "students is 0; give a whole number, at least 1"),
        (lambda: r.random(["a"], students=0, modules=2), "students is 0; give a whole number, at least 1"),
        (lambda: r.random(["a"], students=2, modules=0), "modules is 0; give a whole number, at least 1"),
        (lambda: sg.Routes(("a", "b"), ((0, 1), (0,))), "every row all students"),
        (lambda: sg.Routes(("a",), ((0, 2),), modules=(2,)), "modules 0 to 1"),
        (
            lambda: sg.Routes(("a",), ((0,),), modules=(0,)),
            "the number of modules of a layer is 0; give a whole number, at least 1",
        ),
        (lambda: sg.Routes(("a",), (3,)), "row 0 of the table is 3; give a list of names"),
        (lambda: r.hierarchical_dropout(["a"], views=0), "views is 0; give a whole number, at least 1"),
        (lambda: r.compose("a"), "^one of the tables is 'a'; give tables of studygroup.routes$"),
        (lambda: sg.Routes(("a", "a"), ((0,), (0,))), "named 2 times"),
        (lambda: r.branches(["layer1", "layer1.0"], students=2), "lies inside layer 'layer1'"),
        (lambda: r.branches(["", "fc"], students=2), "lies inside layer ''"),
        (lambda: r.branches(["fc"], students=2, leader=2), "leader 2"),
        (lambda: r.compose(r.branches(["a"], students=2), r.branches(["a"], students=2)), "named 2 times"),
        (lambda: r.compose(r.branches(["fc"], students=2), r.branches(["fc.2"], students=2)), "lies inside"),
        (lambda: r.compose(r.branches(["a"], students=2, leader=1)), "student 1 leads one of the tables"),
        (lambda: r.compose(), "nobody to route"),
        (lambda: r.random([], students=2, modules=2), "name at least one layer"),
        (lambda: r.branches(["2", "2"], students=2), "layer '2' is named 2 times"),
        (lambda: sg.Routes.from_json('{"leader": null, "lay'), "not a route table"),
        (lambda: sg.Routes.from_json("[]"), "not a route table"),
    ],
)
def test_a_wrong_table_is_a_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_similar_names_are_not_inside_each_other():
    assert r.branches(["layer1", "layer10"], students=2).layers == ("layer1", "layer10")
