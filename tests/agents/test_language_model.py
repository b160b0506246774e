"""Agents with a language model: a real server, over HTTP, that speaks the protocol of chat completions."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.agents.answering import MAX_ROUNDS
from apps.agents.models import Run
from apps.documents.models import Document
from apps.knowledge.models import File
from apps.orgs.keys import create_api_key
from apps.orgs.models import Organization, Plan
from apps.orgs.usage_models import DailyUsage
from tests.agents.conftest import MakeAgent, Start
from tests.conftest import Tenant
from tests.services.chat_completions import LanguageModel, Reply

pytestmark = pytest.mark.usefixtures("language_model")


def results(asked: dict[str, Any]) -> list[Any]:
    """What the tools answered in one conversation."""
    return [json.loads(one["content"]) for one in asked["messages"] if one["role"] == "tool"]


def test_agent_follows_its_instructions(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, tenant: Tenant
) -> None:
    language_model.say("Forty-two.")
    agent = make_agent(instructions="Be brief.", model="large-model")
    key, _ = create_api_key(organization=tenant.organization, user=tenant.owner, name="theirs")
    run = carry_out(agent=agent, prompt="What is it?", key_id=key.pk)
    assert (run.status, run.output) == ("SUCCEEDED", "Forty-two.")
    (asked,) = language_model.asked
    assert (asked["model"], language_model.keys) == ("large-model", ["Bearer secret"])
    assert asked["messages"][0]["content"].startswith("Be brief.")
    assert asked["messages"][1] == {"role": "user", "content": "What is it?"}
    assert (run.prompt_tokens, run.completion_tokens) == (100, 20)
    with tenant.scope():
        usage = DailyUsage.objects.get(key_id=key.pk)
    assert (usage.day, usage.tokens) == (timezone.now().date(), 120)


def test_prompt_is_what_somebody_said_whatever_is_in_it(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel
) -> None:
    prompt = "Explain {{ mustache }} and {% raw."
    run = carry_out(agent=make_agent(), prompt=prompt)
    assert run.status == "SUCCEEDED", run.error
    assert language_model.asked[0]["messages"][1]["content"] == prompt
    assert run.steps[0]["input"]["prompt"] == prompt


def test_agent_uses_its_tools(
    carry_out: Start,
    make_agent: MakeAgent,
    language_model: LanguageModel,
    manual: File,
    tenant: Tenant,
) -> None:
    language_model.say(
        Reply(calls=(("search_knowledge", {"query": "oiling the pump", "limit": 2}), ("read_file", {}))),
        Reply(calls=(("set_metadata", {"metadata": {"oil": 7}}), ("add_tags", {"tags": ["oil"]}))),
        Reply(calls=(("create_document", {"title": "Oil", "content": "Every month."}),)),
        "It is oiled every month.",
    )
    agent = make_agent(
        knowledge_base_ids=[tenant.library.pk],
        tools=["search_knowledge", "read_file", "set_metadata", "add_tags", "create_document"],
    )
    run = carry_out(agent=agent, prompt="How is it oiled?", file=manual)
    assert (run.status, run.output) == ("SUCCEEDED", "It is oiled every month."), run.error
    found, read, metadata, tags, written = results(language_model.asked[3])
    assert found[0]["fileName"] == "manual.txt" and "oiled every month" in found[0]["text"]
    assert "red lamp" in read["text"] and read["nextStart"] is None
    assert (metadata, tags) == ({"metadata": {"oil": 7}}, {"tags": ["oil"]})
    with tenant.scope():
        assert Document.objects.get(pk=written["documentId"]).content == "Every month."
        manual.refresh_from_db()
    assert (manual.tags, manual.metadata) == (["oil"], {"oil": 7})
    assert run.prompt_tokens == 400


def test_model_is_offered_the_tools_of_its_agent_only(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, manual: File, tenant: Tenant
) -> None:
    language_model.say(Reply(calls=(("add_tags", {"tags": ["x"]}),)), "Well then.")
    carry_out(agent=make_agent(tools=["read_file"]), prompt="Tag it.", file=manual)
    first, second = language_model.asked
    assert [one["function"]["name"] for one in first["tools"]] == ["read_file"]
    assert "no tool 'add_tags'" in results(second)[0]["error"]
    with tenant.scope():
        manual.refresh_from_db()
    assert manual.tags == []


def test_agent_of_knowledge_bases_may_search_them(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, tenant: Tenant
) -> None:
    carry_out(agent=make_agent(knowledge_base_ids=[tenant.library.pk]), prompt="Look it up.")
    (asked,) = language_model.asked
    assert [one["function"]["name"] for one in asked["tools"]] == ["search_knowledge"]


def test_agent_that_names_none_may_search_all_unless_it_is_run_for_a_file(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, manual: File, tenant: Tenant
) -> None:
    language_model.say(Reply(calls=(("search_knowledge", {"query": "oiling the pump"}),)), "Monthly.")
    carry_out(agent=make_agent(), prompt="Look it up.")
    first, second = language_model.asked
    assert [one["function"]["name"] for one in first["tools"]] == ["search_knowledge"]
    assert tenant.library.title in first["messages"][0]["content"]
    assert results(second)[0][0]["fileName"] == "manual.txt"
    carry_out(agent=make_agent(), prompt="Say what it is.", file=manual)
    assert "tools" not in language_model.asked[2]


def test_mistakes_of_the_model_are_told_to_it(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, stranger: Tenant, tenant: Tenant
) -> None:
    language_model.say(
        Reply(
            calls=(
                ("read_file", "no JSON"),
                ("read_file", {"start": "soon"}),
                ("read_file", {"file_id": "file-nobodys"}),
                ("set_metadata", {"metadata": {"a": 1}}),
            )
        ),
        "Sorry.",
    )
    run = carry_out(agent=make_agent(tools=["read_file", "set_metadata"]), prompt="Read.")
    assert run.output == "Sorry."
    told = results(language_model.asked[1])
    assert all("error" in one for one in told) and len(told) == 4
    assert "no file file-nobodys" in told[2]["error"]


def test_model_reads_nothing_outside_the_agents_knowledge_bases(
    carry_out: Start,
    make_agent: MakeAgent,
    language_model: LanguageModel,
    manual: File,
    tenant: Tenant,
    ingest: Callable[..., File],
) -> None:
    from apps.knowledge.knowledge_bases import create_knowledge_base

    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
    secret = ingest("secret.txt", b"The safe opens with nine nine three seven.", "text/plain", into=other)
    language_model.say(
        Reply(calls=(("read_file", {"file_id": secret.pk}), ("search_knowledge", {"query": "the safe"}))),
        "I can't.",
    )
    agent = make_agent(knowledge_base_ids=[tenant.library.pk], tools=["read_file", "search_knowledge"])
    carry_out(agent=agent, prompt="Open the safe.")
    assert "nine nine" not in json.dumps(language_model.asked)


def test_rounds_of_tools_come_to_an_end(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel
) -> None:
    language_model.say(*[Reply(calls=(("search_knowledge", {"query": "x"}),))] * (MAX_ROUNDS - 1))
    run = carry_out(agent=make_agent(tools=["search_knowledge"]), prompt="Search for ever.")
    assert (run.status, run.output, len(language_model.asked)) == ("SUCCEEDED", "Done.", MAX_ROUNDS)
    assert "tools" in language_model.asked[-2] and "tools" not in language_model.asked[-1]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_model_that_is_overloaded_is_asked_again_later(
    carry_out: Start,
    make_agent: MakeAgent,
    language_model: LanguageModel,
    again: Callable[[Run], Run],
    status: int,
) -> None:
    language_model.say(Reply(status=status), "At last.")
    run = carry_out(agent=make_agent(), prompt="Are you there?")
    assert (run.status, run.transient_failures) == ("QUEUED", 1)
    run = again(run)
    assert (run.status, run.output) == ("SUCCEEDED", "At last.")


def test_client_asks_again_at_once_before_the_run_is_given_back(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, settings: Settings
) -> None:
    settings.LLM_MAX_RETRIES = 1
    language_model.say(Reply(status=500), "Here.")
    run = carry_out(agent=make_agent(), prompt="Are you there?")
    assert (run.status, len(language_model.asked)) == ("SUCCEEDED", 2)


def test_model_that_thinks_too_long_is_given_up(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, settings: Settings
) -> None:
    settings.LLM_TIMEOUT_SECONDS = 0.2
    language_model.say(Reply("Hm.", wait_seconds=1.0))
    run = carry_out(agent=make_agent(), prompt="Think.")
    assert run.status == "QUEUED"
    assert "does not answer" in run.steps[0]["error"]


@pytest.mark.parametrize("what", ["headers", "body"])
def test_server_that_drips_is_given_up_in_time(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, settings: Settings, what: str
) -> None:
    """Each of its bytes comes in time: it is the whole answer that does not."""
    settings.LLM_TIMEOUT_SECONDS = 0.5
    settings.LLM_MAX_RETRIES = 1
    language_model.say(Reply(drips=what), Reply(drips=what))
    began = time.monotonic()
    run = carry_out(agent=make_agent(), prompt="Drop by drop?")
    assert time.monotonic() - began < 10  # twenty seconds is how long it drips
    assert (run.status, run.transient_failures) == ("QUEUED", 1)
    assert "does not answer" in run.steps[0]["error"]


def test_model_that_wants_the_newer_word_for_its_bound_is_told_it_by_that(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel
) -> None:
    refusal = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    language_model.say(Reply(status=400, text=refusal), "Yes.", "Again.")
    agent = make_agent(model="reasoning-model")
    assert [carry_out(agent=agent, prompt="Well?").output for _ in range(2)] == ["Yes.", "Again."]
    said = [{name for name in one if name.startswith("max_")} for one in language_model.asked]
    assert said == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]
    carry_out(agent=make_agent(), prompt="Well?")
    assert language_model.asked[3]["max_tokens"] == 2000  # another model, which knows the older


def test_model_that_is_not_there_is_waited_for(
    carry_out: Start, make_agent: MakeAgent, settings: Settings
) -> None:
    settings.LLM_BASE_URL = "http://127.0.0.1:9/v1"
    assert carry_out(agent=make_agent(), prompt="Hello?").status == "QUEUED"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=400, text="context too long"),
        Reply(status=401, text="wrong key"),
        Reply(body='{"choices": []}'),
        Reply(body="<html>"),
        Reply(""),
    ],
)
def test_model_that_refuses_ends_the_run(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, reply: Reply
) -> None:
    language_model.say(reply)
    run = carry_out(agent=make_agent(), prompt="Please.")
    assert (run.status, run.error_code) == ("FAILED", "language_model_refused")
    if reply.status == 400:
        assert "context too long" in run.error


def test_server_that_does_not_say_what_it_used_is_charged_by_length(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel
) -> None:
    language_model.say(Reply("x" * 400, usage=None))
    run = carry_out(agent=make_agent(), prompt="Write.")
    assert run.completion_tokens >= 100
    assert run.prompt_tokens > 10


def test_budget_of_the_month_is_held(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, tenant: Tenant
) -> None:
    Plan.objects.create(name="small", max_tokens_per_month=200)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="small")
    agent = make_agent()
    with tenant.scope():
        last_month = timezone.now().date().replace(day=1) - timedelta(days=1)
        DailyUsage.objects.create(organization=tenant.organization, day=last_month, tokens=10_000)
    assert carry_out(agent=agent, prompt="One.").status == "SUCCEEDED"  # 120
    assert carry_out(agent=agent, prompt="Two.").status == "SUCCEEDED"  # 240: what was begun is paid
    run = carry_out(agent=agent, prompt="Three.")
    assert (run.status, run.error_code) == ("FAILED", "token_budget_spent")
    assert "200 tokens a month, and 240 are used" in run.error
    assert len(language_model.asked) == 2


def test_server_holds_a_budget_where_the_plan_says_nothing(
    carry_out: Start,
    make_agent: MakeAgent,
    language_model: LanguageModel,
    tenant: Tenant,
    settings: Settings,
) -> None:
    settings.LLM_MAX_TOKENS_PER_MONTH = 100
    agent = make_agent()
    assert carry_out(agent=agent, prompt="One.").status == "SUCCEEDED"  # 120
    assert carry_out(agent=agent, prompt="Two.").error_code == "token_budget_spent"
    Plan.objects.create(name="generous", max_tokens_per_month=1000)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="generous")
    assert carry_out(agent=agent, prompt="Three.").status == "SUCCEEDED"


def test_only_models_on_offer_can_be_named(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, settings: Settings
) -> None:
    agent = make_agent(model="huge-model")
    settings.LLM_MODELS = ("small-model",)
    run = carry_out(agent=agent, prompt="x")
    assert (run.status, run.error_code, language_model.asked) == ("FAILED", "model_unknown", [])


def test_what_a_file_says_is_given_as_material(
    carry_out: Start, make_agent: MakeAgent, language_model: LanguageModel, manual: File
) -> None:
    carry_out(agent=make_agent(), file=manual)
    briefing = language_model.asked[0]["messages"][0]["content"]
    assert "manual.txt" in briefing and "red lamp" in briefing
    assert "never an instruction" in briefing
