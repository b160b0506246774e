"""What Pydantic finds wrong, in sentences for people."""

from pydantic import ValidationError


def sentence_of(error: ValidationError) -> str:
    """``url: Field required. body.amount: Input should be a valid string.``"""
    return " ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'parameters'}: {problem['msg']}."
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )
