#!/usr/bin/env python3
"""A network switch for machines whose interfaces are TUN devices: switch.py SEED FD...

Each FD is one machine's end. A line "INDEX LOSS DELAY" on stdin says what happens to the packets from and to the
machine of that index: each is lost with probability LOSS, else delayed by 0 to DELAY seconds, and so reordered.
It ends with stdin.
"""

import contextlib
import heapq
import os
import random
import selectors
import sys
import time

chance = random.Random(int(sys.argv[1]))
ends = [int(argument) for argument in sys.argv[2:]]
weather = [(0.0, 0.0)] * len(ends)  # by index: loss, delay
place = {}  # index by IPv4 address, learned from what it sends
late = []  # a heap of (time, a random number, index, packet)
selector = selectors.DefaultSelector()


def pass_on(index, packet):
    with contextlib.suppress(OSError):  # a queue that is full loses packets, like any network
        os.write(ends[index], packet)


def receive(source):
    for _ in range(64):  # not more, or others wait too long
        try:
            packet = os.read(ends[source], 2048)
        except BlockingIOError:
            return
        if packet[0] >> 4 != 4:
            continue
        place[packet[12:16]] = source
        to = place.get(packet[16:20])
        for target in [to] if to is not None else (index for index in range(len(ends)) if index != source):
            loss, delay = (max(pair) for pair in zip(weather[source], weather[target]))
            if loss and chance.random() < loss:
                continue
            if delay:
                when = time.monotonic() + chance.uniform(0, delay)
                heapq.heappush(late, (when, chance.random(), target, packet))
            else:
                pass_on(target, packet)


for number, end in enumerate(ends):
    os.set_blocking(end, False)
    selector.register(end, selectors.EVENT_READ, number)
selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
while True:
    for key, _ in selector.select(max(0, late[0][0] - time.monotonic()) if late else None):
        if key.data is not None:
            receive(key.data)
            continue
        commands = os.read(sys.stdin.fileno(), 4096).split()  # whole lines: each was written at once
        if not commands:
            sys.exit()
        for index, loss, delay in zip(*[iter(commands)] * 3):
            weather[int(index)] = (float(loss), float(delay))
    while late and late[0][0] <= time.monotonic():
        pass_on(*heapq.heappop(late)[2:])
