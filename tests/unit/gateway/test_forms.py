"""Forms: the model is found wherever it stands, renamed without touching anything else, and nothing is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import InvalidRequest
from hostler.gateway.asking.forms import HEAD, PARTS, peek_form, renamed_form

KIND = b"multipart/form-data; boundary=xYz"


def form(*fields: tuple[str, bytes], mark: bytes = b"xYz") -> bytes:
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (mark, n.encode(), v) for n, v in fields
    ]
    return b"".join(parts) + b"--%b--\r\n" % mark


def test_the_model_is_found_before_and_after_a_file() -> None:
    sound = (b"RIFF" + bytes(range(256))) * 4000
    for fields in (
        (("model", b"ear"), ("file", sound)),
        (("file", sound), ("language", b"en"), ("model", b"ear"), ("stream", b"true")),
    ):
        assert peek_form(form(*fields), KIND).model == "ear"
    assert peek_form(form(*fields), KIND).stream is True


def test_no_model_is_none() -> None:
    asked = peek_form(form(("file", b"x")), KIND)
    assert (asked.model, asked.stream) == (None, None)


@pytest.mark.parametrize(
    "kind",
    [
        b'multipart/form-data; boundary="xYz"',
        b"Multipart/Form-Data;charset=utf-8; Boundary=xYz",
        b"multipart/form-data;boundary=xYz; charset=utf-8",
    ],
)
def test_ways_to_write_the_boundary(kind: bytes) -> None:
    assert peek_form(form(("model", b"ear")), kind).model == "ear"


def test_heads_that_clients_write() -> None:
    curl = (
        b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="model.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        b'name="model"\r\n\r\nno\r\n'
        b"--xYz\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; name=model\r\n\r\near\r\n--xYz--"
    )
    assert peek_form(curl, KIND).model == "ear"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", b"application/json"),
        (form(("model", b"ear")), b"multipart/form-data"),
        (form(("model", b"ear")), b"multipart/form-data; boundary=other"),
        (form(("model", b"ear"))[:-12], KIND),
        (b"", KIND),
        (b"--xYz\r\n" + b"a" * HEAD + b"\r\n\r\nx\r\n--xYz--", KIND),
        (form(*(("field", b"x") for _ in range(PARTS + 1))), KIND),
        (form(("model", b"\xff\xfe")), KIND),
    ],
)
def test_what_is_no_form_is_told(body: bytes, kind: bytes) -> None:
    with pytest.raises(InvalidRequest):
        peek_form(body, kind)


@given(
    st.lists(st.tuples(st.sampled_from(["model", "file", "prompt"]), st.binary().filter(lambda b: b"xYz" not in b))),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1),
)
def test_only_the_model_is_renamed(fields: list[tuple[str, bytes]], name: str) -> None:
    expected = form(*((each, name.encode() if each == "model" else value) for each, value in fields))
    assert renamed_form(form(*fields), KIND, name) == expected


def head(disposition: str) -> bytes:
    return f"--xYz\r\nContent-Disposition: form-data{disposition}\r\n\r\near\r\n--xYz--".encode()


@pytest.mark.parametrize(
    "disposition",
    [
        '; name="model"; name="file"',
        "; name=model; name=file",
        "; NAME = model",
        '; filename="a\\"; name=file; \\\\"; name="model"',
        "; filename*=UTF-8''a%22%3B%20name%3Dfile; name=model",
        "; name*=UTF-8''file; name=model",
        '; filename="model.wav"; name="mo\\del"',
        '; odd; ; name="model"; filename=x',
        ';name=model;filename="',
    ],
)
def test_the_first_name_of_a_part_counts(disposition: str) -> None:
    assert peek_form(head(disposition), KIND).model == "ear"


@pytest.mark.parametrize(
    "disposition",
    [
        '; name="file"; name="model"',
        '; filename="x; name=model"; name=file',
        '; filename="\\"; name=\\"model"; name=file',
        "; filename=name=model",
        "; filename*=UTF-8''x%3B name=model",
        '; name="model\\"x"',
        '; name=""',
        "",
    ],
)
def test_what_only_looks_like_a_name_is_none(disposition: str) -> None:
    assert peek_form(head(disposition), KIND).model is None


def test_of_a_field_that_comes_twice_the_first_counts() -> None:
    assert peek_form(form(("model", b"ear"), ("file", b"x"), ("model", b"eye")), KIND).model == "ear"
