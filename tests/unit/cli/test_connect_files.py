"""A client's files: what is composed, what of the user's stays, what is written where, and how it is taken back."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.cli.connect.client import Places, Target, Wanted
from hostler.cli.connect.composing import BEGIN, changes, composed, veiled, without_block
from hostler.cli.connect.known import CLIENTS
from hostler.cli.connect.writing import configured, planned, undo, write
from hostler.errors import InvalidRequest

OPEN = Target(url="http://127.0.0.1:4785", model="coder", small="tiny", context=32_768)
KEYED = Target(url="http://127.0.0.1:4785", model="coder", small="coder", context=None, keyed=True)
MADE = Target(url="http://127.0.0.1:4785", model="coder", small="coder", context=65_536, key="hostler-secret")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    home = tmp_path / "user"
    home.mkdir()
    return Places(home=home, own=tmp_path / "state" / "clients", environ={})


def put(places: Places, client: str, *wanted: Wanted, private: bool = False) -> None:
    write(client, [planned(each, places) for each in wanted], places, private=private)


@pytest.mark.parametrize("target", [OPEN, KEYED, MADE])
@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_is_told_address_and_model_and_its_files_can_be_read(
    name: str, target: Target, places: Places
) -> None:
    files = CLIENTS[name].files(target, places)
    texts = [composed(each, None) for each in files]
    assert any(target.url in text for text in texts)
    assert all("coder" in text for text in texts)
    for each, text in zip(files, texts, strict=True):
        match each.form:
            case "json":
                json.loads(text)
            case "toml":
                tomllib.loads(text)
    assert CLIENTS[name].start(target, places)


@pytest.mark.parametrize("name", CLIENTS)
def test_the_users_own_key_is_never_copied_and_a_made_one_is_there(
    name: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTLER_KEY", "hostler-mine")
    told = "".join(composed(each, None) for each in CLIENTS[name].files(KEYED, places))
    told += CLIENTS[name].start(KEYED, places)
    assert "hostler-mine" not in told
    made = "".join(composed(each, None) for each in CLIENTS[name].files(MADE, places))
    assert made.count("hostler-secret") == 1


def test_what_the_user_has_in_json_stays(places: Places) -> None:
    held = '{"theme": "dark", "provider": {"other": {"name": "o"}, "hostler": {"name": "old", "extra": 1}}}'
    wanted = CLIENTS["opencode"].files(OPEN, places)[0]
    merged = json.loads(composed(wanted, held))
    assert merged["theme"] == "dark"
    assert merged["provider"]["other"] == {"name": "o"}
    assert merged["provider"]["hostler"]["extra"] == 1
    assert merged["provider"]["hostler"]["name"] == "Hostler"


def test_json_with_comments_is_left_alone(places: Places) -> None:
    wanted = CLIENTS["opencode"].files(OPEN, places)[0]
    with pytest.raises(InvalidRequest, match="not plain JSON"):
        composed(wanted, '{\n  // mine\n  "theme": "dark"\n}')


def test_comments_and_tables_in_toml_stay(places: Places) -> None:
    held = '# mine\nmodel = "old" # was good\n\n[tui]\nnotifications = true\n\n[model_providers.other]\nname = "o"\n'
    wanted = CLIENTS["codex"].files(OPEN, places)[0]
    text = composed(wanted, held)
    data = tomllib.loads(text)
    assert "# mine" in text
    assert data["model"] == "coder"
    assert data["model_provider"] == "hostler"
    assert data["tui"] == {"notifications": True}
    assert set(data["model_providers"]) == {"other", "hostler"}
    assert composed(wanted, text) == text


LINES = st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12), max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@given(LINES, LINES)
def test_a_block_comes_and_goes_and_every_other_line_stays(before: str, text: str) -> None:
    wanted = Wanted(path=Path("x"), form="block", text=text)
    once = composed(wanted, before)
    assert without_block(once) == before
    assert composed(wanted, once) == once


def test_a_file_is_kept_once_and_put_back(places: Places) -> None:
    file = places.home / ".codex" / "hostler.config.toml"
    file.parent.mkdir()
    file.write_text("# mine\n")
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    put(places, "codex", *CLIENTS["codex"].files(KEYED, places))
    assert configured(places) == {"codex"}
    assert (file.parent / "hostler.config.toml.before-hostler").read_text() == "# mine\n"
    (done,) = undo("codex", places)
    assert done.restored
    assert done.edited is None
    assert [(each.name, each.read_text()) for each in file.parent.iterdir()] == [("hostler.config.toml", "# mine\n")]
    assert configured(places) == frozenset()
    with pytest.raises(InvalidRequest, match="Nothing was written"):
        undo("codex", places)


def test_a_file_that_was_not_there_is_gone_again_and_edits_are_kept(places: Places) -> None:
    put(places, "aider", *CLIENTS["aider"].files(OPEN, places))
    config = places.home / ".aider.hostler.conf.yml"
    config.write_text(config.read_text() + "dark-mode: true\n")
    done = {each.path: each for each in undo("aider", places)}
    edited = done[config].edited
    assert edited is not None
    assert "dark-mode: true" in edited.read_text()
    assert [each.name for each in places.home.iterdir()] == [edited.name]


def test_edits_between_two_writes_are_not_lost_by_the_undo(places: Places) -> None:
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    file = places.home / ".codex" / "hostler.config.toml"
    file.write_text(file.read_text() + '\n[tui]\ntheme = "mine"\n')
    put(places, "codex", *CLIENTS["codex"].files(KEYED, places))
    assert 'theme = "mine"' in file.read_text()
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    undo("codex", places)
    (left,) = file.parent.iterdir()
    assert left.name == "hostler.config.toml.edited"
    assert 'theme = "mine"' in left.read_text()


def test_what_was_kept_and_is_gone_does_not_take_the_rest_with_it(places: Places) -> None:
    file = places.home / ".codex" / "hostler.config.toml"
    file.parent.mkdir()
    file.write_text('approval_policy = "never"\n')
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    file.with_name(f"{file.name}.before-hostler").unlink()
    (done,) = undo("codex", places)
    assert done.edited is not None
    assert 'approval_policy = "never"' in done.edited.read_text()


def test_a_file_that_is_read_only_stays_so_and_comes_back(places: Places) -> None:
    file = places.home / ".codex" / "hostler.config.toml"
    file.parent.mkdir()
    file.write_text("# mine\n")
    file.chmod(0o444)
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    undo("codex", places)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("# mine\n", 0o444)


def test_an_undo_of_a_block_keeps_what_was_written_since(places: Places) -> None:
    file = places.moved("LLM_USER_PATH", ".config") / "io.datasette.llm" / "extra-openai-models.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("- model_id: mine\n")
    put(places, "llm", *CLIENTS["llm"].files(OPEN, places))
    assert BEGIN in file.read_text()
    file.write_text(file.read_text() + "- model_id: later\n")
    undo("llm", places)
    assert file.read_text() == "- model_id: mine\n- model_id: later\n"


def test_a_file_with_a_key_is_the_users_alone(places: Places) -> None:
    put(places, "codex", *CLIENTS["codex"].files(MADE, places), private=True)
    file = places.home / ".codex" / "hostler.config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((places.own / "written.json").stat().st_mode) == 0o600
    assert "hostler-secret" not in (places.own / "written.json").read_text()


def test_the_difference_hides_a_new_key(places: Places) -> None:
    (change,) = [planned(each, places) for each in CLIENTS["codex"].files(MADE, places)]
    told = changes(change.path, change.current, change.fresh, "hostler-secret")
    assert '+experimental_bearer_token = "(the new key)"' in told
    assert "hostler-secret" not in told


def test_nothing_is_written_through_a_link_out_of_the_home(places: Places, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (places.home / ".codex").symlink_to(elsewhere)
    with pytest.raises(InvalidRequest, match="outside"):
        put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    assert list(elsewhere.iterdir()) == []


def test_a_link_inside_the_home_stays_a_link(places: Places) -> None:
    real = places.home / "dotfiles"
    real.mkdir()
    (places.home / ".codex").symlink_to(real)
    put(places, "codex", *CLIENTS["codex"].files(OPEN, places))
    assert (places.home / ".codex").is_symlink()
    assert (real / "hostler.config.toml").exists()


def test_a_folder_that_a_variable_names_may_lie_anywhere(places: Places, tmp_path: Path) -> None:
    moved = Places(home=places.home, own=places.own, environ={"CODEX_HOME": str(tmp_path / "moved")})
    put(moved, "codex", *CLIENTS["codex"].files(OPEN, moved))
    assert (tmp_path / "moved" / "hostler.config.toml").exists()


def test_an_undo_that_fails_half_way_leaves_what_it_put_back(places: Places) -> None:
    one, two = (Wanted(path=places.home / name, form="text", text="ours\n") for name in ("one", "two"))
    one.path.write_text("mine\n")
    put(places, "aider", one, two)
    two.path.unlink()
    two.path.mkdir()
    with pytest.raises(InvalidRequest):
        undo("aider", places)
    two.path.rmdir()
    undo("aider", places)
    assert [(each.name, each.read_text()) for each in places.home.iterdir()] == [("one", "mine\n")]


def test_a_link_that_leads_in_a_circle_is_told_so(places: Places) -> None:
    path = places.home / "circle"
    path.symlink_to(path)
    with pytest.raises(InvalidRequest):
        planned(Wanted(path=path, form="text", text="x"), places)


@pytest.mark.parametrize("indent", ["", "  "])
def test_an_entry_of_a_list_is_indented_as_those_that_are_there(places: Places, indent: str) -> None:
    wanted = CLIENTS["llm"].files(OPEN, places)[0]
    held = f"# mine\n{indent}- model_id: other\n{indent}  model_name: other\n"
    assert f'\n{indent}- model_id: "hostler/coder"\n{indent}  model_name: "coder"\n' in composed(wanted, held)


def test_names_of_a_foreign_gateway_are_no_commands(places: Places) -> None:
    evil = msgspec.structs.replace(OPEN, model="a;touch b")
    with pytest.raises(InvalidRequest):
        CLIENTS["open-webui"].files(evil, places)
    assert CLIENTS["llm"].start(evil, places) == "llm -m 'hostler/a;touch b' 'Say hello.'"


def test_a_key_that_is_in_a_file_already_is_not_shown_again() -> None:
    old, new = (f"hostler-{letter * 32}" for letter in "ab")
    text = f'token = "{old}"\nmodel = "hostler-small"\n'
    assert veiled(text, None) == 'token = "(its key)"\nmodel = "hostler-small"\n'
    assert veiled(f"{old} {new}", new) == "(its key) (the new key)"
    assert veiled(f"{old} {new}", new, tells=True) == f"(its key) {new}"
