"""Any bytes become prompts, or an error that names the line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unfed.console.results.prompts import MAX_FILE, MAX_ID, MAX_PROMPT, parse_prompts, read_prompts
from unfed.console.results.record import Prompt
from unfed.plugins import UnfedError


def parse(data: bytes, name: str = "prompts") -> tuple[Prompt, ...]:
    return parse_prompts(io.BytesIO(data), name)


def test_json_lines() -> None:
    data = b'{"id": "a", "prompt": "x y", "label": "l"}\n\n{"id": "b", "prompt": "z", "label": null, "more": [1]}\n'
    assert parse(data) == (Prompt(id="a", prompt="x y", label="l"), Prompt(id="b", prompt="z"))


def test_plain_text_is_numbered_without_blank_lines() -> None:
    assert parse("one\n\n  two {x}\nthrée".encode()) == (
        Prompt(id="p1", prompt="one"),
        Prompt(id="p2", prompt="  two {x}"),
        Prompt(id="p3", prompt="thrée"),
    )


def test_carriage_returns_and_byte_order_mark_come_off() -> None:
    text = b"\xef\xbb\xbfone\r\ntwo\r\n"
    assert [prompt.prompt for prompt in parse(text)] == ["one", "two"]
    lines = b'\xef\xbb\xbf\r\n{"id": "a", "prompt": "x"}\r\n'
    assert parse(lines) == (Prompt(id="a", prompt="x"),)


def test_first_line_or_name_decides() -> None:
    assert parse(b'\n  {"id": "a", "prompt": "x"}\n')[0].id == "a"
    assert parse(b"x\n{not json")[1].prompt == "{not json"
    for name in ("f.jsonl", "f.NDJSON", "f.json"):
        with pytest.raises(UnfedError, match="line 1: broken JSON"):
            parse(b'"id": "a"}\n', name)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no prompts"),
        (b"\n \r\n\t\n", "holds no prompts"),
        (b"\xef\xbb\xbf", "holds no prompts"),
        (b'{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": }\n', "line 2: broken JSON at column 23"),
        (b'{"id": "a", "prompt": "x"}\n{"id": "b"\n', "line 2: broken JSON"),
        (b'{"id": "a", "prompt": "x"}\n\n{"id": "a", "prompt": "y"}', "line 3: the id 'a' stands on line 1 already"),
        (b'{"id": "a", "prompt": "x"}\n[1]', "line 2: not a JSON object"),
        (b'{"id": "a", "prompt": "x"}\nplain text', "line 2: broken JSON"),
        (b'{"id": 1, "prompt": "x"}', "line 1: the id is not a string"),
        (b'{"id": null, "prompt": "x"}', "line 1: the id is not a string"),
        (b'{"id": "a", "prompt": ["x"]}', "line 1: the prompt is not a string"),
        (b'{"id": "a", "prompt": "x", "label": 3}', "line 1: the label is not a string"),
        (b'{"prompt": "x"}', "line 1: there is no 'id'"),
        (b'{"id": "a", "text": "x"}', "line 1: there is no 'prompt' .it holds 'id', 'text'"),
        (b'{"id": "a", "prompt": "x", "lable": "y"}', "unknown key 'lable' .did you mean 'label'"),
        (b'{"id": "a", "prompt": ""}', "line 1: the prompt is empty"),
        (b'{"id": "a", "prompt": " \\n\\t"}', "line 1: the prompt is empty"),
        (b'{"id": " ", "prompt": "x"}', "line 1: the id is empty"),
        (b'{"id": "a", "prompt": "x", "label": ""}', "line 1: the label is empty"),
        (b'{"id": "a", "prompt": "x\\u0000y"}', "line 1: the prompt holds a NUL"),
        (b"one\0two", "line 1: the prompt holds a NUL"),
        (b'{"id": "a", "prompt": "\\ud800"}', "line 1: the prompt is not valid Unicode"),
        (b'{"id": "%s", "prompt": "x"}' % (b"i" * (MAX_ID + 1)), "longer than 200"),
        (b'{"a":' + b"[" * 100_000, "line 1: JSON that no prompt needs"),
        (b'{"id": "a", "prompt": "x", "n": ' + b"9" * 5000 + b"}", "line 1: JSON that no prompt needs"),
        (b"one\ntwo\xff\n", "line 2: invalid UTF-8 at byte 7 of the file"),
        (b"\xef\xbb\xbf\xff", "line 1: invalid UTF-8 at byte 3"),
        ("one\n".encode("utf-16"), "line 1: invalid UTF-8 at byte 0"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 1: invalid UTF-8 at byte 0"),
        (b"x" * (MAX_PROMPT + 1), "line 1: the prompt is 1,000,001 bytes long"),
        (b"x" * MAX_FILE, "too large: 10 MB"),
        (b"x" * 999_999 + b"\n" + (b" " * 999_999 + b"\n") * 9, "too large: 10 MB"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else f"{len(value)} bytes",
)
def test_bad_input_is_named(data: bytes, said: str) -> None:
    with pytest.raises(UnfedError, match=said) as caught:
        parse(data)
    assert "prompts" in str(caught.value)
    assert caught.value.failure.kind == "bad-input"


def test_file_without_an_end_is_given_up_early() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None and 0 < size <= MAX_FILE
            self.given += size
            return b"x" * size

    source = Endless()
    with pytest.raises(UnfedError, match="too large"):
        parse_prompts(source, "pipe")  # type: ignore[arg-type]
    assert source.given <= MAX_FILE


@pytest.mark.parametrize("name", ["missing.txt", "", "nul\0byte", "."])
def test_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnfedError, match="cannot read the prompts file"):
        read_prompts(str(tmp_path / name) if "\0" not in name else name)


def test_errors_of_a_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "a", "prompt": "secret"}\n{"id": "b", "prompt": "secret"')
    with pytest.raises(UnfedError) as caught:
        read_prompts(path)
    assert f"{path}, line 2" in str(caught.value) and "secret" not in str(caught.value)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40).filter(
    str.strip
)


@given(st.lists(st.tuples(words, words, st.none() | words), min_size=1, unique_by=lambda each: each[0]))
def test_whatever_is_written_is_read(entries: list[tuple[str, str, str | None]]) -> None:
    lines = [
        json.dumps({"id": id_, "prompt": prompt, **({"label": label} if label else {})})
        for id_, prompt, label in entries
    ]
    assert parse("\n".join(lines).encode()) == tuple(Prompt(id=i, prompt=p, label=k) for i, p, k in entries)


@given(st.binary(max_size=400))
@example(b'{"id": "a", "prompt": "x"}')
@example(b"{" * 3000)
def test_any_bytes_are_prompts_or_a_named_error(data: bytes) -> None:
    for name in ("f", "f.jsonl"):
        try:
            prompts = parse(data, name)
        except UnfedError as error:
            assert error.failure.kind == "bad-input" and name in str(error)
        else:
            assert prompts and len({prompt.id for prompt in prompts}) == len(prompts)
            assert all(prompt.prompt.strip() for prompt in prompts)
            json.dumps([prompt.prompt for prompt in prompts], ensure_ascii=False).encode()


fragments = st.sampled_from(
    [
        '{"id":',
        '"a"',
        ',"prompt":',
        '"x"',
        ',"label":',
        "null",
        "}",
        "{",
        "[",
        "]",
        "\n",
        "\r\n",
        "\\ud800",
        "1e999",
        "NaN",
        ":",
        '"',
    ]
)


@given(st.lists(fragments, max_size=30))
def test_nearly_json_is_prompts_or_a_named_error(pieces: list[str]) -> None:
    test_any_bytes_are_prompts_or_a_named_error.hypothesis.inner_test("".join(pieces).encode())  # type: ignore[attr-defined]
