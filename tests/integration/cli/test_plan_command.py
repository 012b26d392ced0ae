"""`hostler plan`: files, profiles and machines; what it prints, and what it says when that cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cli_run import Run
from fake_gateway import INSTANCE, FakeGateway
from rich.cells import cell_len

from hostler.cli.completion import complete_machine
from hostler.cli.output import rate
from hostler.cli.plan_view import parts
from hostler.cli.planning import complete_kv, complete_place
from hostler.client.locate import RECORD, GatewayRecord
from hostler.errors import Unauthorized
from hostler.hardware import machines
from hostler.hardware.process import process_start_time
from hostler.testing.gguf_files import write_tiny_gguf
from hostler.testing.zoo import GLM_4_7_FLASH, GPT_OSS_120B, LLAMA_3_1_8B
from hostler.wire.comparison import Compared
from hostler.wire.plan import PlanReport

MIB = 2**20
DESKTOP = "rtx4090-5070ti"


@pytest.fixture
def glm(home: Path) -> Path:
    (home / "models").mkdir()
    return GLM_4_7_FLASH.write(home / "models", "Q4_K_M")


@pytest.fixture
def llama(home: Path) -> Path:
    (home / "models").mkdir(exist_ok=True)
    return LLAMA_3_1_8B.write(home / "models", "Q4_K_M")


def planned(run: Run, *arguments: str) -> PlanReport:
    done = run("plan", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=PlanReport)


def test_it_reads_well_on_eighty_columns(run: Run, glm: Path) -> None:
    done = run("plan", str(glm), "--hardware", DESKTOP, "--context", "128K", "--kv", "q8_0")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"GLM-4.7-Flash-Q4_K_M on {DESKTOP}"
    assert max(cell_len(line.rstrip()) for line in lines) <= 80
    for told in ("gpu0  NVIDIA GeForce RTX 4090", "e experts 15.6", "held by others 3.3", "context empty", "full, 128K",
                 "--fit off", "--cache-type-k q8_0", "Other ways"):  # fmt: skip
        assert told in done.stdout
    assert "\x1b" not in done.stdout


def test_nothing_is_cut_off_on_a_narrow_terminal(run: Run, llama: Path) -> None:
    told = planned(run, str(llama), "--hardware", "cpu-2core")
    lines = [line for part in parts(told, 40, color=False) for line in str(part).splitlines()]
    assert max(map(len, lines)) <= 40
    text = " ".join(" ".join(lines).split())
    assert "context empty: decode" in text
    assert f"prefill {rate(told.speeds[0].prefill.value)} (" in text
    assert all(" ".join(flag.argv) in text and flag.reason in text for flag in told.flags)


@pytest.mark.parametrize("name", machines.names())
def test_every_shipped_machine_can_be_planned_for(run: Run, llama: Path, name: str) -> None:
    told = planned(run, str(llama), "--hardware", name)
    assert told.machine.name == name
    assert told.machine.described
    assert told.speeds[0].decode.low < told.speeds[0].decode.value < told.speeds[0].decode.high
    assert [speed.depth for speed in told.speeds] == [0, 4096, 8191]
    assert sum(span.last - span.first + 1 for span in told.layout.layers) == told.model.layers
    assert all(device.free >= 0 for device in told.devices)


def test_a_profile_by_its_alias_with_other_wishes(run: Run, home: Path, llama: Path) -> None:
    (home / "hostler.toml").write_text(
        f'[profiles.coder]\nmodel = "{llama.name}"\naliases = ["gpt-4o"]\ncontext = 4096\nkv = "q4_0"\nslots = 2\n'
    )
    told = planned(run, "gpt-4o", "--hardware", DESKTOP)
    assert (told.profile, told.model.name) == ("coder", "Llama-3.1-8B-Q4_K_M")
    assert (told.run.context, told.run.slots, told.run.cache_k) == (4096, 2, "q4_0")
    other = planned(run, "coder", "--hardware", DESKTOP, "--context", "max", "--kv", "f16", "--slots", "1")
    assert (other.run.context, other.run.slots, other.run.cache_k) == (131072, 1, "f16")
    assert planned(run, "coder", "--hardware", DESKTOP, "--context", "2000").run.context == 2000


def test_what_a_header_says_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", general__architecture="lla\x1b[31mma")
    shown = run("plan", str(path), "--hardware", DESKTOP)
    assert "\x1b" not in shown.stdout + shown.stderr


def test_a_split_model_by_its_first_part(run: Run, home: Path) -> None:
    part = home / "models" / "big-00001-of-00002.gguf"
    part.parent.mkdir()
    part.write_bytes(b"G")
    done = run("plan", str(part), "--hardware", DESKTOP)
    assert done.exit_code == 1
    assert "big-00001-of-00002.gguf" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--context", "many"), 2, "--context takes a number of tokens"),
        (("--context", "4"), 2, "--context takes a number of tokens"),
        (("--kv", "q9"), 2, "--kv takes one of f32, f16"),
        (("--hardware", "dgx"), 1, "Did you mean dgx-spark?"),
        (("--hardware", "dgx", "--hardware", "this"), 1, "Did you mean dgx-spark?"),
    ],
)
def test_wrong_options(run: Run, llama: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = run("plan", str(llama), *arguments)
    assert done.exit_code == code
    assert told in done.stderr


def test_unknown_names_lead_to_the_nearest(run: Run, home: Path, llama: Path) -> None:
    (home / "hostler.toml").write_text(f'[profiles.coder]\nmodel = "{llama.name}"\n')
    for asked, near in (("codr", "Nearest: coder."), ("Llama-3.1-8B-Q4_K_S", "Nearest: Llama-3.1-8B-Q4_K_M.")):
        done = run("plan", asked)
        assert done.exit_code == 1
        assert near in done.stderr
    assert "does not exist" in run("plan", "./nothing.gguf").stderr


def test_a_broken_file_is_told(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(20))
    done = run("plan", str(broken), "--hardware", DESKTOP)
    assert done.exit_code == 1
    assert "broken.gguf" in done.stderr


def test_what_does_not_fit_says_so_with_numbers(run: Run, home: Path, glm: Path) -> None:
    done = run("plan", str(glm), "--hardware", "m2-16gb")
    assert done.exit_code == 1
    assert "GLM-4.7-Flash-Q4_K_M does not fit m2-16gb. It needs about 1" in done.stderr
    assert "GiB on gpu0" in done.stderr
    assert "smaller" in done.stderr


def test_machines_side_by_side(run: Run, home: Path, glm: Path) -> None:
    names = (DESKTOP, "dgx-spark", "m2-16gb")
    options = [word for name in names for word in ("--hardware", name)]
    done = run("plan", str(glm), *options, "--context", "64K")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "context 64K" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == list(names)
    assert "does not fit" in lines[4]
    assert "3,999 USD" in lines[3]
    assert max(cell_len(line.rstrip()) for line in lines) <= 80
    told = msgspec.json.decode(run("plan", str(glm), *options, "--json").stdout, type=list[Compared])
    assert [each.plan is None for each in told] == [False, False, True]
    assert [each.problem is None for each in told] == [True, True, False]
    assert told[0].machine.price is not None
    assert run("plan", str(glm), "--hardware", "m2-16gb", "--hardware", "cpu-2core").exit_code == 1


def test_contexts_that_differ_have_a_column(run: Run, home: Path) -> None:
    (home / "models").mkdir()
    path = GPT_OSS_120B.write(home / "models", "MXFP4")
    done = run("plan", str(path), "--hardware", DESKTOP, "--hardware", "h200", "--context", "max", "--slots", "8")
    assert done.exit_code == 0, done.stderr
    assert ("CONTEXT" in done.stdout) != ("context 128K" in done.stdout)


def test_flags_that_contradict_the_plan_are_errors(run: Run, home: Path, llama: Path) -> None:
    (home / "hostler.toml").write_text(
        f'[profiles.mine]\nmodel = "{llama.name}"\n[profiles.mine.engine]\nextra_args = ["-ngl", "99"]\n'
    )
    done = run("plan", "mine", "--hardware", DESKTOP)
    assert done.exit_code == 1
    assert "-ngl" in done.stderr
    assert 'placement = "manual"' in done.stderr
    (home / "hostler.toml").write_text(
        f'[profiles.mine]\nmodel = "{llama.name}"\nplacement = "manual"\n'
        '[profiles.mine.engine]\nextra_args = ["-ngl", "10"]\n'
    )
    told = planned(run, "mine", "--hardware", DESKTOP)
    assert told.placement == "manual"
    assert sum(span.last - span.first + 1 for span in told.layout.layers if span.device == "host") == 23


@pytest.fixture
def resident(gateway: FakeGateway, home: Path) -> Callable[..., None]:
    """This home's gateway runs, and holds so many bytes on the host."""

    def resident(profile: str, held: int, **changes: object) -> None:
        (home / "state").mkdir(exist_ok=True)
        record = GatewayRecord(os.getpid(), process_start_time(os.getpid()) or 0.0, gateway.url)
        (home / "state" / RECORD).write_bytes(msgspec.json.encode(record))
        one = msgspec.structs.replace(INSTANCE, profile=profile, pid=None, bytes={"host": held}, leases=0)
        gateway.instances = [msgspec.structs.replace(one, **changes)]

    return resident


