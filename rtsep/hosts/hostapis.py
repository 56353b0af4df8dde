"""Through what the device is reached: PortAudio, or a JACK server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtsep.hosts.request import Request
    from rtsep.hosts.soundcard import Card

PORTAUDIO, JACK = "portaudio", "jack"
NAMES = (PORTAUDIO, JACK)


def make_card(request: Request) -> Card:
    """Return the card that a request asks for."""
    if request.host_api == JACK:
        from rtsep.hosts.jackcard import JackCard

        return JackCard(request)
    from rtsep.hosts.soundcard import Card

    return Card(request)
