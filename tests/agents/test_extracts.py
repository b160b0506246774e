"""Agents where there is no language model: they answer with sentences that stand in the files."""

import pytest

from apps.agents.extracts import NOTHING_FOUND
from apps.agents.models import Agent
from apps.agents.services import create_agent, personal_knowledge_base
from apps.base.errors import ValidationFailed
from apps.documents.models import Document
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reading import read_file
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from tests.agents.conftest import MANUAL, MakeAgent, Start, owner_access
from tests.conftest import Tenant, Upload

DIARY = b"The secret recipe of the pump oil is mustard and honey, stirred at midnight.\n"


def test_agent_answers_with_sentences_and_says_where_they_stand(
    carry_out: Start, make_agent: MakeAgent, manual: File, tenant: Tenant
) -> None:
    run = carry_out(
        agent=make_agent(knowledge_base_ids=[tenant.library.pk]), prompt="How often is the pump oiled?"
    )
    assert run.status == "SUCCEEDED", run.error
    assert run.output.startswith("The pump is oiled every month with silicone oil number seven. [1]")
    assert run.output.endswith("[1] manual.txt")
    assert (run.prompt_tokens, run.completion_tokens) == (0, 0)


def test_agent_that_names_no_knowledge_base_searches_all_that_are_shared(
    carry_out: Start, make_agent: MakeAgent, manual: File, ingest: Upload, tenant: Tenant, stranger: Tenant
) -> None:
    with tenant.scope():
        diary, other = (
            create_knowledge_base(
                organization=tenant.organization, creator=tenant.owner, title="Of theirs", type=type_
            )
            for type_ in (KnowledgeBaseType.PERSONAL, KnowledgeBaseType.ORGANIZATION)
        )
    ingest("diary.txt", DIARY, "text/plain", into=diary)
    ingest("lamps.txt", b"The green lamp shows that the pump runs backwards.\n", "text/plain", into=other)
    agent = make_agent()
    for question, said in (
        ("How often is the pump oiled?", "[1] manual.txt"),
        ("What does the green lamp show?", "[1] lamps.txt"),
    ):
        run = carry_out(agent=agent, prompt=question)
        assert said in run.output, run.error
    run = carry_out(agent=agent, prompt="What is the secret recipe of the pump oil?")
    assert "mustard" not in run.output and not run.is_personal
    with stranger.scope():
        theirs = Agent.objects.create(name="Curious")
    said_to = {"organization_id": stranger.organization.pk, "actor_id": stranger.owner.pk}
    assert carry_out(agent=theirs, prompt="How often is the pump oiled?", **said_to).output == NOTHING_FOUND


def test_agent_summarizes_the_file_it_is_run_for_and_keeps_a_document(
    carry_out: Start, make_agent: MakeAgent, manual: File, tenant: Tenant
) -> None:
    run = carry_out(agent=make_agent(name="Summarizer", tools=["create_document"]), file=manual)
    with tenant.scope():
        document = Document.objects.get()
    assert document.content == run.output
    assert (document.title, document.file_id, document.run_id) == (
        "Summarizer: manual.txt",
        manual.pk,
        run.pk,
    )
    said = run.output.split("\n\n")[0]
    for sentence in said.replace(" [1]", "").split(". "):
        assert sentence.strip(". ").encode() in MANUAL  # nothing is worded anew


def test_nothing_is_said_where_nothing_is_near(
    carry_out: Start, make_agent: MakeAgent, manual: File, tenant: Tenant
) -> None:
    agent = make_agent(knowledge_base_ids=[tenant.library.pk])
    run = carry_out(agent=agent, prompt="Quarterly dividends of Peruvian railway shares")
    assert run.output == NOTHING_FOUND


def test_agent_without_anything_to_go_by_says_so(carry_out: Start, make_agent: MakeAgent) -> None:
    run = carry_out(agent=make_agent())
    assert (run.status, run.error_code) == ("FAILED", "validation_error")
    assert "no prompt" in run.error


