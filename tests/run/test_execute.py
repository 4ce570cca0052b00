import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from infoscope.run import NotPortable, Pool, PoolBroken, Store, Work, WorkerDied, execute, pool
from infoscope.run.progress import fractions, report


@dataclass(frozen=True)
class Payload:
    size: int


class Odd(Exception):
    """Can't be rebuilt from its pickle."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def square(i, log=None):
    if log is not None:
        (Path(log) / f"{i}-{os.getpid()}-{time.time_ns()}").touch()
    return str(i * i).encode()


def fail(i, kind=ValueError):
    raise kind(f"no {i}") if kind is not Odd else Odd(1, i)


def die(marker=None):
    """Killed each time, or only while `marker` is missing."""
    if marker is None or not Path(marker).exists():
        if marker is not None:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return b"survived"


def big(payload):
    return bytes(payload.size)


def threads():
    import torch

    return f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}".encode()


def leave():
    sys.exit(3)


def squares(n, *args):
    return [Work(f"k{i}", square, (i, *args), f"square {i}") for i in range(n)]


EXPECTED = {f"k{i}": str(i * i).encode() for i in range(6)}


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "run" if request.param == "folder" else None)


@pytest.fixture(scope="module")
def workers():
    with Pool(2) as pool:
        yield pool


@pytest.mark.parametrize("jobs", [1, 3])
def test_only_what_is_missing_is_computed_and_once(store, tmp_path, jobs):
    store.put("k1", b"1")
    log, done = tmp_path, []
    work = squares(6, log) + squares(3, log)
    assert list(execute(work, store, jobs=jobs, on_done=done.append).items()) == list(EXPECTED.items())
    assert sorted(unit.key for unit in done) == sorted(EXPECTED)
    ran = sorted(path.name[0] for path in log.glob("?-*"))
    assert ran == ["0", "2", "3", "4", "5"]
    assert execute(work, store, jobs=jobs) == EXPECTED
    assert sorted(path.name[0] for path in log.glob("?-*")) == ran


def not_first(log):
    while len(list(log.glob("?-*"))) < 3:
        time.sleep(0.01)
    return b"0"


def test_completion_order_does_not_change_results(store, tmp_path, workers):
    work, order = [Work("k0", not_first, (tmp_path,)), *squares(6, tmp_path)], []
    results = execute(work, store, pool=workers, on_done=lambda unit: order.append(unit.key))
    assert order[0] != "k0"
    assert list(results.items()) == list(EXPECTED.items())


def half_way(root):
    report(1, 2)
    return repr(fractions(root)).encode()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_work_can_say_how_far_it_is(tmp_path, jobs):
    assert execute([Work("k", half_way, (tmp_path,))], Store(tmp_path), jobs=jobs) == {"k": b"{'k': 0.5}"}
    assert fractions(tmp_path) == {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_others_finish_before_a_failure_is_raised(store, jobs):
    work = [Work("bad", fail, (1,), "the bad one"), Work("odd", fail, (2, Odd), "the odd one"), *squares(3)]
    with pytest.raises(ValueError, match="no 1") as raised:
        execute(work, store, jobs=jobs)
    notes = "\n".join(raised.value.__notes__)
    assert "the bad one" in notes
    assert "1 more of 5 works failed: 'the odd one'" in notes
    assert ("in fail\n" in notes) == (jobs == 2)  # the worker's traceback
    assert [store.get(f"k{i}") for i in range(3)] == [b"0", b"1", b"4"]
    assert store.get("bad") is None


def test_failures_that_cannot_travel_are_told_in_words(store, workers):
    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        execute([Work("odd", fail, (2, Odd))], store, pool=workers)
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        execute([Work("exit", leave)], store, pool=workers)
    with pytest.raises(TypeError, match=r"gives bytes, but .*gave a str"):
        execute([Work("text", str, (1,))], store, pool=workers)


def test_a_killed_worker_costs_one_look(store, tmp_path, workers):
    work = [Work("once", die, (tmp_path / "marker",)), *squares(6)]
    assert execute(work, store, pool=workers) == {"once": b"survived"} | EXPECTED


def test_a_work_that_kills_its_worker_twice_is_named_after_the_rest(store):
    with pytest.raises(WorkerDied, match=r"work 'the killer'.*2 times, ended by SIGKILL.*memory"):
        execute([Work("killer", die, (), "the killer"), *squares(6)], store, jobs=2)
    assert {f"k{i}": store.get(f"k{i}") for i in range(6)} == EXPECTED


def stand_still(marker=None):
    """Stopped by the system each time, or only while `marker` is missing."""
    if marker is None or not Path(marker).exists():
        if marker is not None:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return b"went on"


def hold_the_interpreter():
    """So long a single operation that no other thread of the worker says anything."""
    start = time.monotonic()
    power = 3**500_000
    while time.monotonic() - start < 3:
        power = 3 ** (2 * power.bit_length())
    return b"done"


def test_a_worker_that_stands_still_is_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_SILENCE", 1.2)
    monkeypatch.setattr(pool, "_LOOK", 0.1)
    once, busy = Work("once", stand_still, (tmp_path / "marker",)), Work("busy", hold_the_interpreter)
    store = Store(None)
    with pytest.raises(WorkerDied, match=r"work 'never'.*standing still"):
        execute([once, busy, Work("never", stand_still)], store, jobs=3)
    assert (store.get("once"), store.get("busy")) == (b"went on", b"done")


def test_what_cannot_travel_runs_here_with_a_warning(store, workers):
    here = os.getpid()
    work = [Work("lambda", lambda: str(os.getpid()).encode()), *squares(6)]
    with pytest.warns(UserWarning, match=r"1 of 7 works run one after another in this process: .*lambda.*top of a mod"):
        results = execute(work, store, pool=workers)
    assert results == {"lambda": str(here).encode()} | EXPECTED


def test_large_arguments_and_results(store, workers):
    size = 5_000_000
    results = execute([Work(f"{i}", big, (Payload(size + i),)) for i in range(3)], store, pool=workers)
    assert [len(result) for result in results.values()] == [size, size + 1, size + 2]
    assert execute([Work("length", length, (bytes(size),))], store, pool=workers) == {"length": str(size).encode()}


def length(content):
    return str(len(content)).encode()


@pytest.mark.parametrize(("asked", "given"), [(None, max(1, len(os.sched_getaffinity(0)) // 2)), (3, 3)])
def test_each_worker_has_its_share_of_threads(asked, given):
    before = dict(os.environ)
    assert execute([Work("t", threads)], Store(None), jobs=2, threads=asked)["t"] == f"{given} {given}".encode()
    assert dict(os.environ) == before


def test_threads_here_are_set_and_put_back(monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "-")
    before = torch.get_num_threads()
    assert execute([Work("t", threads)], Store(None), threads=before + 1)["t"] == f"{before + 1} -".encode()
    assert torch.get_num_threads() == before


def test_jobs_and_threads_are_counted_from_one():
    with pytest.raises(ValueError, match="jobs is 0"):
        execute([], Store(None), jobs=0)
    with pytest.raises(ValueError, match="threads is 0"):
        execute([], Store(None), threads=0)


def test_any_engine_with_submit_will_do(store):
    class Here:
        def submit(self, fn, /, *args):
            future = Future()
            future.set_result(fn(*args))
            return future

    assert execute(squares(6), store, pool=Here()) == EXPECTED


def test_a_pool_serves_several_runs_and_stops_when_it_is_left():
    with Pool(2) as pool:
        assert execute(squares(6), Store(None), pool=pool) == EXPECTED
        assert [pool.submit(square, i).result() for i in range(2)] == [b"0", b"1"]
        with pytest.raises(NotPortable, match="lambda"):
            pool.submit(lambda: None).result()
        slow, queued = pool.submit(time.sleep, 60), [pool.submit(time.sleep, 60) for _ in range(3)]
        while not slow.running():
            time.sleep(0.01)
        pids = [worker.pid for worker in pool._workers]
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert not any(alive(pid) for pid in pids)
    for future in [slow, *queued]:
        with pytest.raises(PoolBroken, match="closed"):
            future.result(0)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(square, 1)


SCRIPT = """
import os, sys, time
from pathlib import Path
from infoscope.run import Store, Work, execute

