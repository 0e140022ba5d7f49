"""A SLURM cluster of one node with two stand-in GPUs, on loopback, in a scratch folder.

It needs root and Debian's slurmctld, slurmd, slurm-client and munge. Outside its folder it writes two files in
/etc/slurm, for job steps are started without a variable that would name another place, and takes them away again.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "munged")
ETC = Path("/etc/slurm")
MARK = "# Of a test cluster of baft.\n"
GPUS = 2
NODE = "localhost"


def unavailable() -> str | None:
    """Why there can be no cluster here; None if there can."""
    if os.geteuid() != 0:
        return "a test cluster needs root"
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"{', '.join(missing)} not installed (apt-get install slurmctld slurmd slurm-client munge)"
    with tempfile.TemporaryDirectory() as folder:
        try:
            _stand_in(Path(folder) / "gpu")
        except OSError:
            return "the stand-ins for GPUs are device files, which even root may not make here"
    conf = ETC / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(MARK):
        return f"{conf} is of another cluster"
    return None


def _stand_in(gpu: Path) -> None:
    os.mknod(gpu, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns once ``condition`` holds; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.1)


def said(*command: str) -> str:
    """What a command printed; nothing if it failed."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


class Cluster:
    """Daemons as children of this process, so that stopping them stops nothing else."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything and wait until the node is idle."""
        self.folder.chmod(0o755)
        self._write_configuration()
        self._start_munge()
        for name in ("slurmctld", "slurmd"):
            self.up(name)
        wait_for("an idle node", lambda: said("sinfo", "-h", "-o", "%T").split()[:1] == ["idle"])

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons, in whatever state they are."""
        try:
            if "slurmctld" in self.daemons:
                subprocess.run(["scancel", "--state=RUNNING"], capture_output=True)
                subprocess.run(["scancel", "--user=root"], capture_output=True)
                wait_for("no job left", lambda: not said("squeue", "-h", "-t", "RUNNING,COMPLETING"), 40)
        finally:
            for name in ("slurmd", "slurmctld", "munged"):
                self.down(name)
            for name in ("slurm.conf", "gres.conf"):
                (ETC / name).unlink(missing_ok=True)

    def up(self, name: str) -> None:
        """Start slurmctld or slurmd."""
        self._spawn(name, [name, "-D", *(["-N", NODE] if name == "slurmd" else [])])

    def down(self, name: str) -> None:
        """Stop one daemon; jobs on the node go on."""
        if daemon := self.daemons.pop(name, None):
            daemon.terminate()
            daemon.wait(30)

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far, as scontrol shows them, the steps of a requeued one as one job."""
        lines = said("scontrol", "show", "jobs", "--oneliner", "--details").splitlines()
        return [dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair) for line in lines if "=" in line]

    def running(self, comment: str) -> str | None:
        """Number of a running job whose comment begins so."""
        found = (job for job in self.jobs() if job["Comment"].startswith(comment) and job["JobState"] == "RUNNING")
        return next((job["JobId"] for job in found), None)

    def _spawn(self, name: str, command: list[str], user: str = "root") -> None:
        # Their own session: an interrupt at the terminal is for the test.
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, stdout=out, stderr=out, start_new_session=True, user=user, group=user
            )

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir()
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        files = [f"--{name}-file={folder / name}" for name in ("key", "pid", "log", "seed")]
        for path in (folder, folder / "key"):
            shutil.chown(path, "munge", "munge")
        folder.chmod(0o755)
        self._spawn("munged", ["munged", "--foreground", f"--socket={folder / 'socket'}", *files], user="munge")
        wait_for("munge", (folder / "socket").exists, 10)

    def _write_configuration(self) -> None:
        gpus = [self.folder / f"nvidia{number}" for number in range(GPUS)]
        for gpu in gpus:
            _stand_in(gpu)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ETC.mkdir(exist_ok=True)
        gres = f"NodeName={NODE} Name=gpu Type=h100 File={self.folder}/nvidia[0-{GPUS - 1}]\n"
        (ETC / "gres.conf").write_text(MARK + gres)
        (ETC / "slurm.conf").write_text(MARK + self._configuration())

    def _configuration(self) -> str:
        control, node = _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        return f"""\
ClusterName=baft
SlurmctldHost={NODE}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=3600
KillWait=5
SlurmdParameters=config_overrides
NodeName={NODE} NodeAddr=127.0.0.1 CPUs={max(GPUS, os.cpu_count() or 1)} RealMemory={memory} Gres=gpu:h100:{GPUS}
PartitionName=cpu Nodes={NODE} Default=YES MaxTime=UNLIMITED
PartitionName=gpu Nodes={NODE} MaxTime=UNLIMITED
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