def test_file_without_text_can_not_be_summarized(
    carry_out: Start, make_agent: MakeAgent, upload: Upload
) -> None:
    run = carry_out(agent=make_agent(), file=upload("empty.txt", b" \n", "text/plain"))
    assert (run.status, run.error_code) == ("FAILED", "conflict")


def test_whole_text_is_read_without_what_chunks_share(ingest: Upload, tenant: Tenant) -> None:
    text = "\n\n".join(f"Paragraph {n} tells of the {n}th thing there is to tell of." for n in range(120))
    file = ingest("long.txt", text.encode(), "text/plain")
    assert file.chunk_count > 3
    with tenant.scope():
        found = read_file(file).text(max_chars=100_000)
        stretch = read_file(file).text(start=1000, max_chars=200)
    assert found.split() == text.split()
    assert stretch == found[1000:1200]


def test_run_reads_no_personal_knowledge_base_of_others(
    carry_out: Start, make_agent: MakeAgent, ingest: Upload, tenant: Tenant, make_tenant: object
) -> None:
    with tenant.scope():
        diary = create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="Diary",
            type=KnowledgeBaseType.PERSONAL,
        )
    ingest("diary.txt", DIARY, "text/plain", into=diary)
    agent = make_agent(knowledge_base_ids=[tenant.library.pk, diary.pk])
    question = "What is the secret recipe of the pump oil?"
    mine = carry_out(agent=agent, prompt=question)
    assert "mustard" in mine.output
    assert mine.is_personal  # so that nobody else sees what it found

    editor = type(tenant.owner).objects.create_user("editor@example.com", "correct horse battery")
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=editor, role=Role.EDITOR)
    theirs = carry_out(agent=agent, prompt=question, actor_id=editor.pk)
    assert (theirs.output, theirs.is_personal) == (NOTHING_FOUND, False)
    organizations = carry_out(agent=agent, prompt=question, actor_id="")
    assert organizations.output == NOTHING_FOUND


def test_run_reaches_no_other_organization(
    carry_out: Start, tenant: Tenant, stranger: Tenant, manual: File
) -> None:
    """Not even an agent whose row names the other's things."""
    with stranger.scope():
        agent = Agent.objects.create(name="Spy", knowledge_base_ids=[tenant.library.pk])
    spying = {"organization_id": stranger.organization.pk, "actor_id": stranger.owner.pk}
    run = carry_out(agent=agent, prompt="How often is the pump oiled?", **spying)
    assert run.output == NOTHING_FOUND
    run = carry_out(agent=agent, file=manual, **spying)
    assert (run.status, run.error_code) == ("FAILED", "not_found")


def test_run_of_somebody_who_left_fails(carry_out: Start, make_agent: MakeAgent, tenant: Tenant) -> None:
    gone = type(tenant.owner).objects.create_user("gone@example.com", "correct horse battery")
    run = carry_out(agent=make_agent(), prompt="x", actor_id=gone.pk)
    assert (run.status, run.error_code) == ("FAILED", "principal_gone")


def test_agent_is_given_only_what_its_maker_may_read(tenant: Tenant, stranger: Tenant) -> None:
    for wrong in (
        {"knowledge_base_ids": [stranger.library.pk]},
        {"tools": ["rm"]},
    ):
        with tenant.scope(), pytest.raises(ValidationFailed) as caught:
            create_agent(owner_access(tenant), name="x", **wrong)
        assert set(caught.value.fields) == set(wrong)


def test_agent_searches_its_own_personal_knowledge_base(
    carry_out: Start, make_agent: MakeAgent, ingest: Upload, tenant: Tenant
) -> None:
    agent = make_agent()
    with tenant.scope():
        own = personal_knowledge_base(owner_access(tenant), agent)
        assert own is not None and own == personal_knowledge_base(owner_access(tenant), agent)
        assert KnowledgeBase.objects.filter(agent_id=agent.pk).count() == 1
    ingest("diary.txt", DIARY, "text/plain", into=own)
    run = carry_out(agent=agent, prompt="What is the recipe of the pump oil?")
    assert "mustard" in run.output
    assert run.is_personal
