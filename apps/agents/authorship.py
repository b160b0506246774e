"""Who answers for what an agent or a chain does: who said last all of it that matters to a run."""

from collections.abc import Collection, Iterable
from typing import Any

from apps.agents.models import ActionChain, Agent
from apps.orgs.access import Access

SHAPE = {  # what of it says what a run does
    Agent: frozenset({"instructions", "knowledge_base_ids", "tools"}),
    ActionChain: frozenset({"steps"}),
}


def signed(thing: Agent | ActionChain, access: Access, said: Iterable[str]) -> dict[str, Any]:
    """The columns that say who answers for ``thing`` once the caller has changed the columns ``said`` of it.

    Whoever says all of it answers for it. What two said parts of is nobody's, within what both may do, so that nobody
    lends their rights to words they may not have seen.
    """
    shape = SHAPE[type(thing)]
    if not shape.intersection(said):
        return {}
    if shape.issubset(said):
        return {"saved_by": access.user, "abilities": access.key_abilities}
    is_same = thing.saved_by_id == access.user.pk
    return {
        "saved_by": access.user if is_same else None,
        "abilities": narrower(thing.abilities, access.key_abilities),
    }


def narrower(one: Collection[str] | None, other: Collection[str] | None) -> list[str] | None:
    """What both allow; None allows all."""
    if one is None or other is None:
        only = other if one is None else one
        return None if only is None else sorted(only)
    return sorted(set(one) & set(other))
