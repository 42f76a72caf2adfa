"""The sandbox is what its contract says, from outside (inspect) and from inside (/proc, system calls)."""
import os
import pathlib

from mesh import AGENT_UID, check, same


def test_sandbox_from_outside(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    agent, box = mesh.agent(name), mesh.container(name)
    host, config = box["HostConfig"], box["Config"]
    user = f"{AGENT_UID}:{AGENT_UID}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
    limit = 64 * 1024 * 1024
    expected = {
        "CapAdd": [], "CapDrop": ["ALL"], "Privileged": False, "ReadonlyRootfs": True, "IpcMode": "private",
        "PidMode": "", "UTSMode": "", "UsernsMode": "", "NetworkMode": "none", "Devices": [], "PublishAllPorts": False,
        "NanoCpus": 500_000_000, "Memory": limit, "MemorySwap": limit, "PidsLimit": 512, "Init": True,
        "AutoRemove": False, "Binds": None, "PortBindings": {},
    }
    for field, wanted in expected.items():
        same(host.get(field) or wanted if not wanted else host.get(field), wanted, field)
    same(host["SecurityOpt"], ["no-new-privileges:true"], "SecurityOpt")
    same(host["RestartPolicy"]["Name"], "no", "RestartPolicy")
    same({entry["Name"]: entry["Hard"] for entry in host["Ulimits"]}, {"core": 0, "nofile": 16384}, "Ulimits")
    check(int(host["LogConfig"]["Config"]["max-size"]) <= 10 << 20, f"log cap: {host['LogConfig']}")
    same(sorted(host["Tmpfs"]), ["/run", "/tmp"], "Tmpfs")
    same(config["User"], user, "User")
    same(config["Tty"] and config["OpenStdin"], True, "terminal")
    same(box["Name"], f"/agentmesh-{name}-1", "container's name")
    same(agent["sandbox"]["container_id"], box["Id"], "container_id of status")
    labels = {key: value for key, value in config["Labels"].items() if key.startswith("agentmesh.")}
    same(sorted(labels), [f"agentmesh.{word}" for word in ("agent", "owner", "run", "spec")], "labels")
    same((labels["agentmesh.agent"], labels["agentmesh.run"]), (name, "1"), "labels of agent and run")
    check(config["Image"].startswith("sha256:"), f"the image is not an immutable id: {config['Image']}")
    mounts = {mount["Destination"]: (mount["Source"], mount["RW"], mount["Type"]) for mount in box["Mounts"]
              if mount["Type"] != "tmpfs"}
    folder = f"{mesh.home}/agents/{name}"
    same(mounts, {"/workspace": (str(mesh.workdir), True, "bind"), "/home/agent": (f"{folder}/home", True, "bind"),
                  "/run/agentmesh": (f"{folder}/run", True, "bind")}, "mounts")


def fields_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_sandbox_from_inside(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--fork-children 2")
    box = mesh.container(name)
    pids = mesh.engine.processes(box["Id"])
    for pid in pids:
        status = fields_of(pid)
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            same(int(status[field], 16), 0, f"{field} of process {pid}")
        same((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), f"NoNewPrivs, Seccomp of process {pid}")
        check("0" not in status["Uid"].split() or os.geteuid() != 0, f"process {pid} is root: {status['Uid']}")
    check(len(pids) >= 4, f"init, the agent and its two children are 4 processes; seen: {pids}")

    def inside(line):
        return mesh.engine.execute(box["Id"], "sh", "-c", line)
    for line in ("touch /x", "touch /usr/x", "echo x >/proc/sys/kernel/hostname", "mount -t tmpfs none /mnt",
                 "test -e /var/run/docker.sock", "test -e /run/docker.sock", "chmod u+s /tmp/x", "cat /etc/shadow",
                 "kill -0 1 && false", f"ls {mesh.home}"):
        check(inside(line)[0] != 0, f"this works inside, and must not: {line}: {inside(line)}")
    for line in ("touch /tmp/x /workspace/x $HOME/x /run/agentmesh/x", "test -S $AGENTMESH_HOOK",
                 "test $(ls /sys/class/net) = lo"):
        same(inside(line)[0], 0, f"exit code of '{line}' inside: {inside(line)[1]}")
    socket_inodes = mesh.engine.execute(box["Id"], "sh", "-c", "find / -xdev -type s 2>/dev/null")[1].split()
    same([path for path in socket_inodes if not path.startswith("/run/agentmesh")], [], "sockets inside")


def test_root_workspace_has_no_capability(bench):
    if os.geteuid() != 0:
        return
    mesh = bench.mesh()
    os.chown(mesh.workdir, 0, 0)
    name = mesh.start(mesh.name())
    box = mesh.container(name)
    same(box["Config"]["User"], "0:0", "User")
    check("IS_SANDBOX=1" in box["Config"]["Env"], "IS_SANDBOX is not set")
    same(int(fields_of(box["State"]["Pid"])["CapEff"], 16), 0, "CapEff")


def test_wanted_image_is_missing(bench):
    mesh = bench.mesh()
    mesh.refused(3, r"no-such-image.*\(.+\)$", "start", mesh.name(), "--runner", "custom", "--command", "true",
                 "--network", "none", "--sandbox-image", "agentmesh/no-such-image:1")
    same(mesh.containers(), [], "containers")
    same(mesh.json("list", "--all"), [], "agents")
