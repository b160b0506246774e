"""What organizations use: calls are counted in Valkey as they come, and written down as rows now and then."""

import logging
from contextlib import suppress
from datetime import date, timedelta
from functools import partial

import redis
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils import timezone

from apps.base.identifiers import new_id
from apps.base.valkey import Valkey, ValkeyAway, valkey
from apps.orgs.models import Organization
from apps.orgs.rate_limits import PENDING_USAGE
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.usage_models import DailyUsage, UsageBatch

logger = logging.getLogger(__name__)
BATCH, BATCH_ID = "usage:batch", "id"
REMEMBERED = timedelta(days=7)  # how long a batch that came back, with an old copy of Valkey, would be known
EPOCH = date(1970, 1, 1)

# KEYS: what is pending, the batch. ARGV: the id of a new batch. Answers the batch: the last one, while it is there.
_TAKE = """
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'id', ARGV[1])
end
return redis.call('HGETALL', KEYS[2])
"""
# KEYS: the batch. ARGV: the id of the one that is done with.
_DROP = "if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class _WrittenBefore(Exception):
    """This batch is in the rows already."""


def write_down_usage(server: Valkey | None = None) -> int:
    """Turn the calls counted since the last time into rows; returns how many calls that were.

    Each is written once, whatever dies in between and however many do this at once: the batch stays in Valkey until
    its rows are committed together with its id. 0 while Valkey is away, which keeps the counts, or loses them.
    """
    written = 0
    counting = server or valkey()
    with suppress(ValkeyAway):
        for _ in range(2):  # a batch that was left behind, and what came since
            batch = counting.call(_take)
            if not batch:
                break
            batch_id = batch.pop(BATCH_ID)
            try:
                with suppress(_WrittenBefore):
                    written += _write(batch_id, batch)
            except (
                IntegrityError
            ) as error:  # an organization was deleted meanwhile: without it, the next time
                logger.info("The usage will be written down the next time: %s", error)
                break
            counting.call(partial(_drop, batch_id))
    return written


def _take(client: redis.Redis) -> dict[str, str]:
    flat = [word.decode() for word in client.eval(_TAKE, 2, PENDING_USAGE, BATCH, new_id("batch"))]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _drop(batch_id: str, client: redis.Redis) -> None:
    client.eval(_DROP, 1, BATCH, batch_id)


def _write(batch_id: str, batch: dict[str, str]) -> int:
    counts: dict[tuple[str, date, str], int] = {}
    for name, number in batch.items():
        days, organization_id, key_id = name.split("|")
        counts[organization_id, EPOCH + timedelta(days=int(days)), key_id] = int(number)
    with system_scope("usage of any organization"), transaction.atomic():
        try:
            with transaction.atomic():
                UsageBatch.objects.create(id=batch_id)
        except IntegrityError as error:
            raise _WrittenBefore from error
        there = set(
            Organization.objects.filter(pk__in={organization_id for organization_id, _, _ in counts})
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        for (organization_id, day, key_id), count in sorted(counts.items()):
            if organization_id in there:  # what a deleted one used is of no interest
                row, _ = DailyUsage.objects.get_or_create(
                    organization_id=organization_id, day=day, key_id=key_id
                )
                DailyUsage.objects.filter(pk=row.pk).update(requests=F("requests") + count)
        UsageBatch.objects.filter(written_at__lt=timezone.now() - REMEMBERED).delete()
    return sum(counts.values())


@transaction.atomic
def charge_tokens(organization_id: str, tokens: int, *, key_id: str = "") -> None:
    """Count tokens of a language model as used today, by way of this key ("": of none). At once, and in a row: they
    cost money, and a budget is held against them."""
    with tenant_scope(organization_id):
        row, _ = DailyUsage.objects.get_or_create(
            organization_id=organization_id, day=timezone.now().date(), key_id=key_id
        )
        DailyUsage.objects.filter(pk=row.pk).update(tokens=F("tokens") + tokens)


def tokens_this_month(organization_id: str) -> int:
    """Of the calendar month, in UTC."""
    first = timezone.now().date().replace(day=1)
    with tenant_scope(organization_id):
        rows = DailyUsage.objects.filter(organization_id=organization_id, day__gte=first)
        return int(rows.aggregate(used=Sum("tokens", default=0))["used"])
