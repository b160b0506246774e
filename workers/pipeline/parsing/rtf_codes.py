"""Tables of the Rich Text Format (RTF specification 1.9.1): what its control words mean to a reader of text."""

CODECS_BY_CHARSET = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "big5",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
CODECS_BY_KEYWORD = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}

CHARACTERS = {
    "tab": "\t", "line": "\n", "lbr": "\n", "emdash": "\u2014", "endash": "\u2013", "bullet": "\u2022",
    "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c", "rdblquote": "\u201d",
    "emspace": " ", "enspace": " ", "qmspace": " ",
}  # fmt: skip
SYMBOLS = {"~": "\u00a0", "_": "-", "\\": "\\", "{": "{", "}": "}"}

# What ends a paragraph.
PARAGRAPH_ENDS = frozenset({"par", "sect", "page", "column"})

# Groups whose text is another than the one around them: it stands after the paragraph they hang on.
_STORY_WORDS = """
    footnote header headerl headerr headerf footer footerl footerr footerf shptxt annotation
"""
STORIES = frozenset(_STORY_WORDS.split())
# Destinations that are marked as ignorable, and yet hold text or groups with text.
READ_THOUGH_IGNORABLE = frozenset({"shpinst", "shptxt", "annotation", "shppict", "do", "dptxbxtext"})
# Groups without text for readers, also where they are not marked so.
_IGNORED_WORDS = """
    colortbl info pict objdata objclass objname themedata colorschememapping datastore xmlnstbl
    listtable listoverridetable rsidtbl generator fldinst nonshppict bkmkstart bkmkend nonesttables
    latentstyles pgptbl revtbl filetbl sp xe tc rxe tcn txe listname listlevel leveltext levelnumbers
    atnid atnauthor atndate atnref atrfstart atrfend ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn
    template operator docvar private wgrffmtfilter userprops datafield mmathPr ud pntxta pntxtb falt panose
    fontemb fontfile protusertbl
"""
IGNORED = frozenset(_IGNORED_WORDS.split())
# The number or bullet of a list item, written out for readers that know no lists.
LIST_MARKS = frozenset({"listtext", "pntext"})