def test_residents_show_and_stay_where_there_is_room(run: Run, llama: Path, resident: Callable[..., None]) -> None:
    resident("other", 64 * MIB)
    told = planned(run, str(llama))
    assert not told.machine.described
    assert told.devices[-1].residents == {"other": 64 * MIB}
    assert told.goes == ()
    assert "p other 0.06" in run("plan", str(llama)).stdout


def test_those_that_would_have_to_go_are_named(
    run: Run, home: Path, llama: Path, resident: Callable[..., None]
) -> None:
    (home / "hostler.toml").write_text('[memory]\nbudget = { host = "7 GiB" }\n')
    resident("other", 3 * 2**30)
    told = planned(run, str(llama))
    assert told.goes == ("other",)
    assert "other would have to go first." in run("plan", str(llama)).stdout
    resident("other", 3 * 2**30, pinned=True)
    done = run("plan", str(llama))
    assert done.exit_code == 1
    assert "by 'other'" in done.stderr


def test_a_gateway_that_does_not_tell_is_a_note(
    run: Run, llama: Path, gateway: FakeGateway, resident: Callable[..., None]
) -> None:
    resident("other", 64 * MIB)
    gateway.refusal = Unauthorized("No key came with the request.")
    told = planned(run, str(llama))
    assert told.devices[-1].residents == {}
    assert told.notes == ("The gateway did not tell what is resident; that memory counts as other programs'.",)


def test_completion_of_machines_and_types() -> None:
    assert complete_place("") == ["this", *machines.names()]
    assert complete_machine("dgx") == ["dgx-spark"]
    assert complete_kv("q8") == ["q8_0"]


def test_an_auto_name_is_no_model_to_plan_for(run: Run, home: Path) -> None:
    (home / "hostler.toml").write_text('[profiles.small]\nmodel = "m.gguf"\n[auto.any]\nprofiles = ["small"]\n')
    done = run("plan", "any")
    assert done.exit_code == 1
    assert "'any' is an `auto` name" in done.stderr
    assert "Name one: small." in done.stderr
