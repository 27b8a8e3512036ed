"""VRChat: an avatar that is moved by OSC messages; its view comes from a `Camera`."""

from pamiq_exp.environments.vrchat.avatar import VRChatAvatar

__all__ = [
    "VRChatAvatar",
]
