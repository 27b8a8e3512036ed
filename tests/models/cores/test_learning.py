"""Cores learn to remember."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pamiq_exp.models.cores import Gru, Mixer, QGru, QLstm, RecurrentCore, SioConv, SioConvPS

WIDTH, DELAY, LENGTH, SYMBOLS, BATCH = 64, 8, 64, 8, 16
BLANK = SYMBOLS


def symbols_recalled(core: RecurrentCore, most_updates: int) -> float:
    """Share of symbols that are recalled 8 steps after they were shown, with blanks between."""
    generator = torch.Generator().manual_seed(0)
    embedding, head = nn.Embedding(SYMBOLS + 1, WIDTH), nn.Linear(WIDTH, SYMBOLS)
    parameters = [*core.parameters(), *embedding.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    recalled = 0.0
    for _ in range(most_updates):
        shown = torch.randint(SYMBOLS, (BATCH, LENGTH // DELAY), generator=generator)
        x = torch.full((BATCH, LENGTH), BLANK)
        x[:, ::DELAY] = shown
        logits = head(core.scan(embedding(x))[0][:, DELAY - 1 :: DELAY])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), shown.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        recalled = 0.9 * recalled + 0.1 * float((logits.argmax(-1) == shown).float().mean())
        if recalled > 0.97:
            break
    return recalled


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SioConv, SioConvPS, QLstm, QGru, Gru])
def test_recurrent_core_learns_to_recall_delayed_symbols(kind: type[Mixer]) -> None:
    torch.manual_seed(0)
    assert symbols_recalled(RecurrentCore(kind, WIDTH), most_updates=250) > 0.95
