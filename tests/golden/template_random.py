"""Random template programs with random contexts, for template_diff.py: mostly well typed, so that they
run, now and then not; small, so that one error hides little."""

import random

STRINGS = ["", " ", "a", "abc", "Hello World", "  pad ", "x,y,,z", "line one\nline two\n", "a-b_c.d", "42", "-7", "3.5", "1e3",
           "True", "none", "<b>&\"'</b>", "{{ x }}", "%s %d%%", "{0} {a}", "héllo", "ßẞ", "İı", "Ǆǅ", "日本語", "🙂👍🏽", "e\u0301",
           "\u00a0\u2003x", "\u200b", "tab\there", "a'b", 'a"b', "back\\slash", "UPPER lower Title", "ὈΔΥΣΣΕΎΣ", "ﬁ", "\x7f"]
NAMES = ["a", "b", "key", "role", "items", "x y", "name", "keys", "é", "0"]
INT_FILTERS = ["abs", "string", "float", "int", "tojson", "e", "filesizeformat"]
STR_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "list", "reverse", "first", "last", "int", "float",
               "e", "string", "tojson", "urlencode", "wordcount", "indent", "indent(2, true)", "replace('a', 'bb')",
               "center(11)", "truncate(5)", "truncate(5, true, '')", "default('d')", "default('d', true)", "safe", "forceescape",
               "format('p')", "unique|list", "sort|join", "batch(2)|list", "slice(2)|list", "groupby(0)|list", "min", "max",
               "map('upper')|join('.')", "select|list", "xmlattr", "items|list", "sum", "round", "escape", "join('-')"]
LIST_FILTERS = ["length", "first", "last", "list", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "join", "join(', ')",
                "sum", "min", "max", "tojson", "tojson(indent=2)", "string", "batch(2, 'f')|list", "slice(2)|list", "select|list",
                "reject|list", "select('string')|list", "reject('none')|list", "select('>', 1)|list", "map('string')|list",
                "map('length')|list", "map(attribute='a')|list", "map(attribute='a', default='?')|list", "selectattr('a')|list",
                "selectattr('a', 'defined')|list", "rejectattr('a', 'equalto', 1)|list", "sort(attribute='a')", "count",
                "groupby('a')|list", "map('default', 0)|list", "default([])", "sum(start=1)", "sort(case_sensitive=true)",
                "unique(case_sensitive=true)|list", "map('int')|sum", "map('upper')|join", "batch(3)|map('join')|list", "random|default"]
DICT_FILTERS = ["length", "list", "items|list", "dictsort", "dictsort(by='value')", "dictsort(reverse=true)", "tojson", "string",
                "tojson(indent=4)", "tojson(sort_keys=true)", "first", "sort", "join(',')", "default({})", "xmlattr", "urlencode",
                "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "map('upper')|list", "attr('a')"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable",
         "callable", "odd", "even", "divisibleby(2)", "lower", "upper", "true", "false", "escaped", "sameas(none)", "eq(1)", "ne('a')",
         "in([1, 'a'])", "gt(1)", "lt('b')", "filter", "test"]
STR_METHODS = ["strip()", "lstrip()", "rstrip('ab ')", "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()",
               "split()", "split(',')", "split('a', 1)", "rsplit(None, 1)", "splitlines()", "splitlines(true)", "startswith('a')",
               "endswith(('c', 'd'))", "replace('l', 'L')", "replace('', '.', 2)", "find('l')", "rfind('l', 1)", "count('a')", "index('a')",
               "zfill(6)", "center(9, '*')", "ljust(7)", "rjust(7, '.')", "isdigit()", "isalpha()", "isspace()", "isupper()", "istitle()",
               "isalnum()", "isidentifier()", "isprintable()", "isnumeric()", "partition(' ')", "rpartition('l')", "removeprefix('a')",
               "removesuffix('c')", "expandtabs(4)", "join(['p', 'q'])", "format(1, a=2)", "isascii()", "islower()", "isdecimal()"]


