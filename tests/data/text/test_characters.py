import pickle
import string

import pytest

from studygroup.data.text import ALPHABET, Characters

TEXTS = [
    "Good film, 9/10 <br /><br /> see IT!",
    "two  spaces, a\ttab, a\nline \u2028 end",
    "\N{GRINNING FACE} caf\u00e9 \u0130stanbul \u03a3\u0391\u03a3 \U0010ffff",
    "",
    " ",
    "x" * 1500,
    "lone \ud800 surrogate",
]


def loop(text, alphabet, length):
    """One character after the other: 1 for what is not there, 2 for a space, then the alphabet from 3 on."""
    ids = []
    for character in text.lower():
        if len(ids) < length:
            ids.append(
                2 if character == " " else 3 + alphabet.index(character) if character in alphabet else 1
            )
    return ids or [1]


def test_the_published_alphabet():
    encoder = Characters()([])
    assert (encoder.vocabulary, encoder.padding, encoder.length, encoder.full) == (69, 0, 1014, True)
    assert len(set(ALPHABET)) == len(ALPHABET) == 66
    # all printable ASCII signs but "\" and "@", and no capitals
    assert set(ALPHABET) == set(string.printable.strip()) - set(string.ascii_uppercase) - set("\\@")
    assert encoder(["aZ 9-}@"]) == [[3, 28, 2, 38, 39, 68, 1]]


@pytest.mark.parametrize("length", [1, 7, 1014, 1024])
@pytest.mark.parametrize("alphabet", [ALPHABET, "ab\u00e9\N{GRINNING FACE}", "", "\U0010ffff"])
def test_equal_to_a_loop(alphabet, length):
    encoder = Characters(alphabet=alphabet, length=length)([])
    found = encoder(TEXTS)
    assert found == [loop(text, alphabet, length) for text in TEXTS]
    assert max(map(len, found)) == min(length, 1500)
    assert all(type(number) is int and 0 < number < encoder.vocabulary for row in found for number in row)


def test_the_end_is_cut_after_lower_casing():
    capital = "\u0130"  # two characters in lower case, the first of them an i
    assert Characters(length=3)([])([capital + capital, "abcd"]) == [[11, 1, 11], [3, 4, 5]]


def test_nothing_but_case_and_strange_characters_is_lost():
    encoder = Characters()([])
    text = "A  B<br />@"
    assert encoder.decode([*encoder([text])[0], 0, 0]) == "a  b<br />\ufffd"


def test_no_texts():
    assert Characters()([])([]) == []


def test_it_can_be_pickled():
    encoder = Characters(length=20)([])
    before = len(pickle.dumps(encoder))
    ids = encoder(TEXTS)
    again = pickle.loads(pickle.dumps(encoder))
    assert again == encoder
    assert again(TEXTS) == ids
    assert len(pickle.dumps(encoder)) == before < 400


def test_a_fingerprint_stands_for_the_ids():
    settings = [{}, {"length": 1024}, {"alphabet": ALPHABET[::-1]}, {"full": False}]
    prints = [Characters(**setting)([]).fingerprint for setting in settings]
    assert len(set(prints)) == 4
    assert prints[0] == Characters()(["texts", "do not matter"]).fingerprint
    assert len(prints[0]) == 64


@pytest.mark.parametrize(
    ("alphabet", "wrong"),
    [("abca", "['a']"), ("ab c", "[' ']"), ("aBc", "['B']"), ("abc\u0130", "['\u0130']")],
)
def test_an_alphabet_with_characters_that_cannot_be(alphabet, wrong):
    with pytest.raises(ValueError, match="give each character once") as error:
        Characters(alphabet=alphabet)([])
    assert wrong in str(error.value)


def test_a_row_has_at_least_one_id():
    with pytest.raises(ValueError, match="length is 0; give how many ids"):
        Characters(length=0)([])
