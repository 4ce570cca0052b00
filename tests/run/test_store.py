import errno
import os
import pickle
import subprocess
import sys
import time

import pytest

from infoscope.run import Pool, Store


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "run" if request.param == "folder" else None)


def test_units_documents_and_rows_come_back(store):
    assert store.get("k") is None
    assert "k" not in store
    assert store.read_json("manifest") is None
    assert store.rows("loss") == []
    store.put("k", b"old")
    store.put("k", b"\0new")
    store.put("empty", b"")
    store.write_json("manifest", {"seeds": [1, 2]})
    for i in range(3):
        store.append("loss", {"step": i, "at": (i, i)})
    store.append("loss-1", "another stream")
    assert store.get("k") == b"\0new"
    assert store.get("empty") == b""
    assert "empty" in store
    assert store.read_json("manifest") == {"seeds": [1, 2]}
    assert store.rows("loss") == [{"step": i, "at": [i, i]} for i in range(3)]
    assert store.rows("loss-1") == ["another stream"]


def test_another_process_reads_what_was_kept(tmp_path):
    Store(tmp_path).put("k", b"kept")
    copy = pickle.loads(pickle.dumps(Store(tmp_path)))
    assert copy.get("k") == b"kept"
    copy.append("s", 1)
    Store(str(tmp_path)).append("s", 2)
    assert Store(tmp_path).rows("s") == [1, 2]
    assert len(list(tmp_path.glob("streams/s-*.jsonl"))) == 2


def test_names_that_leave_the_folder_are_refused(store):
    for name in ("", "../x", "a/b", ".hidden", "a b"):
        with pytest.raises(ValueError, match="can't name a file"):
            store.put(name, b"")
        with pytest.raises(ValueError, match="can't name a file"):
            store.append(name, 1)


def test_a_torn_last_row_is_left_out_and_the_others_stay(tmp_path):
    store = Store(tmp_path)
    for i in range(3):
        store.append("s", {"i": i})
    (file,) = tmp_path.glob("streams/*")
    whole = file.read_bytes()
    for cut in range(1, len(b'{"i": 2}\n') + 1):
        file.write_bytes(whole[:-cut])
        assert Store(tmp_path).rows("s") == [{"i": 0}, {"i": 1}]
    file.write_bytes(whole.replace(b'{"i": 1}', b'{"i": \xff}'))
    with pytest.warns(UserWarning, match="line 2 is damaged"):
        assert Store(tmp_path).rows("s") == [{"i": 0}, {"i": 2}]


def test_a_row_cut_short_by_a_full_disk_is_taken_back(tmp_path):
    code = (
        "import resource, signal, sys; from infoscope.run import Store; store = Store(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); store.append('s', 'first')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))\n"
        "try: store.append('s', 'x' * 100)\n"
        "except OSError as error: print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2); store.append('s', 'last')\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "No space left on device: infoscope keeps a run's results here; free some space" in run.stdout
    assert Store(tmp_path).rows("s") == ["first", "last"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:5], lambda b: b[:-1] + b"?"])
def test_a_damaged_unit_counts_as_missing(tmp_path, damage):
    store = Store(tmp_path)
    store.put("k", b"some result")
    path = tmp_path / "units" / "k"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="units/k is damaged"):
        assert store.get("k") is None
    store.put("k", b"again")
    assert store.get("k") == b"again"


def test_leftovers_of_killed_writers_are_swept_after_a_day(tmp_path):
    Store(tmp_path)
    fresh, stale = tmp_path / "units" / ".k.1-a.tmp", tmp_path / "units" / ".k.2-b.tmp"
    for path in (fresh, stale):
        path.write_bytes(b"half")
    os.utime(stale, (time.time() - 100_000,) * 2)
    store = Store(tmp_path)
    assert store.get("k") is None
    assert fresh.exists()
    assert not stale.exists()


def test_no_temporary_file_stays_when_the_disk_is_full(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(OSError, match=r"No space left on device: .* free some space: .*units/k") as raised:
        store.put("k", b"result")
    assert raised.value.errno == errno.ENOSPC
    assert list((tmp_path / "units").iterdir()) == []


def test_what_is_not_a_folder_is_refused_when_it_is_opened(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"choose another run directory: .*file"):
        Store(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="choose another run directory"):
        Store(tmp_path / "run")


def _write_many(root, writer, count):
    store = Store(root)
    for i in range(count):
        store.append("s", [writer, i])
        store.put(f"shared-{i}", f"unit {i} ".encode() * 1000)
        store.write_json("manifest", {"i": i})


def test_two_processes_write_at_once(tmp_path):
    store = Store(tmp_path)
    with Pool(2) as pool:
        writers = [pool.submit(_write_many, tmp_path, writer, 100) for writer in (0, 1)]
        while not all(future.done() for future in writers):  # no reader sees a part of a unit or a document
            assert store.get("shared-50") in (None, b"unit 50 " * 1000)
            assert store.read_json("manifest") is None or "i" in store.read_json("manifest")
        assert [future.result() for future in writers] == [None, None]
    rows = store.rows("s")
    for writer in (0, 1):
        assert [i for w, i in rows if w == writer] == list(range(100))
    assert all(store.get(f"shared-{i}") == f"unit {i} ".encode() * 1000 for i in range(100))
    assert not list(tmp_path.rglob("*.tmp"))
