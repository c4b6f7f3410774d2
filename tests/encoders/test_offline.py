"""Without a network: no socket is opened and nothing waits; gated repositories are told with all ways to them."""

from __future__ import annotations

import socket

import pytest

from stitchkit.core.errors import ModelUnavailableError, StitchError
from stitchkit.encoders import ENCODERS, load_encoder

# names of what is not on this machine -> words of the error
MISSING = {
    "demo:nothing": "no demo encoder is called 'nothing'",
    "hf:nobody/nothing": "hub calls are forbidden",
    "hf:nobody/nothing@main#modality=image": "hub calls are forbidden",
    "local:/nowhere/weights.pth#arch=timm/resnet18": "there is no file",
    "onnx:/nowhere/model": "there is no folder",
    "open_clip:hf-hub:nobody/nothing#modality=image": "hub calls are forbidden",
    "open_clip:ViT-B-32/laion2b_s34b_b79k#modality=text": "hub calls are forbidden",
    "open_clip:RN50-quickgelu/yfcc15m#modality=text": "hub calls are forbidden",
    "python:/nowhere/mine.py:Mine": "there is no",
    "st:nobody/nothing": "hub calls are forbidden",
    "stitchkit:/nowhere/stitched": "there is no",
    "timm:hf-hub:nobody/nothing": "hub calls are forbidden",
    "timm:resnet18.a1_in1k": "hub calls are forbidden",
    "timm:tf_efficientnet_lite0.in1k#resolution=96": "hub calls are forbidden",
    "xrv:densenet121-res224-all": "it is not downloaded unasked",
}
HUB = ("hf:org/gated", "open_clip:hf-hub:org/gated#modality=image", "st:org/gated", "timm:hf-hub:org/gated")


@pytest.fixture
def asked(monkeypatch):
    """Addresses that were asked for; asking is a failure."""
    addresses = []

    def refuse(*args, **kwargs):
        addresses.append(args[1:] or args)
        raise OSError("no socket may be opened here")

    for owner, name in ((socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "create_connection"),
                        (socket, "getaddrinfo")):  # fmt: skip
        monkeypatch.setattr(owner, name, refuse)
    return addresses


@pytest.mark.parametrize("way", ["HF_HUB_OFFLINE=1", "offline=True"])
@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_here_is_refused_at_once_and_no_socket_is_opened(name, way, asked, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", way == "HF_HUB_OFFLINE=1")
    monkeypatch.setenv("HOME", str(tmp_path))  # torchxrayvision keeps its files there
    with pytest.raises(StitchError, match=MISSING[name]) as caught:
        load_encoder(name, device="cpu", offline=None if way == "HF_HUB_OFFLINE=1" else True)
    assert asked == []
    message = caught.value.message
    if "hub calls are forbidden" in MISSING[name]:
        assert "local-dir:/path/to/folder" in message
        assert "not in the local cache" in message


def test_every_family_is_tried():
    assert {name.partition(":")[0] for name in MISSING} == set(ENCODERS)


def test_the_refusing_socket_refuses(asked):
    with pytest.raises(OSError, match="no socket"):
        socket.create_connection(("127.0.0.1", 9))
    assert len(asked) == 1


@pytest.fixture
def gated(monkeypatch):
    """A hub that answers every request as one for a gated repository."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import _http as client

    httpx = getattr(client, "httpx2", None) or client.httpx  # the library that this version of the client uses

    def answer(request):
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
        return httpx.Response(403, headers=headers, request=request)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    yield
    huggingface_hub.set_client_factory(client.default_client_factory)


@pytest.mark.parametrize("name", HUB)
def test_a_gated_repository_is_told_with_licence_token_and_folder(name, gated, asked):
    with pytest.raises(ModelUnavailableError, match="the repository is gated") as caught:
        load_encoder(name, device="cpu")
    message = caught.value.message
    assert "https://huggingface.co/org/gated" in message  # the page of its licence
    assert "HF_TOKEN" in message
    assert f"{name.partition(':')[0]}:local-dir:/path/to/folder" in message
    assert "If it is gated" not in message  # it is known to be
    assert asked == []
