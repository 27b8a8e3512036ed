"""VRChat: a body that is moved by OSC messages. What it sees comes from a `Camera`."""

from pamiq_exp.environments.vrchat.avatar import VRChatAvatar

__all__ = [
    "VRChatAvatar",
]
