"""Through what the device is reached: PortAudio, or a JACK server itself."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from rtsep.errors import DeviceError

if TYPE_CHECKING:
    from rtsep.hosts.request import Request
    from rtsep.hosts.soundcard import Card

PORTAUDIO, JACK = "portaudio", "jack"
NAMES = (PORTAUDIO, JACK)


def demand(host_api: str) -> None:
    """Refuse a host API whose Python package is missing, before an engine is loaded for it.

    Raises
    ------
    DeviceError
    """
    if host_api == JACK and importlib.util.find_spec("jack") is None:
        raise DeviceError("JACK: JACK-Client is missing; pip install 'rtsep[jack]'")


def make_card(request: Request) -> Card:
    """Return the card that a request asks for."""
    if request.host_api == JACK:
        from rtsep.hosts.jackcard import JackCard

        return JackCard(request)
    from rtsep.hosts.soundcard import Card

    return Card(request)