def look(i, log):
    (Path(log) / f"started-{i}-{os.getpid()}").touch()
    time.sleep(60 if i >= 4 and "SLOW" in os.environ else 0.1)
    (Path(log) / f"finished-{i}-{os.getpid()}").touch()
    return f"result {i}".encode()

def main():
    log, jobs = sys.argv[1], int(sys.argv[2])
    print(execute([Work(f"k{i}", look, (i, log)) for i in range(8)], Store(Path(log) / "run"), jobs=jobs))

if __name__ == "__main__":
    main()
"""


def start(tmp_path, script=SCRIPT, jobs=2, **environment):
    path = tmp_path / "script.py"
    path.write_text(script)
    env = os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))} | environment
    command = [sys.executable, str(path), str(tmp_path), str(jobs)]
    return subprocess.Popen(
        command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def session(pid):
    """Live processes of the session that `pid` leads."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == pid and fields[0] not in "ZX":
            members.append(path.parent.name)
    return members


WHOLE = str({f"k{i}": f"result {i}".encode() for i in range(8)})


def units(tmp_path):
    return {path.name for path in (tmp_path / "run" / "units").glob("k*")}


FIRST = {f"k{i}" for i in range(4)}


def test_after_kill_9_of_the_parent_only_the_missing_units_are_computed(tmp_path):
    process = start(tmp_path, SLOW="1")
    wait_until(lambda: units(tmp_path) == FIRST and len(list(tmp_path.glob("started-*"))) == 6)
    process.kill()  # while both workers are in the middle of a minute's work
    process.wait()
    wait_until(lambda: not session(process.pid), seconds=10)  # no orphans
    process.communicate()
    assert units(tmp_path) == FIRST
    for path in tmp_path.glob("started-*"):
        path.unlink()
    assert start(tmp_path, jobs=1).communicate(timeout=60) == (WHOLE + "\n", "")
    assert sorted(path.name.split("-")[1] for path in tmp_path.glob("started-*")) == ["4", "5", "6", "7"]


