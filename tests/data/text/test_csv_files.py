import os
import random

import pytest

from studygroup.data.text.cache import cache_folder
from studygroup.data.text.csv_files import is_numbered, named_table, numbered_table


@pytest.fixture
def file(tmp_path):
    """Writes a CSV file and gives its path."""

    def write(text, name="train.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(**options))
        return str(path)

    return write


def rows(table):
    return list(zip(table["text"], table["label"], strict=True))


def test_the_official_form(file):
    text = '"5","dr. ""goldberg"", m.d.\\n\\nhe\'s nice"\n"1","plain, with a comma"\n3,bare\n'
    assert rows(numbered_table([file(text)])) == [
        ('dr. "goldberg", m.d.\n\nhe\'s nice', 4),
        ("plain, with a comma", 0),
        ("bare", 2),
    ]


def test_columns_of_text_are_joined(file):
    text = '"2","title","content"\n"1","","no title"\n"1","NA","null"\n'
    assert rows(numbered_table([file(text)])) == [("title content", 1), (" no title", 0), ("NA null", 0)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_line_ends_blank_lines_and_marks(file, start, end):
    text = start + end.join(['"1","a"', "", '"2","b"'])
    assert rows(numbered_table([file(text)])) == [("a", 0), ("b", 1)]


def test_files_are_read_one_after_another(file):
    files = [file("1,a\n", "a.csv"), file("2,b\n", "b.csv")]
    assert rows(numbered_table(files)) == [("a", 0), ("b", 1)]
    assert rows(numbered_table(files[::-1])) == [("b", 1), ("a", 0)]


def test_a_header_with_text_and_label(file):
    text = 'id,label,text,date\n1,pos,"two\nlines, \\n",x\n2, neg ,ünï,y\n'
    assert rows(named_table([file(text)])) == [("two\nlines, \\n", "pos"), ("ünï", "neg")]


def test_what_tells_the_forms_apart(file):
    assert is_numbered(file('"1","a"\n'))
    assert not is_numbered(file("text,label\n1,1\n"))


def test_many_rows(file):
    rng = random.Random(0)
    texts = ["".join(rng.choices("ab \",\n\r'\\é", k=rng.randint(0, 30))) for _ in range(5000)]
    lines = "".join(
        f'"{i % 4 + 1}","{text.replace(chr(34), chr(34) * 2)}"\r\n' for i, text in enumerate(texts)
    )
    table = numbered_table([file(lines)])
    assert rows(table) == [(text, i % 4) for i, text in enumerate(texts)]
    assert len(table.data.column("text").chunks) == 5  # written block by block


def test_a_file_is_read_once(file):
    path = file("1,a\n")
    table = numbered_table([path])
    kept = cache_folder() / "tables"
    (made,) = kept.glob("*.arrow")
    before = made.stat().st_mtime_ns
    assert rows(numbered_table([path])) == rows(table)
    assert made.stat().st_mtime_ns == before
    file("1,b\n")
    os.utime(path, ns=(0, 0))
    assert rows(numbered_table([path])) == [("b", 0)]
    assert len(list(kept.glob("*.arrow"))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,a\n2,b,c\n3,d\n", r"train\.csv, line 2: there are 3 columns and 2 in the first row"),
        ('1,"a\nb"\n\n2\n', r"train\.csv, line 4: there are 1 columns and 2 in the first row"),
        ('1,a\n2,"b\n3,c\n', r"train\.csv, line 2: this row is no CSV \(unexpected end of data\)"),
        ('1,a\n2,"b"c"\n', r"train\.csv, line 2: this row is no CSV \(',' expected after '\"'\)"),
        ('1,a\n2,"b\n3,"c"\n', r"train\.csv, line 2: this row is no CSV"),
        ('1,a\n2,"' + "b" * 200_000 + "\n", r"line 2: this row is no CSV \(unexpected end of data\)"),
        ("1,a\n0,b\n", r"line 2: the class is '0'; .* class numbers from 1 on"),
        ("1,a\n-1,b\n", r"line 2: the class is '-1'"),
        ("1,a\n,b\n", r"line 2: the class is ''"),
        ("1,a\npos,b\n", r"line 2: the class is 'pos'"),
        ("1,a\n1.0,b\n", r"line 2: the class is '1\.0'"),
        ("1,a\n99999999999999999999,b\n", r"line 2: the class is '9+'"),
        ("1\n2\n", r"line 1: there is a class number and no text"),
        ("", r"train\.csv is empty"),
        ("\n\n", r"train\.csv is empty"),
        ("1,fa\u00e7ade\n".encode("latin-1"), r"train\.csv, line 1, cannot be read as text in UTF-8"),
        (b"1,a\n" * 3000 + b"1,\xff\n1,a\n", r"train\.csv, line 3001, cannot be read as text in UTF-8"),
        (
            "text,label\nfa\u00e7ade,1\n".encode("latin-1"),
            r"train\.csv, line 2, cannot be read as text in UTF-8 \(.*\); convert it, .*iconv -f latin1",
        ),
        ("1,a\n".encode("utf-16-le"), r"train\.csv begins with bytes of value 0, .*iconv -f utf-16le"),
        ("1,a\n".encode("utf-16-be"), r"train\.csv begins with bytes of value 0"),
        ("1,a\n".encode("utf-32"), r"train\.csv, line 1, cannot be read as text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"train\.csv, line 1, cannot be read as text in UTF-8"),
    ],
)
def test_damaged_files(file, text, message):
    with pytest.raises(ValueError, match=message):
        numbered_table([file(text)])
    assert not list((cache_folder() / "tables").glob("*.arrow"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"train\.csv begins with \['a', 'b'\]: neither a class number nor a header"),
        ("text,label,text\na,x,b\n", r"train\.csv has two columns called 'text'; rename one"),
        ("text|label\na|x\n", r"train\.csv begins with \['text\|label'\]: neither"),
        ("sep=;\ntext;label\n", r"train\.csv begins with \['sep=;'\]: neither"),
        ("text;label\na;x\nb;c;y\n", r"line 3: there are 3 columns and 2 in the first row"),
        ("text,label\na,x\nb,\n", r"line 3: there is no label"),
        ("text,label\na,x\nb\n", r"line 3: there are 1 columns and 2 in the first row"),
        ("", r"train\.csv is empty"),
    ],
)
def test_damaged_files_with_a_header(file, text, message):
    with pytest.raises(ValueError, match=message):
        named_table([file(text)])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as text"):
        numbered_table([str(tmp_path)])


@pytest.mark.parametrize("length", [131_072, 131_073, 3_000_000])
@pytest.mark.parametrize("quote", ['"', ""])
def test_texts_of_any_length(file, length, quote):
    long = "word " * (length // 5) + "x" * (length % 5)
    text = f"text,label\n{quote}{long}{quote},b\nshort,a\n"
    assert rows(named_table([file(text)])) == [(long, "b"), ("short", "a")]
    assert rows(numbered_table([file(f"2,{quote}{long}{quote}\n1,short\n", "other.csv")])) == [
        (long, 1),
        ("short", 0),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_write(file, delimiter, end, encoding):
    lines = ["label|text|id", '1|"ünï, a; b\tc"|7', '2|"two\nlines ""said"""|8', "3||9"]
    text = end.join(line.replace("|", delimiter) for line in lines)
    assert rows(named_table([file(text, encoding=encoding)])) == [
        ("ünï, a; b\tc", "1"),
        ('two\nlines "said"', "2"),
        ("", "3"),
    ]
    bare = end.join(f'{i}{delimiter}"a, b; c"' for i in (2, 1))
    assert is_numbered(file(bare, encoding=encoding))
    assert rows(numbered_table([file(bare, encoding=encoding)])) == [("a, b; c", 1), ("a, b; c", 0)]


def test_commas_come_first(file):
    assert rows(named_table([file("text,label,x;y\na;b,c,1\n")])) == [("a;b", "c")]
    assert rows(numbered_table([file("1,a;b\tc\n")])) == [("a;b\tc", 0)]


def test_characters_of_value_0_are_kept(file):
    assert rows(named_table([file("text,label\na\0b,x\n")])) == [("a\0b", "x")]
