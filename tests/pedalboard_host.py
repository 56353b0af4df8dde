"""Another program in a JACK loop, for tests of `rtsep bench latency --external`: pedalboard's delay line, as a host.

Called with the server's name, its own, the number of mics and the delay in seconds.
"""

from __future__ import annotations

import sys
import time

import jack
import numpy as np
import pedalboard


def main(server: str, name: str, mics: int, seconds: float) -> None:
    client = jack.Client(name, servername=server, no_start_server=True)
    rate = client.samplerate
    ins = [client.inports.register(f"in{n}") for n in range(mics)]
    outs = [client.outports.register(f"out{n}") for n in range(mics)]
    effect = pedalboard.Delay(delay_seconds=seconds, feedback=0.0, mix=1.0)
    effect.process(np.zeros((mics, client.blocksize), np.float32), rate, buffer_size=client.blocksize, reset=False)

    def process(frames: int) -> None:
        heard = np.stack([port.get_array() for port in ins])
        made = effect.process(heard, rate, buffer_size=frames, reset=False)
        for port, row in zip(outs, made, strict=True):
            port.get_array()[:] = row

    client.set_process_callback(process)
    with client:
        print("ready", flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
