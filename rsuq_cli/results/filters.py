"""Conditions that a user writes, such as `sigma = 0.25 and model like "resnet%"`, as SQL with bound parameters.

Invariant: no character that the user typed reaches the SQL. Names are looked up among the known columns, operators and
words are the ones listed here, and every value becomes a bound parameter.

    condition  = all { "or" all }
    all        = one { ( "and" | "," ) one }
    one        = "not" one | "(" condition ")" | comparison
    comparison = COLUMN ( "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) ( VALUE | COLUMN )
               | COLUMN [ "not" ] ( "like" VALUE | "in" "(" VALUE { "," VALUE } ")" | "between" VALUE "and" VALUE )
               | COLUMN "is" [ "not" ] "null" | COLUMN
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rsuq_cli.errors import BadInput, nearest

Value = str | float | int | bool
EXAMPLE = 'write it like: sigma = 0.25 and model like "resnet%"'
_COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = {"and", "or", "not", "like", "in", "between", "is", "null", "true", "false"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
        |(?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
        |(?P<name>[A-Za-z_]\w*)
        |(?P<sign>==|!=|<>|<=|>=|[=<>(),]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Condition:
    """SQL of known names and placeholders, and the value of each placeholder."""

    sql: str
    values: Mapping[str, Value]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_condition(text: str, columns: Mapping[str, str], *, option: str = "--where") -> Condition:
    """Returns the condition that `text` states over `columns` (the name that a user writes: its SQL).

    Values are numbers, quoted text, true and false. Placeholders are named `where_0`, `where_1`, and so on.

    Raises:
        BadInput: not a condition (saying where), or a column that is not there (naming the nearest).
    """
    return _Parser(text, columns, option).parse()


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, str], option: str) -> None:
        self.text, self.columns, self.option = text, columns, option
        self.tokens = list(self._split())
        self.position = 0
        self.values: dict[str, Value] = {}

    def parse(self) -> Condition:
        sql = self._any()
        if (extra := self._peek()).kind != "end":
            raise self._wrong(extra, "a condition ends before it")
        return Condition(sql, self.values)

    def _any(self) -> str:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def _all(self) -> str:
        parts = [self._one()]
        while self._accept("and") or self._accept(","):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self) -> str:
        if self._accept("not"):
            return f"(NOT {self._one()})"
        if self._accept("("):
            inner = self._any()
            self._expect(")")
            return f"({inner})"
        return self._comparison(self._column())

    def _comparison(self, column: str) -> str:
        token = self._peek()
        if token.text in _COMPARISONS and token.kind == "sign":
            self.position += 1
            following = self._peek()
            is_column = following.kind == "name" and following.text.lower() not in _WORDS
            other = self._column() if is_column else self._value()
            return f"({column} {_COMPARISONS[token.text]} {other})"
        if self._accept("is"):
            negated = "NOT " if self._accept("not") else ""
            self._expect("null")
            return f"({column} IS {negated}NULL)"
        negated = "NOT " if self._accept("not") else ""
        if self._accept("like"):
            return f"({column} {negated}LIKE {self._value()})"
        if self._accept("between"):
            low = self._value()
            self._expect("and")
            return f"({column} {negated}BETWEEN {low} AND {self._value()})"
        if self._accept("in"):
            self._expect("(")
            members = [self._value()]
            while self._accept(","):
                members.append(self._value())
            self._expect(")")
            return f"({column} {negated}IN ({', '.join(members)}))"
        if negated:
            raise self._wrong(self._peek(), "like, in or between follows not")
        return f"({column})"

    def _column(self) -> str:
        token = self._next()
        if token.kind != "name" or token.text.lower() in _WORDS:
            raise self._wrong(token, "a column is expected")
        if token.text not in self.columns:
            raise BadInput(f"{self.option}: there is no column {token.text!r}", nearest(token.text, self.columns))
        return self.columns[token.text]

    def _value(self) -> str:
        token = self._next()
        value: Value
        if token.kind == "number":
            value = int(token.text) if re.fullmatch(r"[-+]?\d{1,18}", token.text) else float(token.text)
            if not math.isfinite(value):
                raise self._wrong(token, "it is too large")
        elif token.kind == "text":
            quote = token.text[0]
            value = token.text[1:-1].replace(quote * 2, quote)
        elif token.kind == "name" and token.text.lower() in ("true", "false"):
            value = token.text.lower() == "true"
        else:
            raise self._wrong(token, "a number or quoted text is expected")
        name = f"where_{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def _peek(self) -> _Token:
        return self.tokens[self.position]

    def _next(self) -> _Token:
        token = self._peek()
        self.position += token.kind != "end"
        return token

    def _accept(self, word: str) -> bool:
        token = self._peek()
        if token.kind in ("name", "sign") and token.text.lower() == word:
            self.position += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._wrong(self._peek(), f"{word!r} is expected")

    def _wrong(self, token: _Token, why: str) -> BadInput:
        where = "at the end" if token.kind == "end" else f"at {token.text!r} (character {token.at + 1})"
        return BadInput(f"{self.option} {self.text!r} is no condition {where}: {why}", EXAMPLE)

    def _split(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            found = _TOKEN.match(self.text, at)
            if found is None:
                start = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                raise self._wrong(_Token("odd", self.text[start], start), "it has no meaning here")
            kind = found.lastgroup or ""
            yield _Token(kind, found.group(kind), found.start(kind))
            at = found.end()
        yield _Token("end", "", end)
