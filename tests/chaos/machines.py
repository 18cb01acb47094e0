"""Machines in a network of their own, for chaos: each is a namespace whose only way out is the switch."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys

from fakes import FakeDns, Namespace

SWITCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "switch.py")
NET = "10.77.0."
NAME_SERVER = NET + "53"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000


class Machine(Namespace):
    """.address is its present one; .move() gives it another, and packets to the old one are lost."""

    def __init__(self, address):
        super().__init__(resolv=f"nameserver {NAME_SERVER}\n")
        self.address = address

    def __enter__(self):
        super().__enter__()
        self.end = self.inside(self._open_end)
        self.run("ip", "address", "add", self.address + "/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        # Where Docker runs it is 1, in new networks, too.
        self.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
        return self

    def __exit__(self, *error):
        os.close(self.end)
        super().__exit__(*error)

    @staticmethod
    def _open_end():
        end = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TUN | _IFF_NO_PI))
        return end

    def run(self, *command):
        subprocess.run([*self.prefix, *command], check=True, timeout=20)

    def move(self, address):
        self.run("ip", "address", "del", self.address + "/24", "dev", "eth0")
        self.run("ip", "address", "add", address + "/24", "dev", "eth0")
        self.address = address

    def reset_connections(self, action):
        """After "--insert" every TCP packet to this machine gets a reset; after "--delete" no longer."""
        self.run("iptables", "-w", action, *"INPUT ! -i lo -p tcp -j REJECT --reject-with tcp-reset".split())


class Network(contextlib.ExitStack):
    """Machines by name, their switch, and their name server, in .names."""

    def __init__(self, seed, *names):
        super().__init__()
        self._fresh = iter(range(100, 250))
        self.machines = {name: self.enter_context(Machine(self.fresh_address())) for name in names}
        server = self.enter_context(Machine(NAME_SERVER))
        ends = [machine.end for machine in (*self.machines.values(), server)]
        self._switch = self.enter_context(subprocess.Popen(
            [sys.executable, SWITCH, str(seed), *map(str, ends)], pass_fds=ends, stdin=subprocess.PIPE, text=True))
        self.names = self.enter_context(FakeDns(server, address=NAME_SERVER))
        for name in names:
            self.publish(name)

    def fresh_address(self):
        return NET + str(next(self._fresh))

    def publish(self, name):
        """Its name resolves to its present address."""
        self.names.records[name] = [self.machines[name].address]

    def weather(self, name, loss=0.0, delay=0.0):
        """See switch.py."""
        index = list(self.machines).index(name)
        self._switch.stdin.write(f"{index} {loss} {delay}\n")
        self._switch.stdin.flush()
