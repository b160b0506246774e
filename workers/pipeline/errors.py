"""Why a file could not be ingested, each with a code for machines and a sentence for its owner."""

from typing import ClassVar

from apps.base.errors import CommonplaceError


class IngestError(CommonplaceError):
    """The file is at fault, or its limits: trying again without a change gives the same answer."""

    code: ClassVar[str] = "unreadable"
    http_status = 422
    default_message = "The file could not be read."


class ParseError(IngestError):
    code = "unreadable"


class UnsupportedType(ParseError):
    code = "unsupported_type"
    default_message = "This type of file is not supported."


class TypeMismatch(ParseError):
    code = "type_mismatch"
    default_message = "The file's content is not of the type it was declared as."


class EmptyFile(ParseError):
    code = "empty_file"
    default_message = "The file is empty. Upload it again with its content."


class PasswordProtected(ParseError):
    code = "password_protected"
    default_message = "The file is password protected. Remove the password and upload it again."


class Damaged(ParseError):
    code = "damaged"
    default_message = "The file is damaged or cut short. Upload an intact copy."


class NoText(ParseError):
    code = "no_text"
    default_message = "No text was found in the file. Upload one that has text, or a sharper scan of it."


class OcrLanguageMissing(ParseError):
    """The message names the languages that are missing where files are read, and those that are there."""

    code = "ocr_language_missing"
    default_message = "A language that the knowledge base's pictures are to be read as is not installed here."


class LimitExceeded(ParseError):
    """The message names the limit and its value."""

    code = "limit_exceeded"
    default_message = "The file exceeds a limit."


class ParserCrashed(ParseError):
    """The child process died without an answer: killed by a signal, by its memory limit, or by a bug."""

    code = "parser_crashed"
    default_message = "The file made its parser fail. It may be damaged."


class ParseStopped(CommonplaceError):
    """The caller's ``should_stop`` said yes: nothing is wrong with the file."""

    code = "parse_stopped"
    http_status = 503
    retryable = True
    default_message = "Reading the file was stopped."


class ParserUnavailable(CommonplaceError):
    """The process that makes parsing children could not be started, or was killed from outside."""

    code = "parser_unavailable"
    http_status = 503
    retryable = True
    default_message = "The parser was stopped from outside."