LOCKING = SCRIPT.replace("import os, sys, time", "import multiprocessing, os, sys, time").replace(
    "def look(i, log):", "def look(i, log):\n    global lock\n    lock = multiprocessing.RLock()"
)
"""As libraries do behind a progress bar."""


@pytest.mark.parametrize("ended", [False, True])
def test_locks_that_libraries_make_in_a_worker_leave_nothing_behind(tmp_path, ended):
    process = start(tmp_path, LOCKING, **({"SLOW": "1"} if ended else {}))
    if ended:
        wait_until(lambda: units(tmp_path) == FIRST and len(list(tmp_path.glob("started-*"))) == 6)
        process.terminate()
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("" if ended else WHOLE + "\n", "")


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize(("jobs", "times"), [(1, 1), (2, 1), (2, 3)])
def test_ctrl_c_stops_promptly_and_keeps_what_is_finished(tmp_path, jobs, times):
    process = start(tmp_path, jobs=jobs, SLOW="1")
    wait_until(lambda: units(tmp_path) == FIRST and len(list(tmp_path.glob("started-*"))) == 4 + jobs)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent, the workers and the fork server
        time.sleep(0.01 * (times > 1))
    _, err = process.communicate(timeout=15)
    assert process.returncode in (-signal.SIGINT, 130)
    assert err.count("Traceback") == 1, err
    assert err.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not session(process.pid), seconds=10)
    assert units(tmp_path) == FIRST
    assert start(tmp_path, jobs=1).communicate(timeout=60) == (WHOLE + "\n", "")


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_while_the_workers_start_leaves_one_traceback(tmp_path):
    process = start(tmp_path)
    wait_until(lambda: len(session(process.pid)) >= 3)  # the parent, the resource tracker, the fork server
    time.sleep(0.4)  # so that the fork server is in the middle of loading torch
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert err.count("Traceback") == 1, err
    wait_until(lambda: not session(process.pid), seconds=5)


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = SCRIPT.replace('if __name__ == "__main__":\n    main()', "main()")
    process = start(tmp_path, script)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("Traceback") == 1, err
    assert re.search(r"PoolBroken: the main script .*\n\n    def main\(\):\n.*\n\n    if __name__ ==", err)
    assert not list(tmp_path.glob("started-*"))


def test_a_main_script_that_cannot_be_imported_again_is_named(tmp_path):
    script = SCRIPT.replace("def main", 'if __name__ != "__main__":\n    raise OSError("only once")\n\ndef main')
    _, err = start(tmp_path, script).communicate(timeout=60)
    assert "OSError: only once" in err
    assert "PoolBroken: a worker failed while it imported the main script" in err


def test_functions_of_a_prompt_run_here_with_a_warning(tmp_path):
    code = SCRIPT.replace("sys.argv[1]", repr(str(tmp_path))).replace("int(sys.argv[2])", "2").replace("0.1", "0")
    env = os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))}
    for command, text in ([sys.executable, "-c", code], None), ([sys.executable, "-"], code):
        run = subprocess.run(command, input=text, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert run.stdout.strip() == WHOLE
        if text is None:
            assert "`look` is defined in a notebook or a prompt" in run.stderr
