"""What processes cost: memory, CPU time in nanoseconds, and births, told by the kernel's process connector."""

import os
import select
import socket
import struct

NETLINK_CONNECTOR = 11
CN_IDX_PROC = 1
PROC_CN_MCAST_LISTEN = 1
PROC_EVENT_FORK = 0x00000001
NLMSG_DONE = 3


KIB = 1024 / 1e6  # the kernel's kB in MB


def memory_mb(pid, field):
    """A line of /proc/PID/status: VmRSS, RssAnon, RssFile."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * KIB
    return 0


def proportional_mb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
        return KIB * sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def cpu_seconds(pid):
    """User and system time of all threads; the scheduler's count, because clock ticks are too coarse."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as times:
            total += int(times.read().split()[0])
    return total / 1e9


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as listed:
                found += [int(word) for word in listed.read().split()]
        except FileNotFoundError:
            pass
    return found


def family(pid):
    members = {pid}
    waiting = [pid]
    while waiting:
        for child in children(waiting.pop()):
            if child not in members:
                members.add(child)
                waiting.append(child)
    return members


class Births:
    """Counts processes and threads made by a process and its descendants. Needs CAP_NET_ADMIN."""

    def __init__(self, pid):
        self.members = family(pid)
        self.processes = 0
        self.threads = 0
        self.names = {}
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.bind((0, CN_IDX_PROC))
        payload = struct.pack("=IIIIHH", CN_IDX_PROC, 1, 0, 0, 4, 0) + struct.pack("=I", PROC_CN_MCAST_LISTEN)
        self.sock.send(struct.pack("=IHHII", 16 + len(payload), NLMSG_DONE, 0, 0, os.getpid()) + payload)

    def watch(self, seconds, clock):
        end = clock() + seconds
        while (left := end - clock()) > 0:
            if not select.select([self.sock], [], [], left)[0]:
                break
            message = self.sock.recv(65536)
            # nlmsghdr 16, cn_msg 20, proc_event: what 4, cpu 4, timestamp 8, then the fork's four ids
            (what,) = struct.unpack_from("=I", message, 36)
            if what == PROC_EVENT_FORK:
                self._born(*struct.unpack_from("=IIII", message, 52))

    def _born(self, _parent_pid, parent, child_pid, child):
        if parent not in self.members:
            return
        if child_pid != child:
            self.threads += 1
            return
        self.processes += 1
        self.members.add(child)

    def close(self):
        self.sock.close()
