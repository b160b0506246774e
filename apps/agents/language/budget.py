"""What an organization may spend on language models, by its plan, and what it has spent."""

from django.conf import settings

from apps.base.errors import CommonplaceError
from apps.orgs.models import Plan
from apps.orgs.quotas import plan_of
from apps.orgs.usage import charge_tokens, tokens_this_month


class TokenBudgetSpent(CommonplaceError):
    code = "token_budget_spent"
    http_status = 403


def ensure_left(organization_id: str) -> None:
    """Raises TokenBudgetSpent when this month's tokens are used up.

    What a question will take is known only afterwards: the last one, or the last few that were asked at the same
    moment, may go beyond. One query where there is no budget, two where there is.
    """
    plan = plan_of(organization_id)
    if plan is None or (limit := limit_of(plan)) is None:
        return
    used = tokens_this_month(organization_id)
    if used >= limit:
        raise TokenBudgetSpent(
            f"Language models: the plan '{plan}' allows for {limit} tokens a month, and {used} are used."
        )


def limit_of(plan: Plan) -> int | None:
    """Tokens a month: what the plan says or, where it says nothing, LLM_MAX_TOKENS_PER_MONTH. None: any number."""
    if plan.max_tokens_per_month is not None:
        return plan.max_tokens_per_month
    return settings.LLM_MAX_TOKENS_PER_MONTH or None


def charge(organization_id: str, tokens: int, *, key_id: str = "") -> None:
    """Write down what was used. Outside of any transaction that may fail: it was used."""
    charge_tokens(organization_id, tokens, key_id=key_id)
