"""Serializers whose fields are copies: what one is given is nothing to another."""

import pytest
from django.http import QueryDict
from rest_framework.serializers import ListField

from apps.api.platform.serializers.search import SearchInputSerializer

pytestmark = pytest.mark.once


def test_form_and_json_at_once_are_each_read_in_its_own_way() -> None:
    form = SearchInputSerializer(data=QueryDict("query=pump&limit=3&tags=a,b&metadata="))
    json = SearchInputSerializer(data={"query": "pump", "limit": "3", "tags": [1]})
    assert form.is_valid(), form.errors
    assert not json.is_valid()
    assert form.validated_data["limit"] == 3
    assert form.validated_data["tags"] == ["a", "b"]
    assert set(json.errors) == {"limit", "tags"}


def test_fields_belong_to_the_serializer_that_was_asked() -> None:
    first, second = SearchInputSerializer(data={}), SearchInputSerializer(data={})
    for one in (first, second):
        tags = one.fields["tags"]
        assert isinstance(tags, ListField)
        assert tags.parent is one
        assert tags.child.root is one
    assert first.fields["query"] is not second.fields["query"]
