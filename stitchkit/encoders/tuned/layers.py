"""The layers of a pretrained network, told by its modules: what comes before them, each of them, what comes after."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from stitchkit.encoders.pair_network import is_within


def layer_names(model: nn.Module) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Names of modules and parameters before the layers, in each layer, and after them.

    The layers are the modules of one parent that hold the most weights together, embeddings left out: the children of
    a list or sequence (the blocks of a transformer), or modules that are numbered alike (``layer1`` to ``layer4`` of a
    ResNet). Of nested ones the outer are taken.

    Returns
    -------
    tuple
        Names before; names of each layer, none where layers cannot be told apart; names after. Together they are all
        modules that hold parameters or buffers of their own, and parameters of modules that have children.

    Examples
    --------
    >>> block = lambda: nn.Linear(8, 8)
    >>> layer_names(nn.ModuleDict({"first": nn.Linear(2, 8), "blocks": nn.Sequential(block(), block())}))
    (('first',), (('blocks.0',), ('blocks.1',)), ())
    """
    holders = _layers(model)
    before: list[str] = []
    after: list[str] = []
    for name in _leaves(model):
        if not any(is_within(name, one) for one in holders):
            (after if _stands_after(model, name, holders) else before).append(name)
    if not holders:
        return (*before, *after), (), ()
    return tuple(before), tuple((one,) for one in holders), tuple(after)


def _layers(model: nn.Module) -> list[str]:
    """Names of the modules that are layers, in order."""
    layers: list[str] = []
    most = 0
    for name, module in model.named_modules():
        for group in _groups(module):
            weights = sum(_weights(module.get_submodule(key)) for key in group)
            if len(group) > 1 and weights > most:
                layers, most = [f"{name}.{key}".lstrip(".") for key in group], weights
    return layers


def _groups(module: nn.Module) -> Iterator[list[str]]:
    """Children of a module that may be layers: all of a list or sequence, else those that are numbered alike."""
    children = [key for key, child in module.named_children() if any(True for _ in child.parameters())]
    if isinstance(module, nn.ModuleList | nn.Sequential):
        yield children
        return
    stems = {key: key.rstrip("0123456789") for key in children}
    for stem in dict.fromkeys(stems.values()):
        yield [key for key in children if stems[key] == stem != key]


def _weights(module: nn.Module) -> int:
    """Number of weights, without those of embeddings, which hold most of a small language model."""
    embedded = {id(one.weight) for one in module.modules() if isinstance(one, nn.Embedding)}
    return sum(one.numel() for one in module.parameters() if id(one) not in embedded)


def _leaves(model: nn.Module) -> Iterator[str]:
    """Names of modules without children that hold a state, and of the others' own parameters and buffers."""
    for name, module in model.named_modules():
        own = [key for key, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))]
        if own and name and not any(True for _ in module.children()):
            yield name
        else:
            yield from (f"{name}.{key}".lstrip(".") for key in own)


def _stands_after(model: nn.Module, name: str, layers: list[str]) -> bool:
    """True for what was registered behind the layers; parameters of a module stand before its children."""
    order = [one for one, _ in model.named_modules()]
    return name in order and bool(layers) and order.index(name) > order.index(layers[-1])
