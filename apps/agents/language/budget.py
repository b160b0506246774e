"""What an organization may spend on language models, by its plan, and what it has spent."""

from apps.base.errors import CommonplaceError
from apps.orgs.models import Plan
from apps.orgs.usage import charge_tokens, tokens_this_month


class TokenBudgetSpent(CommonplaceError):
    code = "token_budget_spent"
    http_status = 403


def ensure_left(organization_id: str) -> None:
    """Raises TokenBudgetSpent when this month's tokens are used up.

    What a question will take is known only afterwards: the last one, or the last few that were asked at the same
    moment, may go beyond. One query where the plan has no budget, two where it has.
    """
    plan = Plan.objects.filter(organizations=organization_id).first()
    if plan is None or plan.max_tokens_per_month is None:
        return
    used = tokens_this_month(organization_id)
    if used >= plan.max_tokens_per_month:
        raise TokenBudgetSpent(
            f"The plan '{plan.name}' allows for {plan.max_tokens_per_month} tokens a month, and {used} are used."
        )


def charge(organization_id: str, tokens: int, *, key_id: str = "") -> None:
    """Write down what was used. Outside of any transaction that may fail: it was used."""
    charge_tokens(organization_id, tokens, key_id=key_id)