class Program:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.macros, self.loops, self.size, self.n_blocks = [], 0, 0, 0

    def pick(self, *options):
        return self.r.choice(options)

    # --- contexts ---
    def value(self, depth=0):
        kind = self.r.randrange(11 if depth < 3 else 7)
        if kind < 2:
            return self.pick(0, 1, -1, 2, 3, 7, 10, 255, -100, 2**31, 9007199254740993)
        if kind < 5:
            return self.r.choice(STRINGS)
        if kind == 5:
            return self.pick(0.0, 1.0, -1.5, 0.1, 1e20, 1e-7, 2.675, 1e16, 123456.789)
        if kind == 6:
            return self.pick(True, False, None)
        if kind < 9:
            return [self.value(depth + 1) for _ in range(self.r.randrange(4))]
        return {self.r.choice(NAMES): self.value(depth + 1) for _ in range(self.r.randrange(4))}

    def many(self, n):
        return range(0 if self.r.random() < 0.1 else self.r.randrange(1, n))

    def context(self):
        r = self.r
        return {
            "i": r.randrange(-5, 20), "f": self.pick(0.5, -2.25, 1e3, 3.0), "s": r.choice(STRINGS), "t": r.choice(STRINGS),
            "l": [self.value(1) for _ in self.many(5)], "li": [r.randrange(-3, 9) for _ in self.many(6)],
            "ls": [r.choice(STRINGS) for _ in self.many(5)], "d": {r.choice(NAMES): self.value(1) for _ in self.many(6)},
            "ld": [{k: self.value(2) for k in r.sample(NAMES, r.randrange(1, 4))} for _ in self.many(4)],
            "n": None, "b": r.random() < 0.5, "v": self.value(),
            "messages": [{"role": self.pick("system", "user", "assistant", "tool"), "content": r.choice(STRINGS)}
                         for _ in self.many(5)],
        }

    # --- expressions ---
    def expr(self, kind=None, depth=0):
        if self.r.random() < 0.02:
            kind = None
        kind = kind or self.pick("int", "str", "list", "dict", "bool", "float", "any")
        if depth > 3:
            return self.leaf(kind)
        return getattr(self, "expr_" + kind)(depth + 1)

    def leaf(self, kind):
        return {
            "int": lambda: self.pick("i", "0", "1", "2", "7", "-3", "li|first|int", "loop.index" if self.loops else "i"),
            "float": lambda: self.pick("f", "1.5", "0.1", "2.0", "1e2"),
            "str": lambda: self.pick("s", "t", "''", "'ab'", '"q\\n"', "'é'", "ls|first|string", "m0|string", "messages[-1].role|string", "' '"),
            "list": lambda: self.pick("l", "li", "ls", "ld", "[]", "[1, 'a']", "messages", "[2, i]"),
            "dict": lambda: self.pick("d", "{}", "{'a': 1}", "(ld|first or d)", "(messages|first or {})", "{'b': i, 'a': s}"),
            "bool": lambda: self.pick("b", "true", "false", "not b"),
            "any": lambda: self.pick("v", "n", "missing", "d.a", "d['key']", "l[0]", "l[-1]", "x0", "x1", "none", "ns.a", "v.a", "loop"),
        }[kind]()

    def expr_int(self, d):
        k = self.r.randrange(9)
        if k < 2:
            return self.leaf("int")
        if k < 4:
            return f"({self.expr('int', d)} {self.pick('+', '-', '*', '//', '%')} {self.expr('int', d)})"
        if k == 4:
            return f"{self.expr('list', d)}|length"
        if k == 5:
            return f"({self.expr('int', d)})|{self.r.choice(INT_FILTERS)}"
        if k == 6:
            return f"({self.expr('str', d)})|int({self.pick('', '5', 'default=1')})"
        if k == 7:
            return f"-{self.leaf('int')}"
        return f"({self.expr('int', d)} if {self.expr('bool', d)} else {self.expr('int', d)})"

    def expr_float(self, d):
        k = self.r.randrange(6)
        if k < 2:
            return self.leaf("float")
        if k == 2:
            return f"({self.expr('float', d)} {self.pick('+', '-', '*', '/', '//', '%')} {self.expr('int', d)})"
        if k == 3:
            how = self.pick("", "1", "2", "0, 'floor'", "1, 'ceil'")
            return f"({self.expr('float', d)})|round({how})"
        if k == 4:
            return f"({self.expr('int', d)} / {self.expr('int', d)})"
        return f"({self.expr('str', d)})|float({self.pick('', '2.5')})"

    def expr_str(self, d):
        k = self.r.randrange(13)
        if k < 2:
            return self.leaf("str")
        if k == 2:
            return f"({self.expr('str', d)} + {self.expr('str', d)})"
        if k == 3:
            return f"({self.expr('str', d)} ~ {self.expr(None, d)})"
        if k in (4, 5):
            return f"({self.expr('str', d)})|{self.r.choice(STR_FILTERS)}"
        if k in (6, 7):
            return f"({self.expr('str', d)}).{self.r.choice(STR_METHODS)}"
        if k == 8:
            return f"({self.expr('str', d)})[{self.slice()}]"
        if k == 9:
            return f"{self.expr(None, d)}|tojson"
        if k == 10:
            return f"({self.expr('str', d)} * {self.pick('0', '2', '3', '-1')})"
        if k == 11:
            return self.formatted(d)
        return f"({self.expr('list', d)})|join({self.pick('', repr(','), repr(' '))})"

    def formatted(self, d):
        spec = self.pick("%s", "%r", "%5s", "%-5s|", "%d", "%05d", "%x", "%.2f", "%+d", "%e", "%g", "%c", "%%", "%(a)s", "%i", "%5.1f")
        if self.r.random() < 0.5:
            return f"({spec!r} % ({self.expr(self.pick('int', 'float', 'str'), d)}))"
        brace = self.pick("{}", "{:>6}", "{0!r}", "{:05d}", "{:.3f}", "{:,}", "{:^7}", "{:x}", "{0[a]}", "{a}", "{:e}", "{:%}", "{:*<4}")
        return f"{brace!r}.format({self.expr(self.pick('int', 'float', 'str', 'dict'), d)}{self.pick('', ', a=1')})"

    def slice(self):
        part = lambda: self.pick("", "", "0", "1", "2", "-1", "-2", "9", "i")  # noqa: E731
        return self.pick(f"{part()}:{part()}", f"{part()}:{part()}:{self.pick('', '1', '2', '-1')}", "0", "-1")

    def expr_list(self, d):
        k = self.r.randrange(10)
        if k < 2:
            return self.leaf("list")
        if k == 2:
            return f"({self.expr('list', d)} + {self.expr('list', d)})"
        if k in (3, 4, 5):
            return f"({self.expr('list', d)})|{self.r.choice(LIST_FILTERS[:-1])}"
        if k == 6:
            return "[" + ", ".join(self.expr(None, d) for _ in range(self.r.randrange(3))) + "]"
        if k == 7:
            return f"({self.expr('list', d)})[{self.slice()}]"
        if k == 8:
            return f"range({self.pick('3', 'i', '1, 4', '5, 0, -2')})|list"
        return f"({self.expr('dict', d)}).{self.pick('keys()', 'values()', 'items()')}|list"

    def expr_dict(self, d):
        k = self.r.randrange(6)
        if k < 3:
            return self.leaf("dict")
        if k == 3:
            return "{" + ", ".join(f"{self.r.choice(NAMES)!r}: {self.expr(None, d)}" for _ in range(self.r.randrange(3))) + "}"
        if k == 4:
            return f"dict({self.leaf('dict')}, {self.pick('a', 'b', 'key')}={self.expr(None, d)})"
        return f"({self.expr('dict', d)})|{self.r.choice(DICT_FILTERS)}"

    def expr_bool(self, d):
        k = self.r.randrange(8)
        if k == 0:
            return self.leaf("bool")
        if k in (1, 2):
            return f"({self.expr('any', d)}) is {self.pick('', 'not ')}{self.r.choice(TESTS)}"
        if k == 3:
            kind = self.pick("int", "str", "float", "list")
            return f"({self.expr(kind, d)} {self.pick('<', '<=', '>', '>=', '==', '!=')} {self.expr(kind, d)})"
        if k == 4:
            return f"({self.expr(None, d)} {self.pick('in', 'not in')} {self.expr(self.pick('list', 'dict', 'str'), d)})"
        if k == 5:
            return f"({self.expr('bool', d)} {self.pick('and', 'or')} {self.expr(None, d)})"
        if k == 6:
            return f"(1 < {self.expr('int', d)} <= 5)"
        return f"({self.expr(None, d)} == {self.expr(None, d)})"

    def expr_any(self, d):
        k = self.r.randrange(8)
        if k < 2:
            return self.leaf("any")
        if k == 2:
            return f"({self.expr('dict', d)}).get({self.r.choice(NAMES)!r}{self.pick('', ', 0')})"
        if k == 3:
            return f"({self.expr('list', d)})[{self.pick('0', '-1', '1', 'i')}]"
        if k == 4:
            return f"({self.leaf('any')})|default({self.expr(None, d)}{self.pick('', ', true')})"
        if k == 5 and self.macros:
            name, n = self.r.choice(self.macros)
            args = [self.expr(None, d) for _ in range(self.r.randrange(n + 1))]
            return f"{name}({', '.join(args)}{self.pick('', ', p0=1') if len(args) == 0 and n else ''})"
        if k == 6:
            return f"({self.expr('dict', d)}).{self.pick('a', 'b', 'key', 'items', 'role')}"
        return f"({self.leaf('any')})|{self.pick('string', 'tojson', 'length', 'list', 'int', 'e')}"

    # --- statements ---
    def tag(self, text):
        return "{%" + self.pick("", "", "-", "+") + " " + text + " " + self.pick("", "", "", "-", "+") + "%}"

    def text(self):
        return self.pick("", "", " ", "\n", "\n  ", "x", " a b ", "text\n", "\t", "\n\n", "é", "{ %", "}}", "  {# c #} ", "{#- c -#}\n", "\r\n")

    def body(self, depth, n=None):
        return "".join(self.text() + self.statement(depth) for _ in range(n or self.r.randrange(1, 4))) + self.text()

    def statement(self, depth=0):
        self.size += 1
        if depth > 3 or self.size > 9:
            return self.output()
        kinds = ["output"] * 6 + ["set"] * 3 + ["if_"] * 2 + ["for_"] * 3 + ["macro", "call", "with_", "filter_", "set_block", "ns",
                                                                           "jump", "raw", "generation", "print_", "block"]
        return getattr(self, self.r.choice(kinds))(depth + 1) if kinds else ""

    def output(self, _=0):
        return "{{" + self.pick("", "", "-", "+") + " " + self.expr() + " " + self.pick("", "", "-") + "}}"

    def print_(self, _):
        return self.tag(f"print {self.expr()}, {self.expr()}")

    def target(self):
        return self.pick("x0", "x1", "m0", "s", "i")

    def set(self, _):
        if self.r.random() < 0.15:
            return self.tag(f"set x0, x1 = {self.expr()}, {self.expr()}")
        return self.tag(f"set {self.target()} = {self.expr()}")

    def set_block(self, depth):
        return self.tag("set " + self.target() + self.pick("", " | upper", " | trim | length")) + self.body(depth, 1) + self.tag("endset")

    def ns(self, depth):
        return self.tag(f"set ns = namespace(a={self.expr()})") + self.body(depth, 1) + self.tag(f"set ns.{self.pick('a', 'b')} = {self.expr()}")

    def if_(self, depth):
        out = self.tag("if " + self.expr("bool")) + self.body(depth)
        if self.r.random() < 0.3:
            out += self.tag("elif " + self.expr("bool")) + self.body(depth, 1)
        if self.r.random() < 0.5:
            out += self.tag("else") + self.body(depth, 1)
        return out + self.tag("endif")

    def for_(self, depth):
        target, over = self.pick(("x0", "list"), ("x1", "list"), ("m0", "list"), ("x0, x1", "items"), ("x0", "dict"), ("x0", "str"))
        over = f"({self.expr('dict')}).items()" if over == "items" else self.expr(over)
        head = f"for {target} in {over}"
        if self.r.random() < 0.25:
            head += f" if {self.expr('bool')}"
        if self.r.random() < 0.07:
            head += " recursive"
        self.loops += 1
        out = self.tag(head) + self.pick("", "{{ loop.index0 }}", "{{ loop.last }}", "{{ loop.cycle('o', 'e') }}", "{{ loop.length }}",
                                         "{{ loop.previtem|default('-') }}", "{{ loop.revindex }}", "{{ loop.nextitem is defined }}",
                                         "{{ loop.changed(x0) }}", "{{ x0 }}") + self.body(depth)
        self.loops -= 1
        if self.r.random() < 0.3:
            out += self.tag("else") + self.body(depth, 1)
        return out + self.tag("endfor")

    def jump(self, _):
        if not self.loops:
            return self.output()
        return self.tag("if " + self.expr("bool")) + self.tag(self.pick("break", "continue")) + self.tag("endif")

    def macro(self, depth):
        name, n, loops = f"mac{len(self.macros)}", self.r.randrange(3), self.loops
        self.loops = 0
        params = [f"p{k}" + (f"={self.expr()}" if k or self.r.random() < 0.3 else "") for k in range(n)]
        if n == 2 and "=" not in params[1]:
            params[1] += "=1"
        inner = self.pick("", "{{ p0 }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}", "{{ p1|default('-') }}")
        out = self.tag(f"macro {name}({', '.join(params)})") + inner + self.body(depth, 1) + self.tag("endmacro")
        self.loops = loops
        self.macros.append((name, n))
        return out

    def call(self, depth):
        if not self.macros:
            return self.output()
        loops, self.loops = self.loops, 0
        out = self.tag(f"call {self.r.choice(self.macros)[0]}({self.pick('', '1', 's')})") + self.body(depth, 1) + self.tag("endcall")
        self.loops = loops
        return out

    def with_(self, depth):
        return self.tag(f"with {self.target()} = {self.expr()}") + self.body(depth, 1) + self.tag("endwith")

    def filter_(self, depth):
        return self.tag("filter " + self.pick("upper", "trim", "replace('a', 'b')", "indent(2)", "e", "title")) + self.body(depth, 1) + self.tag(
            "endfilter")

    def block(self, depth):
        self.n_blocks += 1
        name, loops, self.loops = f"b{self.n_blocks}", self.loops, 0
        out = self.tag("block " + name + self.pick("", " scoped")) + self.body(depth, 1) + self.tag("endblock" + self.pick("", " " + name))
        self.loops = loops
        return out + self.pick("", "", "{{ self." + name + "() }}")

    def raw(self, _):
        return self.tag("raw") + self.pick("{{ x }}", " {% if %} ", "\n") + self.tag("endraw")

    def generation(self, depth):
        loops, self.loops = self.loops, 0
        out = self.tag("generation") + self.body(depth, 1) + self.tag("endgeneration")
        self.loops = loops
        return out


def programs(seed, n):
    """n times (name, template, context)."""
    for k in range(n):
        p = Program(f"{seed}/{k}")
        context = p.context()
        yield f"random {seed}/{k}", p.body(0, p.r.randrange(1, 4)), context
