"""What is found on disk, under which names, and what a name means."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from gguf_writer import Save

from hostler.errors import ModelError
from hostler.models.library import Library, Scan
from hostler.models.naming import NAME, part_name, unique_names


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "own").mkdir()
    (tmp_path / "root").mkdir()
    return Library(tmp_path / "own", [tmp_path / "root"], True, {"HOME": str(tmp_path)})


def names(scan: Scan) -> dict[str, str]:
    return {model.name: model.origin for model in scan.models}


def test_nothing_is_there(tmp_path: Path) -> None:
    scan = Library(tmp_path / "none", [tmp_path / "gone"], True, {"HOME": str(tmp_path)}).scan()
    assert scan.models == ()
    assert [problem.path for problem in scan.problems] == [tmp_path / "gone"]


def test_our_folder_and_the_roots(library: Library, save: Save) -> None:
    save("own/A.gguf")
    save("root/deep/er/B-Q4_K_M.GGUF")
    save("root/.hidden/C.gguf")
    save("root/readme.txt")
    scan = library.scan()
    assert names(scan) == {"A": "library", "B-Q4_K_M": "root"}
    assert scan.problems == ()
    assert scan.models[0].size == scan.models[0].path.stat().st_size


def test_a_file_that_is_not_named_in_utf8_is_a_problem_of_its_own(library: Library, save: Save, tmp_path: Path) -> None:
    """No profile could be listed any more, nor any configuration taken, because of it."""
    save("own/A.gguf")
    save("own/B.gguf").rename(os.fsdecode(os.fsencode(tmp_path) + b"/own/caf\xe9.gguf"))
    scan = library.scan()
    assert names(scan) == {"A": "library"}
    assert [str(problem.path) for problem in scan.problems] == [str(tmp_path / "own/caf\\udce9.gguf")]


def test_the_same_file_is_one_model(library: Library, save: Save, tmp_path: Path) -> None:
    real = save("own/A.gguf")
    (tmp_path / "root/link.gguf").symlink_to(real)
    os.link(real, tmp_path / "root/hard.gguf")
    assert names(library.scan()) == {"A": "library"}


def test_link_loops_end(library: Library, save: Save, tmp_path: Path) -> None:
    save("root/x/A.gguf")
    (tmp_path / "root/x/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/self").symlink_to(tmp_path / "root/self")
    assert names(library.scan()) == {"A": "root"}


def test_what_cannot_be_used_is_a_problem(library: Library, save: Save, tmp_path: Path) -> None:
    save("root/page.gguf", b"<html>")
    (tmp_path / "root/dangling.gguf").symlink_to(tmp_path / "nowhere")
    scan = library.scan()
    assert scan.models == ()
    assert {problem.path.name for problem in scan.problems} == {"page.gguf", "dangling.gguf"}


def test_split_files_are_one_model(library: Library, save: Save) -> None:
    parts = [save(f"root/Big-0000{n}-of-00003.gguf") for n in (1, 2, 3)]
    (model,) = library.scan().models
    assert model.name == "Big"
    assert list(model.files) == parts
    assert model.size == sum(part.stat().st_size for part in parts)


def test_an_incomplete_split_is_a_problem(library: Library, save: Save) -> None:
    save("root/Big-00001-of-00003.gguf")
    save("root/Big-00003-of-00003.gguf")
    scan = library.scan()
    assert scan.models == ()
    assert "part 2 of 3 is missing" in scan.problems[0].reason


def test_projectors_go_with_their_model(library: Library, save: Save) -> None:
    save("root/vl/Qwen-VL-Q4_K_M.gguf")
    f16 = save("root/vl/mmproj-F16.gguf")
    save("root/vl/mmproj-F32.gguf")
    save("root/text/Plain.gguf")
    found = {model.name: model.projector for model in library.scan().models}
    assert found == {"Qwen-VL-Q4_K_M": f16, "Plain": None}


def test_projectors_in_a_flat_folder_go_by_name(library: Library, save: Save) -> None:
    named = save("root/mmproj-Qwen-VL-f16.gguf")
    save("root/Qwen-VL-Q4_K_M.gguf")
    save("root/Llama-8B.gguf")
    found = {model.name: model.projector for model in library.scan().models}
    assert found == {"Qwen-VL-Q4_K_M": named, "Llama-8B": None}


def test_a_nameless_projector_in_a_flat_folder_of_many_is_nobodys(library: Library, save: Save) -> None:
    save("root/mmproj-f16.gguf")
    save("root/One.gguf")
    save("root/Two.gguf")
    assert [model.projector for model in library.scan().models] == [None, None]


def test_hugging_face_current_revision_only(library: Library, save: Save, tmp_path: Path) -> None:
    hub = ".cache/huggingface/hub/models--org--Repo-GGUF"
    for revision in ("old", "new"):
        blob = save(f"{hub}/blobs/{revision}")
        link = tmp_path / hub / "snapshots" / revision / "sub" / f"M-{revision}.gguf"
        link.parent.mkdir(parents=True)
        link.symlink_to(blob)
    save(f"{hub}/refs/main", b"old\n")
    assert names(library.scan()) == {"M-old": "huggingface"}
    save(f"{hub}/refs/main", b"../../../../root")
    assert set(names(library.scan())) <= {"M-old", "M-new"}


def test_hugging_face_folders_by_environment(save: Save, tmp_path: Path) -> None:
    save("h/hub/models--o--r/snapshots/1/A.gguf")
    save("c/models--o--r/snapshots/1/B.gguf")
    home = {"HOME": str(tmp_path / "empty")}
    by_home = Library(tmp_path / "none", [], True, {**home, "HF_HOME": str(tmp_path / "h")})
    by_cache = Library(tmp_path / "none", [], True, {**home, "HF_HUB_CACHE": str(tmp_path / "c")})
    assert names(by_home.scan()) == {"A": "huggingface"}
    assert names(by_cache.scan()) == {"B": "huggingface"}


def test_llama_cpp_names_lose_publisher_and_repository(library: Library, save: Save) -> None:
    save(".cache/llama.cpp/manifest=org=Repo-GGUF=latest.json", b"{}")
    projector = save(".cache/llama.cpp/org_Repo-GGUF_mmproj-F16.gguf")
    save(".cache/llama.cpp/org_Repo-GGUF_Model-Q4_0.gguf")
    save(".cache/llama.cpp/Other.gguf")
    scan = library.scan()
    assert names(scan) == {"Other": "llamacpp", "Model-Q4_0": "llamacpp"}
    assert {model.name: model.projector for model in scan.models} == {"Other": None, "Model-Q4_0": projector}


def _manifest(**layers: str) -> bytes:
    kinds = [{"mediaType": f"application/vnd.ollama.image.{kind}", "digest": d} for kind, d in layers.items()]
    return json.dumps({"schemaVersion": 2, "layers": kinds}).encode()


def test_ollama_tags(library: Library, save: Save) -> None:
    store = ".ollama/models"
    model, other = save(f"{store}/blobs/sha256-aa"), save(f"{store}/blobs/sha256-bb")
    projector = save(f"{store}/blobs/sha256-cc")
    tags = f"{store}/manifests/registry.ollama.ai"
    save(f"{tags}/library/qwen3/4b", _manifest(template="sha256:dd", model="sha256:aa", projector="sha256:cc"))
    save(f"{tags}/library/qwen3/latest", _manifest(model="sha256:aa"))
    save(f"{tags}/someone/tuned/q8", _manifest(model="sha256:bb"))
    save(f"{tags}/library/broken/1b", b"{")
    save(f"{tags}/library/evil/1b", _manifest(model="sha256:../../../own/A"))
    save(f"{tags}/library/gone/1b", _manifest(model="sha256:ee"))
    scan = library.scan()
    assert names(scan) == {"qwen3:4b": "ollama", "someone/tuned:q8": "ollama"}
    assert [(m.path, m.projector) for m in scan.models] == [(model, projector), (other, None)]
    assert {problem.path.name for problem in scan.problems} == {"1b", "sha256-ee"}


def test_lm_studio_by_pointer(library: Library, save: Save, tmp_path: Path) -> None:
    save("elsewhere/models/pub/Repo-GGUF/M-Q8_0.gguf")
    save(".lmstudio/models/pub/Repo-GGUF/N-Q8_0.gguf")
    save(".lmstudio-home-pointer", str(tmp_path / "elsewhere").encode())
    assert names(library.scan()) == {"M-Q8_0": "lmstudio", "N-Q8_0": "lmstudio"}


def test_caches_can_be_left_out(save: Save, tmp_path: Path) -> None:
    save(".lmstudio/models/pub/Repo/N.gguf")
    assert Library(tmp_path / "own", [], False, {"HOME": str(tmp_path)}).scan().models == ()


def test_equal_names_are_told_apart_for_good(library: Library, save: Save) -> None:
    save("own/M.gguf")
    assert names(library.scan()) == {"M": "library"}
    save("root/alpha/M.gguf")
    save("root/beta/m.gguf")
    save(".lmstudio/models/pub/Repo/M.gguf")
    assert list(names(library.scan())) == ["M", "M-alpha", "m-beta", "M-Repo"]


@pytest.mark.parametrize("text", ["Ünïcode model (1)", "...", "", "a b", "-x-", "M:4b", "\x00"])
def test_any_file_name_gives_a_possible_name(text: str) -> None:
    first, second, third = unique_names([(text, ()), (text, ("#",)), (text, ("#",))])
    assert len({first, second, third}) == 3
    assert all(NAME.fullmatch(name) for name in (first, second, third))


def test_part_names() -> None:
    assert part_name("X-00002-of-00003.gguf") == ("X", 2, 3)
    assert part_name("X.gguf") == ("X", 1, 1)
    assert part_name("X-00000-of-00000.gguf") == ("X-00000-of-00000", 1, 1)


@pytest.mark.parametrize("ref", ["A-Q4_0", "A-Q4_0.gguf", "deep/A-Q4_0.gguf", "~/root/deep/A-Q4_0.gguf", "PATH"])
def test_a_model_is_found_by_what_people_write(library: Library, save: Save, ref: str) -> None:
    path = save("root/deep/A-Q4_0.gguf")
    scan = library.scan()
    assert library.find(str(path) if ref == "PATH" else ref, scan) == scan.models[0]


def test_a_file_outside_every_root(library: Library, save: Save) -> None:
    parts = tuple(save(f"away/Z-0000{n}-of-00002.gguf") for n in (1, 2))
    projector = save("away/mmproj-Z-f16.gguf")
    save("away/Other.gguf")
    found = library.find(str(parts[1]), library.scan())
    assert (found.name, found.files, found.origin, found.projector) == ("Z", parts, "path", projector)


def test_a_relative_path(library: Library, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save("away/Z.gguf")
    monkeypatch.chdir(tmp_path)
    scan = library.scan()
    assert library.find("away/Z.gguf", scan).files == (path,)
    assert library.find("./away/Z.gguf", scan).files == (path,)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("Qwen4-4B", "Nearest: Qwen3-4B"),
        ("qwn3.gguf", "Nearest: Qwen3-4B"),
        ("nothing-like-it", "library root"),
        ("", "library root"),
        ("/no/such.gguf", "does not exist"),
        ("~/root", "is a folder"),
        ("~/root/page.gguf", "HTML"),
        ("page.gguf", "HTML"),
        ("~/root/mmproj-a.gguf", "projector"),
        ("~/half-00001-of-00002.gguf", "part 2 of 2 is missing"),
    ],
)
def test_what_is_not_found_says_what_to_do(library: Library, save: Save, ref: str, said: str) -> None:
    save("root/Qwen3-4B.gguf")
    save("root/page.gguf", b"<html></html>")
    save("root/mmproj-a.gguf")
    save("half-00001-of-00002.gguf")
    with pytest.raises(ModelError) as caught:
        library.find(ref, library.scan())
    assert said in str(caught.value)


def test_nothing_is_ever_written(library: Library, save: Save, tmp_path: Path) -> None:
    save(".ollama/models/blobs/sha256-aa")
    save(".cache/huggingface/hub/models--o--r/snapshots/1/A.gguf")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    library.scan()
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
