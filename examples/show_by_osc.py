"""Drive a show by OSC: recall snapshots, ride a fader, hear what others turn.

`rtsep show new tonight --example`, then `rtsep run --show tonight --osc` in one terminal, and in another
`python show_by_osc.py [PORT]`.
"""

from __future__ import annotations

import sys
import time
from threading import Thread

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import ThreadingOSCUDPServer

port = int(sys.argv[1]) if len(sys.argv) > 1 else 9010


def told(address: str, *values: object) -> None:
    """Be told of something: an answer, or what has changed."""
    print(address, *values)


dispatcher = Dispatcher()
dispatcher.set_default_handler(told)
# Answers come to the port from which was asked: one socket sends and hears.
with ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
    Thread(target=server.serve_forever, daemon=True).start()

    def say(address: str, *values: object) -> None:
        """Send one message, and leave time to see what comes of it."""
        from pythonosc.osc_message_builder import build_msg

        server.socket.sendto(build_msg(address, list(values)).dgram, ("127.0.0.1", port))
        time.sleep(0.3)

    say("/xremote")                       # tell me what others change, for the next 10 s
    say("/info")
    say("/scene/go", "opening")
    say("/scene/current")
    for place in (0.5, 0.6, 0.7, 0.75):   # 0.75 is 0 dB, as on an X32
        say("/ch/01/mix/fader", place)
    say("/p/output/gain_db/drums", -6.0)  # the same as a path, in dB
    say("/p/output/gain_db/drums")        # without a value: what stands there
    say("/undo")
    say("/p/output/gain_db/drums")
    server.shutdown()
