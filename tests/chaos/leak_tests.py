"""Promise 24: nothing leaks, however often agents are started and stopped."""
import collections
import contextlib
import os
import pathlib
import re

from mesh import check, eventually

AT_ONCE = 8
# To engine and hub, and the hub's side of them: idle ones are kept for the next request and closed after a while, so that
# their number follows how much was asked at one time, not how often.
CONNECTION = "connection"


def socket_paths():
    """Inode of a Unix socket that has a path -> that path."""
    rows = (line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:])
    return {row[6]: row[7] for row in rows if len(row) > 7}


def open_files(pid):
    """How many there are of each: by path, a socket without a path as CONNECTION."""
    found, paths = collections.Counter(), socket_paths()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if inode := re.fullmatch(r"socket:\[(\d+)\]", target):
                target = paths.get(inode[1], CONNECTION)
            found[re.sub(r"\[\d+\]", "", target)] += 1
    return found


def resident_kib(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return len(found)


def at_rest(mesh, pid):
    """(files, KiB, children) with no agent, when nothing moves any more."""
    eventually(20, lambda: not mesh.containers() and not mesh.sessions(), "no container, no session")
    seen = [open_files(pid)]

    def settled():
        seen.append(open_files(pid))
        return len(seen) > 20 and all(files == seen[-1] for files in seen[-20:])
    eventually(20, settled, "the number of open files settles")
    return seen[-1], resident_kib(pid), children(pid)


def test_start_and_stop_leak_nothing(bench):
    mesh = bench.mesh("[watchdog]\nmax_starting = 8\n")
    cycles = int(os.environ.get("AGENTMESH_CYCLES", bench.count(64, 10_000)))
    names = [mesh.name(f"a{index}") for index in range(AT_ONCE)]

    def cycle():
        mesh.start_all(names)
        mesh.expect(0, "stop", "--force", *names)
    for _ in range(min(40, max(2, cycles // AT_ONCE // 10))):  # until caches are full
        cycle()
    pid = mesh.daemon()
    files, memory, processes = at_rest(mesh, pid)
    for _ in range(cycles // AT_ONCE):
        cycle()
    after = at_rest(mesh, pid)
    check(mesh.daemon() == pid, "it is another daemon")
    kept, kept_after = files.pop(CONNECTION, 0), after[0].pop(CONNECTION, 0)
    bench.notes.append(f"open files more: {dict(after[0] - files)}, less: {dict(files - after[0])}")
    bench.measured(f"open files more after {cycles} cycles, from {files.total()}", after[0].total() - files.total(), 0,
                   "files")
    bench.measured(f"kept connections more, from {kept}", kept_after - kept, AT_ONCE, "connections")
    bench.measured("resident memory more", (after[1] - memory) / memory * 100, 5, f"% of {memory} KiB")
    bench.measured("child processes more", after[2] - processes, 0, "processes")
    bench.measured("containers", len(mesh.containers()), 0, "containers")
