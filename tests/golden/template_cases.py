"""What template_diff.py renders: conversations for whole chat templates, and snippets that
exercise one construct each with a small context of their own."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather <now> & \"later\" for a city's centre",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Städtename"},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                    "days": {"type": "integer", "minimum": 1},
                },
                "required": ["city"],
            },
            "return": {"type": "string", "description": "a text"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": ["number", "null"], "description": "first"},
                    "b": {"type": "number"},
                    "list": {"type": "array", "items": {"type": "integer"}},
                    "deep": {
                        "type": "object",
                        "description": "nested",
                        "properties": {"x": {"type": "boolean", "default": True}},
                    },
                },
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "noop",
            "description": "Nothing",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]


def user(text):
    return {"role": "user", "content": text}


def bot(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(ident, name, arguments):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


CALLS = [
    system("Use the tools."),
    user("Weather in Paris?"),
    bot(None, tool_calls=[call("abcdefgh1", "get_weather", {"city": "Paris", "days": 2})]),
    {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": "12.5 °C"},
    bot("It is 12.5 °C."),
    user("And 2+2?"),
]
PARALLEL = [
    user("Two things."),
    bot(
        "Let me see",
        tool_calls=[
            call("abcdefgh1", "add", '{"a": 1, "b": 2}'),
            call("abcdefgh2", "get_weather", '{"city": "Rome"}'),
        ],
    ),
    {"role": "tool", "tool_call_id": "abcdefgh1", "name": "add", "content": "3"},
    {"role": "tool", "tool_call_id": "abcdefgh2", "name": "get_weather", "content": "sunny"},
]
IPYTHON = [
    user("run it"),
    bot("", tool_calls=[call("abcdefgh1", "add", {"a": 1})]),
    {"role": "ipython", "content": {"result": [1, 2, {"x": None}]}},
]
LONG = [system("You are brief. ")] + [
    m for i in range(6) for m in (user(f"Question {i}?  "), bot(f"\n Answer {i}.\n"))
]

CONVERSATIONS = {
    "one": [user("Hello, how are you?")],
    "system": [system("You are helpful."), user("Hi")],
    "turns": [user("1+1?"), bot("2"), user("2+2?")],
    "system_turns": LONG + [user("last")],
    "continued": [user("Say a"), bot("a b c")],
    "empty": [],
    "empty_text": [system(""), user(""), bot(""), user(" ")],
    "spaces": [system("  s  \n"), user("\n\n u \t"), bot("  a  "), user("x\r\ny")],
    "unicode": [system("Ünïcödé 日本語"), user("🙂 ẞ Ⅷ \u00a0x\u2028"), bot("שלום"), user("é\u0301")],
    "markup": [system("<b>&\"'</b>"), user("{{ x }} {% if %} </s> [INST]"), bot("<think>t</think> a")],
    "think": [user("q"), bot("<think>\nreason\n</think>\n\nanswer"), user("r")],
    "parts": [user([{"type": "text", "text": "A "}, {"type": "text", "text": "B"}]), bot("C")],
    "image": [user([{"type": "image"}, {"type": "text", "text": "what?"}])],
    "two_users": [user("a"), user("b")],
    "bot_first": [bot("hello"), user("hi")],
    "system_late": [user("a"), bot("b"), system("c"), user("d")],
    "two_systems": [system("a"), system("b"), user("c"), bot("d")],
    "unknown_role": [{"role": "critic", "content": "no"}, user("x")],
    "calls": CALLS,
    "parallel": PARALLEL,
    "ipython": IPYTHON,
    "no_content": [{"role": "user"}, bot(None)],
    "developer": [{"role": "developer", "content": "dev"}, user("x")],
    "names": [{"role": "user", "name": "Ann", "content": "x"}, bot("y", name="Bob"), user("z")],
}

# The members of the context besides the messages.
SETTINGS = [
    {"add_generation_prompt": False},
    {"add_generation_prompt": True},
    {"add_generation_prompt": True, "tools": TOOLS},
    {"add_generation_prompt": False, "tools": TOOLS[:1], "documents": [
        {"title": "T1", "text": "first"}, {"title": "T2", "text": "second", "id": 7}]},
    {"add_generation_prompt": True, "tools": None, "documents": None, "enable_thinking": False,
     "builtin_tools": ["brave_search", "code_interpreter"], "date_string": "01 Jan 2025",
     "tools_in_user_message": False, "functions": TOOLS, "datetime": "now"},
]

CONTEXT = {
    "n": 7, "neg": -3, "f": 2.5, "t": True, "z": None, "s": "Hello World", "e": "", "u": "héllo wörld",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "el": [], "ed": {},
    "d": {"b": 1, "a": 2, "C": 3}, "nested": {"x": {"y": [10, {"z": "deep"}]}, "items": "mine"},
    "users": [
        {"name": "Bob", "age": 30, "admin": True, "addr": {"city": "Rome"}},
        {"name": "alice", "age": 25, "admin": False, "addr": {"city": "oslo"}},
        {"name": "Carl", "age": 30, "addr": {"city": "Rome"}},
    ],
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}, {"v": 5, "c": []}],
    "html": "<a href='x'>\"&</a>", "ml": "one\ntwo\r\n\nthree\n", "ws": "  a  b\tc \n",
    "q": "it's", "dq": 'say "hi"', "both": "'\"", "ctl": "\x01\t\n\x7f\u00ad\u200b\\",
    "pi": 3.14159, "big": 9007199254740991, "small": 1e-7, "huge": 1e22, "half": 0.5,
}

# One per line; a leading '!' only says that Jinja2 is expected to fail (checked either way).
EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
7.5 // 2
-7.5 // 2
-7.5 % 2
7.5 % -2
1e3
1.5e-7
1e16
123456789012345678
1e15
0.1 + 0.2
1/3
100.0
1_000
0x1f + 0b101 + 0o17
1.0
-0.0
1 / 0
1 % 0
1.0 // 0
0 ** -1
big * 1
n + f
n + t
t + t
-t
+n
not n
- -n
s + 1
s * 2
2 * s
s * -1
l * 2
l + [4]
(1, 2) + (3,)
l + (1,)
s ~ n ~ f ~ z ~ t ~ missing
1 ~ 2
1 < 2 < 3
1 < 2 > 3
3 > 2 >= 2 == 2 != 1
1 == 1.0
1 == true
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
[1] < ['a']
(1, 2) == (1, 2)
[1] == (1,)
{'a': 1} == {'a': 1.0}
z == none
missing == missing
missing == none
missing < 1
n in l
3 in l
'ell' in s
'' in s
1 in s
'a' in d
'z' not in d
2 in range(5)
2.0 in range(5)
[1] in d
1 in missing
1 in n
not 1 in l
n and s
e or s
e and s
z or e or el
not e and t
n if t else s
n if e else s
n if e
(n if e) is defined
(n if e).x
'a' if e else 'b' if z else 'c'
missing
missing.x
missing['x']
missing()
missing + 1
missing ~ 1
missing|length
missing[0]
[missing]
{'a': missing}
nested.x.y[1].z
nested['x']['y'][0]
nested.x.y[-1]['z']
nested.nope
nested.nope.nope
nested['items']
nested.x.y.0
nested.x.y[5]
nested.x.y[5].z
n.foo
z.foo
s.foo
s['foo']
s[0]
s[-1]
s[50]
u[1]
u[-4]
l[0]
l[true]
l[1.0]
l['x']
d['a']
d[1]
d[[1]]
s[1:4]
s[::-1]
s[::2]
s[-3:]
s[:-3]
s[10:2:-2]
s[none:3]
u[1:3]
u[::-1]
u[4:1:-1]
l[1:]
l[::-1]
l[:1] + l[2:]
l[5:]
l[-100:100]
l[::0]
l['a':]
d[1:2]
missing[1:]
n[1:]
range(10)[2:5]|list
range(10)[::-1]|list
range(5)
range(1, 10, 3)
range(5)|list
range(5, 0, -2)|list
range(3)[1]
range(3)[-1]
range(100001)
range(0)
range(1, 2, 0)
range(5).start
range('a')
[1, 'a', none, true, 2.5, [1], (1,), (), {'k': 'v'}]
{'a': 1, 'b': [2], 3: none, none: 4, 1.5: 2, true: 5}
{1: 'a', 1.0: 'b', true: 'c'}
{[1]: 2}
{(1, 2): 3}
[1, 2,]
(1, 2,)
(1)
()
1, 2
1,
'a' 'b' "c"
'a\n\t\\\'\"\x41\u00e9\U0001F642\101\q\
x'
"\é"
'\x4'
q
[q]
[dq]
[both]
[ctl]
[u, html]
true and True and not False and None is none
-n
n.real
f.is_integer()
n.bit_length()
s.upper()
s.lower()
s.title()
"they're bill's friends".title()
s.swapcase()
s.capitalize()
'ÉCOLE ß ŉ'.lower()
'straße ﬁ ǆ'.upper()
'ǆabc ßx'.title()
'ǆabc ßx'.capitalize()
'ΑΣ ΑΣΑ Σ'.lower()
'İI'.lower()
'ẞß'.casefold()
ws.strip()
ws.lstrip()
ws.rstrip()
'xxaxx'.strip('x')
'xyaxy'.lstrip('yx')
'xyaxy'.rstrip('yx')
'\u00a0\u3000a\u2003'.strip()
s.split()
ws.split()
ws.split(' ')
ws.split(none, 1)
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'  a b  c '.rsplit(none, 1)
'a,b'.split(sep=',')
'a,b'.split(',', maxsplit=0)
'a,b'.split('')
''.split()
''.split(',')
'a--b--c'.split('--')
'a--b---c'.rsplit('--', 1)
ml.splitlines()
ml.splitlines(true)
'a\x0bb\x1cc\u2028d'.splitlines()
s.startswith('Hell')
s.startswith(('x', 'H'))
s.startswith('ell', 1)
s.startswith('ell', 1, 3)
s.endswith('ld')
s.endswith(('x', 'd'))
s.endswith('lo', 0, 5)
s.startswith(1)
s.startswith('')
s.startswith('', 20)
s.find('o')
s.find('o', 5)
s.find('o', 5, 7)
s.find('zz')
s.find('')
s.find('', 20)
u.find('w')
s.rfind('o')
s.rfind('o', 0, 5)
s.index('W')
s.index('zz')
s.rindex('o')
s.count('l')
s.count('')
s.count('l', 3, 9)
u.count('ö')
s.replace('l', 'L')
s.replace('l', 'L', 2)
'aaa'.replace('', '-')
'aaa'.replace('', '-', 2)
''.replace('', 'x')
'aaa'.replace('aa', 'b')
s.replace(old='l', new='x')
s.replace('l')
', '.join(ls)
', '.join(l)
''.join('abc')
'-'.join(d)
s.center(21)
s.center(20)
'abc'.center(6)
'abcd'.center(7, '*')
'abc'.ljust(5, '.') + '|'
'abc'.rjust(5) + '|'
'abc'.rjust(5, 'ab')
'42'.zfill(5)
'-42'.zfill(5)
'+4'.zfill(1)
'a\tb'.expandtabs()
'a\tb'.expandtabs(4)
s.partition(' ')
s.partition('zz')
'a.b.c'.rpartition('.')
'abc'.rpartition('.')
s.removeprefix('Hello ')
s.removesuffix('World')
s.removesuffix('zz')
'abc1'.isalnum()
'abc'.isalpha()
'é'.isalpha()
'a c'.isalpha()
'12'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
''.isdigit()
'abc'.islower()
'aBc'.islower()
'ABC1'.isupper()
'1'.isupper()
'Hello World'.istitle()
'Hello world'.istitle()
' \n'.isspace()
'abc'.isascii()
'é'.isascii()
'a_1'.isidentifier()
'1a'.isidentifier()
'a\n'.isprintable()
'{} {}'.format(1, 'a')
'{0} {1} {0}'.format('x', 'y')
'{a} {b!r} {c}'.format(a=1, b='q', c=none)
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:5d}|{:<5}|{:05d}|{:+d}|{:,}'.format(42, 42, 42, 42, 1234567)
'{:.2f}|{:8.3f}|{:e}|{:g}|{:%}'.format(3.14159, 2.5, 12345.678, 0.00001, 0.25)
'{:x} {:X} {:#x} {:b} {:#o} {:c}'.format(255, 255, 255, 5, 8, 65)
'{:.3} {:10.3}|'.format('abcdef', 'abcdef')
'{0.real} {0}'.format(3)
'{d[a]} {d[b]}'.format(d=d)
'{l[0]}'.format(l=l)
'{{}} {}'.format(1)
'{:{w}}|'.format('a', w=5)
'{:{}}|'.format('a', 6)
'{} {1}'.format(1, 2)
'{'.format(1)
'}'.format(1)
'{x}'.format(1)
'{}'.format()
'{!s:>5}'.format(1)
'{:d}'.format('a')
'{:s}'.format(1)
'{:_} {:,.2f}'.format(1234567, 1234567.891)
'{:08.2f}|{:<08.2f}|{:=+8d}'.format(-3.14159, 3.5, 42)
'{}'.format(l)
'{:>10}'.format(l)
'{} {} {}'.format(t, z, f)
'{:5}|{:5}|'.format(t, 1.5)
'{:.1f}'.format(2)
'{0[x]}'.format({'x': 1})
'{x.__class__}'.format(x=1)
'{a}'.format_map({'a': 5})
'%s %s' % (1, 'a')
'%s' % 'x'
'%s' % l
'%s' % (l,)
'%d %i %5d|%-5d|%05d|%+d' % (1, 2, 3, 4, 5, 6)
'%.2f %8.3f %e %g %G' % (3.14159, 2.5, 12345.678, 0.00001, 1e20)
'%x %X %#x %o %#o %c %c' % (255, 255, 255, 8, 8, 'a', 98)
'%r %s' % ('a', 'b')
'%5s|%-5s|%.2s' % ('a', 'b', 'cde')
'%(a)s %(b)d' % {'a': 1, 'b': 2}
'%%' % ()
'%s'
'%s %s' % 'x'
'%s' % (1, 2)
'%d' % 'x'
'%d' % 3.7
'%x' % 3.7
'%*d|%-*d|' % (5, 42, 5, 42)
'%.*f' % (2, 3.14159)
'%.3d' % 5
'%z' % 1
'%' % 1
'abc' % 1
'abc' % {'a': 1}
'%s' % none
'%s' % missing
'%05s' % 'a'
'% d' % 5
'%05.1f|%-8.1f|' % (2.25, 2.35)
'%#x %#X' % (0, 10)
d.items()
d.keys()
d.values()
d.items()|list
d.keys()|list|length
d.items()|length
d.get('a')
d.get('zz')
d.get('zz', 5)
d.get('zz', default=5)
d.get([1])
d.copy()
d.update({'x': 1})
d.pop('a')
d.setdefault
d.setdefault is defined
l.append(1)
l.append is defined
l.index(1)
l.index(99)
l.count(1)
l.pop()
l.copy()
(1, 2, 1).count(1)
(1, 2, 1).index(2)
s.__class__
s.__class__.__mro__
d.__class__ is defined
s._x
{'_x': 1}._x
{'__y': 1}['__y']
'a'.encode is defined
n()
s()
z()
s|upper
s|lower
n|upper
s|capitalize
'hello WORLD-foo (bar) "baz" don\'t'|title
ws|trim
'xxaxx'|trim('x')
n|trim
s|length
l|length
d|length
n|length
z|length
l|count
s|first
l|first
el|first
d|first
n|first
s|last
l|last
el|last
d|last
range(3)|last
missing|first
missing|last
l|join
l|join(', ')
ls|join('|')
users|join(', ', attribute='name')
users|join(', ', 'age')
n|join
s|join('-')
[1, none, true, 'x']|join(' ')
l|join(5)
l|sort
ls|sort
ls|sort(case_sensitive=true)
ls|sort(reverse=true)
l|sort(true)
users|sort(attribute='age')|map(attribute='name')|list
users|sort(attribute='age,name')|map(attribute='name')|list
users|sort(attribute='addr.city', reverse=true)|map(attribute='name')|list
users|sort(attribute='nope')|map(attribute='name')|list
[1, 'a']|sort
[[2, 'b'], [1, 'c'], [1, 'a']]|sort
d|sort
d|dictsort
d|dictsort(true)
d|dictsort(false, 'value')
d|dictsort(reverse=true)
d|dictsort(by='nope')
l|min
l|max
ls|min
ls|max
users|max(attribute='age')
el|min
el|max is defined
users|map(attribute='age')|sum
users|sum(attribute='age')
users|sum('age', 100)
l|sum
l|sum(start=10)
ls|sum
[[1], [2]]|sum(start=[])
el|sum
l|reverse|list
s|reverse
d|reverse|list
ls|unique|list
ls|unique(true)|list
users|unique(attribute='age')|map(attribute='name')|list
[1, 1.0, true, 2]|unique|list
users|map(attribute='name')|list
users|map(attribute='addr.city')|join(',')
users|map(attribute='admin', default='?')|list
users|map(attribute='nope')|list
users|map(attribute='nope.deep')|list
ls|map('upper')|list
ls|map('replace', 'a', 'x')|list
ls|map('nope')|list
el|map('nope')|list
ls|map|list
users|map('items')|map('list')|list
[[1, 2], [3, 4]]|map('first')|list
[[1, 2], [3, 4]]|map(attribute=1)|list
[1, 2, 3, 4]|select('odd')|list
[1, 2, 3, 4]|select('divisibleby', 2)|list
[0, 1, '', 'a', none]|select|list
[0, 1, '', 'a', none]|reject|list
[1, 2, 3, 4]|reject('even')|list
[1, 2, 3, 4]|select('>', 2)|list
[1, 2, 3, 4]|select('lessthan', 3)|list
[1, 2, 3, 4]|select('in', [1, 4])|list
users|selectattr('admin')|map(attribute='name')|list
users|selectattr('age', 'equalto', 30)|map(attribute='name')|list
users|selectattr('age', '==', 30)|map(attribute='name')|list
users|selectattr('addr.city', 'eq', 'Rome')|list|length
users|rejectattr('admin')|map(attribute='name')|list
users|rejectattr('admin', 'defined')|map(attribute='name')|list
users|selectattr('admin', 'undefined')|map(attribute='name')|list
users|selectattr|list
users|selectattr('age', 'nope')|list
users|groupby('age')|list
users|groupby('addr.city')|map(attribute='grouper')|list
users|groupby('addr.city')|map(attribute='list')|map('length')|list
users|groupby('admin', default=false)|map('first')|list
users|groupby('name')|map(attribute=0)|list
l|batch(2)|list
l|batch(2, 'x')|list
[1, 2, 3, 4]|batch(2)|map('list')|list
el|batch(2)|list
[1, 2, 3, 4, 5]|slice(2)|list
[1, 2, 3, 4, 5]|slice(3, 'x')|list
d|items|list
missing|items|list
l|items|list
l|list
s|list
d|list
missing|list
n|list
(1, 2)|list
n|string
f|string ~ 'x'
l|string|length
'42'|int
' 42 '|int
'-4_2'|int
'4 2'|int
'42.9'|int
'abc'|int
'abc'|int(5)
'abc'|int(default=7)
'ff'|int(0, 16)
'0xff'|int(0, 16)
'0xff'|int(0, 0)
'1e3'|int
'inf'|int
f|int
-2.5|int
(-2.5)|int
t|int
z|int
z|int(9)
l|int
missing|int
'4.5'|float
'abc'|float
'abc'|float(1.5)
'inf'|float
'nan'|float
'1e400'|float
' 3 '|float
z|float
n|float
missing|float
neg|abs
(-2.5)|abs
s|abs
2.5|round
3.5|round
2.675|round(2)
42.55|round(1, 'floor')
42.51|round(0, 'ceil')
42|round
42|round(1)
42|round(1, 'ceil')
1234|round(-2)
1250|round(-2)
1350|round(-2)
12.5|round(-1)
s|round
f|round(method='nope')
0.5|round|int
missing|default('x')
missing|d('x')
missing|default
z|default('x')
z|default('x', true)
e|default('x', boolean=true)
n|default('x')
missing.x|default('y')
nested.nope|default('y')
s|replace('World', 'There')
s|replace('l', 'L', 2)
n|replace(7, 8)
s|replace('l')
html|e
html|escape
html|escape|escape
html|forceescape
html|e|forceescape
html|safe
html|safe ~ '<'
html|safe + '<'
'<' + html|safe
html|e + '<'
html|e ~ '<'
(html|e).upper()
(html|e)|upper + '<'
('<%s>'|safe) % html
('<%s %d %r>'|safe) % (html, 5, 'a&b')
('<{}>'|safe).format(html)
(','|safe).join(['<', '>'|safe])
','.join(['<', '>'|safe]) + '<'
[html|e]
(html|e)[0:5] + '<'
(html|e).split(';')
('a'|safe).replace('a', '<')
('<b>'|safe)|replace('b', '<')
('<b>'|safe) * 2 + '<'
('a'|safe).center(5, '<')
html|e is escaped
html is escaped
'%s' % (html|safe) + '<'
'a b&c/d?é'|urlencode
{'a b': 'c/d', 'e': 1}|urlencode
[['a', 1], ['b', '&']]|urlencode
n|urlencode
ml|indent
ml|indent(2)
ml|indent(2, true)
ml|indent(2, true, true)
ml|indent(width='> ')
'a\n\nb'|indent(blank=true)
''|indent(3, true)
'a'|indent
n|indent
'<%s>'|format('x')
'%s %s'|format('x', 'y')
'%(a)s'|format(a=1)
'%s'|format
'%s %(a)s'|format(1, a=1)
s|center(21)
s|wordcount
'a_b c-d é 1'|wordcount
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9, true)
'foo bar baz qux'|truncate(11)
'foo bar baz qux'|truncate(11, false, '...', 0)
'foo bar baz qux'|truncate(2)
100|filesizeformat
1|filesizeformat
1000|filesizeformat
123456789|filesizeformat
123456789|filesizeformat(true)
'x'|filesizeformat
{'a': '<b', 'c': none, 'd': 1}|xmlattr
{'a': 1}|xmlattr(false)
{'a b': 1}|xmlattr
users[0]|attr('name')
s|attr('nope')
d|tojson
[1, 2.5, none, true, 'é"\\/\n\x01\x7f<>&\'', {'k': [1, {}], 'm': []}]|tojson
users|tojson(indent=2)
users|tojson(indent=0)
{'a': [], 'b': {}}|tojson(indent=4)
{'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true)
{'b': 1, 'a': [1, 2]}|tojson(separators=(',', ':'))
{'b': 1, 'a': [1, 2]}|tojson(separators=(',', ':'), indent=1)
'é🙂'|tojson(ensure_ascii=true)
'é🙂'|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
missing|tojson
[missing]|tojson
range(3)|tojson
(1, 2)|tojson
d.items()|tojson
f|tojson
huge|tojson
'a'|tojson(indent='\t')
[1]|tojson(indent='\t')
{'b': 1, 2: 3}|tojson(sort_keys=true)
'x'|tojson(nope=1)
users|map(attribute='name')|tojson
'nan'|float|tojson
s|upper|lower|title
s|nope
s|upper(1)
s|pprint if false else 'ok'
n is odd
n is even
neg is odd
n is divisibleby 7
n is divisibleby(2)
s is odd
n is defined
missing is defined
missing is undefined
missing is not defined
nested.nope is defined
z is none
n is none
missing is none
n is number
f is number
t is number
s is number
n is integer
t is integer
f is integer
f is float
n is float
t is boolean
n is boolean
t is true
t is false
n is true
s is string
html|e is string
n is string
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
n is sequence
d.items() is sequence
missing is sequence
range(3) is sequence
l is iterable
n is iterable
missing is iterable
z is iterable
d.keys() is iterable
l|map('upper') is iterable
range is callable
n is callable
missing is callable
s.upper is callable
s is lower
'abc' is lower
'ABC' is upper
'1' is upper
n is lower
z is sameas none
t is sameas true
n is sameas 7.5
1 is sameas true
n is eq 7
n is ne 7
n is equalto 7
n is lt 8
n is gt 8
n is ge 7
n is le 6
n is greaterthan 3
n is lessthan(3)
s is lt 3
missing is lt 3
n is in [7, 8]
n is in l
'upper' is filter
'nope' is filter
'odd' is test
n is not odd
n is not none and s is string
not n is odd
n is defined and missing is defined
n is odd or n is even
(n is odd) ~ 'x'
n is nope
n is divisibleby
n is odd(1)
n is odd is true
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1), ['b', 2]])
dict()
dict(1)
namespace(a=1).a
namespace({'x': 2}, y=3)
namespace(a=1).b
namespace(a=1)['a']
namespace().items
cycler('a', 'b').next()
cycler()
joiner('; ')()
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%d %b %Y, %A %B %j %U %W %y %I %p %% %e %-d %-m')
strftime_now('%z|%Z|%f|%c|%x|%X|%D|%F|%T|%R|%s')
strftime_now(5)
strftime_now()
raise_exception('bad thing')
raise_exception('bad ' ~ n)
raise_exception()
raise_exception(message='kw')
lipsum is defined
range(3) == range(0, 3)
range(0, 5, 2) == range(0, 6, 2)
(1, 2)[0]
{'a': {'b': 1}}.a.b
{'get': 1}.get('x', 3)
[[1, 2], [3]]|length
l[n - 7]
'abc'['upper']()
'%s' % d.items()
d.keys() == d.keys()
l is sameas l
s[0] ~ s[1:3] ~ s[-1]
(s ~ '!') * 2
[1, 2, 3][1:][0]
nested.x['y'][1]['z'][0]
'a' in 'abc' and 'b' not in 'xyz'
'a' ~ ('b' if t else 'c') ~ 'd'
n|string|length > 0 and n
-n|abs
(-n)|abs
2 * n|string|length
n ~ '|' ~ s|length
1 if 2 > 1 else 0
[x for x in l]
l|map('string')|join('+')
s|map('upper')|join
d|map('upper')|list
d|join(',')
'%s' % true
[true, false, none]|string
[1.0, 2.50, 1e100, 1e-100, 123456.789e3]
{'a': 'b'}|string|upper
huge
small
big
pi * 2
1e308 * 10
2 ** 0.5
10 ** 18
7 // 2.0
7 % 2.5
0.1 * 3
1.1 + 2.2
5 // 0.3
1e22 + 1
12345678901234567.0
5e-324
1.7976931348623157e308
loop
loop.index
caller
varargs
x.y = 1
1 +
)
(1
{'a' 1}
{'a': 1
'abc
l[
l[1:2:3:4]
l[1, 2]
l[]
f(a=1, 2)
dict(a=1, a=2)
dict(*[[['x', 1]]], **{'y': 2})
range(*[1, 4])|list
range(**{'a': 1})
'{} {}'.format(*['a', 'b'])
'{a}'.format(**{'a': 1})
'{a}'.format(**[1])
if
not
is
n is
n|
n.
n.1.2
a..b
@
$
n?
n!
a = 1
1 2
n s
"a" 'b
{{ 1 }}
1 not 2
not not n
n not in l
n is not
"""

BLOCKS = [
    "a{% block x %}b{% endblock %}c",
    "{% block x %}b{% endblock x %}",
    "{% block x %}b{% endblock y %}",
    "{% block x-y %}b{% endblock %}",
    "{% block x %}1{% endblock %}{% block x %}2{% endblock %}",
    "{% block x required %} {# c #}\n{% endblock %}",
    "{% block x required %}b{% endblock %}",
    "{% block x scoped required %}{{ 1 }}{% endblock %}",
    "{% if false %}{% block x required %}{% endblock %}{% endif %}ok",
    "{% set v = 1 %}{% block x %}{{ v }}{{ n }}{{ missing }}{% endblock %}",
    "{% block x %}{{ v is defined }}{% endblock %}{% set v = 1 %}{{ self.x() }}",
    "{% block x %}{{ n }}{% endblock %}{% set n = 'new' %}{{ self.x() }}",
    "{% if t %}{% set v = 1 %}{% endif %}{% block x %}{{ v }}{% endblock %}",
    "{% for i in l %}{% block x %}{{ i }}{{ loop is defined }};{% endblock %}{% endfor %}",
    "{% for i in l %}{% block x scoped %}{{ i }}{{ loop.index }};{% endblock %}{% endfor %}",
    "{% for s in l %}{% block x %}{{ s }};{% endblock %}{% endfor %}",
    "{% for i in l %}{% set w = i * 2 %}{% block x scoped %}{{ w }}{% set w = 'in' %}{{ w }};{% endblock %}{{ w }}{% endfor %}",
    "{% with v = 1 %}{% block x %}{{ v }}-{% endblock %}{% block y scoped %}{{ v }}{% endblock %}{% endwith %}",
    "{% block x %}{% set v = 1 %}{{ v }}{% endblock %}{{ v }}",
    "{% block x %}{% set n = 1 %}{{ n }}{% endblock %}{{ n }}",
    "{% block x %}{% block y %}in{% endblock %}out{% endblock %}{{ self.y() }}",
    "{% block x %}{% set v = 1 %}{% block y %}{{ v }}{% endblock %}{% block z scoped %}{{ v }}{% endblock %}{% endblock %}",
    "{% for i in l %}{% block x scoped %}{% block y %}{{ i }}{% endblock %}{% endblock %}{% endfor %}{{ self.y() }}",
    "{% for i in l %}{% block x scoped %}{% for j in [7] %}{% block y scoped %}{{ i }}{{ j }};{% endblock %}{% endfor %}{% endblock %}{% endfor %}",
    "{% for i in l %}{% block x scoped %}{{ self.y() }}{% endblock %}{% endfor %}|{% block y %}{{ i }}{% endblock %}",
    "{% macro m() %}M{{ v }}{% endmacro %}{% set v = 2 %}{% block x %}{{ m() }}{% endblock %}",
    "{% macro m(a) %}{% block x %}{{ a }}{{ n }}{% endblock %}{% block y scoped %}{{ a }}{% endblock %}{% endmacro %}{{ m(1) }}",
    "{% for i in l %}{% block x scoped %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endblock %}{% endfor %}",
    "{% block x %}{% for i in l recursive %}{{ i }}{{ n }}{% endfor %}{{ n }}{% endblock %}",
    "{% block x %}{% for i in l if i > n - 6 %}{{ i }}{% endfor %}{% endblock %}",
    "{% for i in l %}{% block x %}{% break %}{% endblock %}{% endfor %}",
    "{{ self.x() }}{% block x %}b{{ n }}{% endblock %}",
    "{{ self['x']() }}{% block x %}b{% endblock %}",
    "{{ self.x() ~ self.x() }}{{ self.x()|upper }}{% block x %}b{% endblock %}",
    "{{ self.nope }}|{% block x %}b{% endblock %}",
    "{{ self.nope() }}{% block x %}b{% endblock %}",
    "{{ self.x(1) }}{% block x %}b{% endblock %}",
    "{{ self.x is callable }}{{ self is callable }}{{ self is defined }}{{ self }}{% block x %}b{% endblock %}",
    "{{ self is defined }}",
    "{% set self = 3 %}{{ self }}{% block x %}{{ self }}{% endblock %}",
    "{% block x %}{{ super is defined }}{% endblock %}",
    "{% block x %}{{ super() }}{% endblock %}",
    "{{ super is defined }}",
    "{% block x %}{{ self.x() }}{% endblock %}",
    "{% macro m() %}{{ self.x() }}{% endmacro %}{% block x %}b{% endblock %}{{ m() }}",
    "{% block x %}{{ 'a'|nope }}{% endblock %}",
    "{% if false %}{% block x %}{{ 'a'|nope }}{% endblock %}{% endif %}",
    "{% set x %}{% block b %}in{% endblock %}{% endset %}[{{ x }}]",
    "{% filter upper %}{% block b %}in{% endblock %}{% endfilter %}",
    "{% call(x) m() %}{% endcall %}{% macro m() %}{% endmacro %}{% block b %}{% endblock %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% set v = 1 %}{% call m() %}{% block b %}{{ v }}{% endblock %}{% endcall %}",
    "{% set ns = namespace(a=1) %}{% block b %}{{ ns.a }}{% set ns.a = 2 %}{% endblock %}{{ ns.a }}",
    "  {% block x %}\n  text\n  {% endblock %}\nend",
    "{%- block x -%} text {%- endblock -%} end",
    "{% block %}{% endblock %}",
    "{% block 'x' %}{% endblock %}",
    "{% block x %}",
    "{% endblock %}",
    "{% set l = [] %}{% for i in [1] %}{% block x %}{{ l }}{% endblock %}{% endfor %}",
    "{% for n in [1] %}{% block x %}{{ n }}{% block y scoped %}{{ n }}{% endblock %}{% endblock %}{% endfor %}",
]

STATEMENTS = [
    # text, comments and whitespace control
    "plain", "", "\n", "a\n", "a\n\n", "a\r\nb\rc\n", "{# c #}x", "a {# c #} b", "a\n  {# c #}\nb",
    "a\n  {#- c -#}\nb", "a\n  {#+ c +#}\nb", "{# {{ x }} {% if %} #}ok", "{##}x", "{#-#} x", "{# -",
    "a {{- 1 -}} b", "a {{ 1 }} b", "a\n{{- 1 }}\n b", "a\n  {{ 1 }}\nb", "a {{+ 1 }}", "a {{ 1 +}} b",
    "{% if true %}\na\n{% endif %}\nb", "  {% if true %}\n  a\n  {% endif %}\n  b",
    "  {%- if true -%}\n  a\n  {%- endif -%}\n  b", "  {%+ if true +%}\n  a\n  {%+ endif %}\n  b",
    "x  {% if true %}\n  a\n y {% endif %}\n  b", "{% if true %}  \na{% endif %}", "\t {% if true %}a{% endif %}",
    "a\n \t{% set x = 1 %}  \n b", "a\u00a0\n\u00a0{% set x = 1 %}b", "a \u2003 {%- set x = 1 %}b",
    "{% if true -%} \n\n a {%- endif %}", "{{ 1 }}\n", "{{ 1 }}\n\n", "{% set x = 1 %}\n", "{% set x = 1 %}\n\n",
    "{{ '{{' }} {{ '%}' }} {{ \"}}\" }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}['a']}}", "{{{'a':1}}}",
    "{{ 1 }", "{{ 1", "{% if", "{% if true %", "}} %} #}", "{ { % %", "{", "a{", "{{}}", "{%%}", "{% %}",
    "{% raw %}{{ x }} {% if %}{% endraw %}", "a\n {% raw %} \n x {{ }}\n {% endraw %} \n b",
    "a {%- raw -%} \n x \n {%- endraw -%} b", "{% raw %}x", "{% raw %}{% endraw %}{% raw %}y{% endraw +%}\nz",
    "{%raw%}a{%endraw%}", "{% raw +%}a{% endraw %}", "{% raw x %}{% endraw %}",
    "{% if true:%}a{% endif %}", "{% for i in l: %}{{ i }}{% endfor %}",
    "{% set x = 'a\nb' %}{{ x }}|{{ 1 }}", "a\n{{ 1\n+\n2 }}\nb",
    # set
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ y }}{{ x }}", "{% set x, (y, w) = 1, (2, 3) %}{{ x }}{{ y }}{{ w }}",
    "{% set x, y = [1] %}", "{% set x, y = 'ab' %}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ n }}b{% endset %}[{{ x }}]",
    "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}aXa{% endset %}{{ x }}",
    "{% set x %}<b>{% endset %}{{ x + '<' }}", "{% set n = n + 1 %}{{ n }}", "{{ x }}{% set x = 1 %}{{ x }}",
    "{% set s.x = 1 %}", "{% set q.x = 1 %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set x + 1 = 2 %}",
    "{% set x %}", "{% set x = %}", "{% set = 1 %}", "{% set x.y.z = 1 %}", "{% set x['a'] = 1 %}",
    "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{% set ns.b = 3 %}{{ ns.a }}{{ ns.b }}{{ ns }}",
    "{% set ns = namespace() %}{% for i in l %}{% set ns.x = i %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(c=0) %}{% for i in l %}{% set ns.c = ns.c + i %}{% endfor %}{{ ns.c }}",
    "{% set ns = namespace(s='') %}{% for c in s %}{% set ns.s = c ~ ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a + ns.b }}", "{% set ns = namespace() %}{% set ns.t %}x{% endset %}{{ ns.t }}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "{% if t %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% if e %}{% set x = 1 %}{% endif %}{{ x is defined }}", "{% if e %}{% set n = 1 %}{% endif %}{{ n }}",
    "{% if e %}{% set n = 1 %}{% else %}{% set n = 2 %}{% endif %}{{ n }}", "{% if e %}{% set n = 1 %}{% elif t %}{% set n = 3 %}{% endif %}{{ n }}",
    "{% for i in l %}{{ n }}{% set n = i %}{{ n }};{% endfor %}{{ n }}",
    "{% for i in l %}{% if i == 1 %}{% set n = 'x' %}{% endif %}{{ n }};{% endfor %}",
    "{% for i in l %}{% if x is defined %}D{% endif %}{% set x = 1 %}{% endfor %}",
    "{% set x = 5 %}{% for i in l %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}",
    "{% macro f() %}{{ n }}{% endmacro %}{{ f() }}{% set n = 1 %}{{ f() }}",
    "{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}{% set x = 2 %}{{ f() }}",
    "{% set n = n %}{{ n }}", "{% with %}{% set w = 1 %}{{ w }}{% endwith %}{{ w is defined }}",
    # if
    "{% if n %}a{% endif %}", "{% if e %}a{% else %}b{% endif %}", "{% if e %}a{% elif el %}b{% elif n %}c{% else %}d{% endif %}",
    "{% if n > 5 and s %}y{% endif %}", "{% if %}{% endif %}", "{% if n %}a", "{% if n %}{% else %}{% else %}{% endif %}",
    "{% if n %}{% if e %}a{% else %}b{% endif %}{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if missing.x %}a{% endif %}",
    "{% if (n, s) %}a{% endif %}", "{% if n, %}a{% endif %}", "{% endif %}", "{% else %}", "{% nope %}", "{% if e %}{{ s|nope }}{% endif %}x",
    "{% if t %}{{ s|nope }}{% endif %}x", "{{ s|nope if e else 'z' }}", "{% macro m() %}{{ s|nope }}{% endmacro %}x",
    "{% if e %}{% for i in l %}{{ i|nope }}{% endfor %}{% endif %}", "{% if e %}{{ n is nope }}{% endif %}y",
    # for
    "{% for i in l %}{{ i }},{% endfor %}", "{% for c in u %}{{ c }}|{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for i in el %}x{% else %}none{% endfor %}", "{% for i in l %}x{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}y{% endfor %}",
    "{% for i in n %}x{% endfor %}", "{% for i in z %}x{% endfor %}", "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }};{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% for (a, b) in [[1, 2]] %}{{ b }}{% endfor %}",
    "{% for i in l if i > 1 %}{{ i }}{{ loop.index }}{{ loop.last }};{% endfor %}", "{% for i in l if i > 9 %}x{% else %}none{% endfor %}",
    "{% for i in l if not loop.first %}{{ i }}{% endfor %}", "{% for i in l if i is odd %}{{ loop.length }}{{ loop.revindex }}{% endfor %}",
    "{% for i, j in [[1, 2], [3, 4]] if j > 2 %}{{ i }}{{ j }}{{ loop.previtem }}{% endfor %}",
    "{% set ns = namespace(f=true) %}{% for i in l if ns.f %}{{ i }}{% set ns.f = false %}{% endfor %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in l %}{{ loop.cycle() }}{% endfor %}",
    "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }} {% endfor %}", "{% for i in [1, 1] %}{{ loop.changed(i, 2) }}{{ loop.changed() }} {% endfor %}",
    "{% for i in l|map('string') %}{{ loop.length }}{{ i }}{{ loop.last }}{{ loop.nextitem }};{% endfor %}",
    "{% for i in l|map('string') %}{{ loop.last }}{{ loop.length }}{{ loop.index }};{% endfor %}",
    "{% for i in l %}{% for j in ls %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in l %}{% set outer = loop %}{% for j in ls %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for i in l %}{{ loop.nope }}{{ loop.nope is defined }}{% endfor %}", "{% for i in l %}{{ loop|length }}{% endfor %}", "{% for i in l %}{% if loop %}t{% endif %}{% endfor %}",
    "{% for i in l %}{{ i }}{% if i == 1 %}{% break %}{% endif %}{% endfor %}", "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% break %}{% else %}e{% endfor %}", "{% for i in l %}{% continue %}{% else %}e{% endfor %}", "{% for i in [1] %}a{% else %}e{% endfor %}",
    "{% for i in l %}{% for j in l %}{% if j == 1 %}{% break %}{% endif %}{{ j }}{% endfor %}{{ i }}{% endfor %}",
    "{% for i in l %}{% for j in el %}{% else %}{% break %}{% endfor %}{{ i }}{% endfor %}",
    "{% for i in l %}{% with x = 1 %}{% if i == 1 %}{% break %}{% endif %}{% endwith %}{{ i }}{% endfor %}",
    "{% for i in l %}{% filter upper %}a{% if i == 1 %}{% break %}{% endif %}{% endfilter %}{{ i }}{% endfor %}",
    "{% for i in l %}{% set x %}a{% if i == 1 %}{% continue %}{% endif %}{% endset %}{{ x }}{{ i }}{% endfor %}",
    "{% break %}", "{% continue %}", "{% if t %}{% break %}{% endif %}", "{% for i in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for i in l %}{{ i }}", "{% for i l %}{% endfor %}", "{% for in l %}{% endfor %}", "{% for i in %}{% endfor %}", "{% for loop in l %}{% endfor %}",
    "{% for i in l %}{% set loop = 1 %}{% endfor %}", "{% set loop = 1 %}{{ loop }}", "{% for 1 in l %}{% endfor %}", "{% for i.x in l %}{% endfor %}",
    "{% for i in l if i %}{{ i }}{% endfor %}", "{% for i in (l if t else el) %}{{ i }}{% endfor %}", "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}",
    "{% for i in range(3) %}{{ i }}{% endfor %}", "{% for i in l|reverse %}{{ i }}{% endfor %}", "{% for i in l[::-1] %}{{ i }}{% endfor %}",
    "{% for i in l %}{{ i }}{% endfor %}{{ i is defined }}", "{% set i = 9 %}{% for i in l %}{{ i }}{% endfor %}{{ i }}",
    "{% set it = l|map('string') %}{% for i in it %}{{ i }}{% endfor %}{% for i in it %}{{ i }}{% endfor %}",
    "{% set it = l|map('string') %}{{ it|first }}{{ it|list }}",
    "{% for m in tree recursive %}{{ m.v }}{% if m.c %}({{ loop(m.c) }}){% endif %}{% endfor %}",
    "{% for m in tree recursive %}{{ loop.depth }}{{ loop.depth0 }}{{ m.v }} {{ loop(m.c) }}{% endfor %}",
    "{% for m in tree recursive %}{{ m.v }}{% if not loop.last %},{% endif %}{{ loop(m.c) }}{% else %}-{% endfor %}",
    "{% for m in tree if m.v != 3 recursive %}{{ m.v }}[{{ loop(m.c) }}]{% endfor %}", "{% for m in tree recursive %}{{ n }}{% set n = m.v %}{{ loop(m.c) }}{% endfor %}",
    "{% for m in l %}{{ loop(l) }}{% endfor %}", "{% for m in tree recursive %}{% if m.v == 3 %}{% break %}{% endif %}{{ m.v }}{{ loop(m.c) }}{% endfor %}",
    "{% for k, v in users[0].items() %}{{ k }}:{{ v }} {% endfor %}", "{% for g in users|groupby('age') %}{{ g.grouper }}{{ g.list|length }}{{ g[0] }} {% endfor %}",
    "{% for age, us in users|groupby('age') %}{{ age }}:{% for u in us %}{{ u.name }}{% endfor %};{% endfor %}",
    "{% for row in [1, 2, 3]|batch(2) %}{{ row }}{% endfor %}", "{% for x in d.values() %}{{ x }}{% endfor %}", "{% for x in {'a': 1}|items %}{{ x }}{% endfor %}",
    # macros, calls, blocks
    "{% macro f(a) %}[{{ a }}]{% endmacro %}{{ f(1) }}{{ f('x') }}", "{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=4, a=5) }}",
    "{% macro f(a) %}{{ a is defined }}{{ a }}{% endmacro %}{{ f() }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}",
    "{% macro f() %}{{ varargs }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}",
    "{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(x=4, y='z') }}", "{% macro f() %}{% endmacro %}{{ f(x=4) }}", "{% macro f(a=1, b) %}{% endmacro %}", "{% macro f(a, a) %}{% endmacro %}",
    "{% macro f(a=b, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f() }}", "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}", "{% macro f(n=n) %}{{ n }}{% endmacro %}{{ f() }}",
    "{% macro f(a, b=n * 2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(a=2) }}", "{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f() %}a{% endmacro %}{% macro g() %}{{ f() }}b{% endmacro %}{{ g() }}", "{{ f() }}{% macro f() %}a{% endmacro %}", "{% macro f() %}<{% endmacro %}{{ f() + '<' }}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}x{{ n }}{% endcall %}", "{% macro f() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) f() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro f() %}{{ caller(1) }}{% endmacro %}{% call(a, b=5) f() %}{{ a }}{{ b }}{% endcall %}", "{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}", "{% macro f(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call f(1) %}y{% endcall %}",
    "{% call n %}{% endcall %}", "{% call s.upper() %}{% endcall %}", "{% macro f(caller=1) %}{{ caller }}{% endmacro %}{{ f() }}", "{% macro f(caller) %}{{ caller() }}{% endmacro %}x",
    "{% macro f() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ f() }}{{ n }}", "{% macro f() %}{{ f.name }}{{ f.arguments }}{% endmacro %}{{ f() }}{{ f }}", "{% macro f(a, b) %}{{ varargs }}{% endmacro %}{{ f.catch_varargs }}{{ f.catch_kwargs }}{{ f.caller }}{{ f.arguments }}",
    "{% for i in l %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{% set fs = namespace() %}{% for i in l %}{% if loop.first %}{% macro f() %}{{ i }}{% endmacro %}{% set fs.f = f %}{% endif %}{{ fs.f() }}{% endfor %}",
    "{% macro f(a) %}{% macro g() %}{{ a }}{% endmacro %}{{ g() }}{% endmacro %}{{ f(7) }}", "{% macro true() %}{% endmacro %}", "{% macro f %}{% endmacro %}", "{% macro f() %}",
    "{% if t %}{% macro f() %}1{% endmacro %}{% endif %}{{ f() }}", "{% macro f() %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) f() %}<{{ i }}>{% endcall %}",
    "{% macro f(l) %}{% for i in l %}{{ i }}{{ loop.index }}{% endfor %}{% endmacro %}{{ f([5, 6]) }}", "{% for i in l %}{% macro f() %}{{ loop.index }}{% endmacro %}{{ f() }}{% endfor %}",
    "{% filter upper %}abc{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% filter length %}abc{% endfilter %}", "{% filter %}a{% endfilter %}", "{% filter nope %}a{% endfilter %}",
    "{% filter trim %}  {% set x = 1 %} {{ x }} {% endfilter %}{{ x is defined }}", "{% filter indent(2) %}a\nb{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with n = 1 %}{{ n }}{% endwith %}{{ n }}", "{% with a = n, n = 2 %}{{ a }}{{ n }}{% endwith %}", "{% with a = 1, b = a %}{{ b is defined }}{% endwith %}",
    "{% with %}x{% endwith %}", "{% with a, b = (1, 2) %}{{ b }}{% endwith %}", "{% with a = 1 b = 2 %}{% endwith %}", "{% with n = n + 1 %}{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}{% endwith %}{{ n }}",
    "{% generation %}a{{ n }}{% endgeneration %}", "{% for i in l %}{% generation %}{{ i }}{% endgeneration %}{% endfor %}", "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x is defined }}", "{% for i in l %}{% generation %}{{ i }}{% break %}{% endgeneration %}{% endfor %}", "{%- generation -%} a {%- endgeneration -%} b",
    "{% print n, s %}", "{% print %}", "{% print n s %}", "{% do l.append(1) %}",
    # helpers with state
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}", "{% set j = joiner() %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}", "{% set j = joiner('|') %}{{ j() }}{{ j() }}{{ j() }}",
    "{% set x = {'a': 1} %}{% set y = dict(x, b=2) %}{{ x }}{{ y }}", "{% set f = s.upper %}{{ f() }}", "{% set r = range %}{{ r(2)|list }}", "{% set range = 5 %}{{ range }}", "{{ range }}" if False else "{{ range is defined }}",
    "{% set d2 = {} %}{% set _ = d2.update({'a': 1}) %}", "{% set x = [] %}{{ x.append(1) }}", "{% if not (n is defined and n) %}a{% else %}b{% endif %}",
    "{{ raise_exception('stop here: ' + s) }}", "{% if messages is not defined %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}",
    "{{ undefined_function('x') }}", "{% set content = '\n' + s %}{{ content|trim }}", "{{ s + missing }}", "{{ s ~ missing }}",
    "{% set x = 'é' %}{{ x|length }}{{ x[0] }}{{ x * 3 }}", "{{ '日本語'[1] }}{{ '日本語'[::-1] }}{{ '日本語'|length }}", "{% set été = 1 %}{{ été }}",
    "{% set a = 'x' * 100 %}{% set b = a ~ '1' %}{% set c = a ~ '2' %}{{ b[-3:] }}{{ c[-3:] }}{{ (b ~ c)|length }}",
    "{% set a = 'y' * 200 ~ 'z' %}{% set b = a ~ '1' %}{% set c = a ~ '2' %}{% set e = b ~ '3' %}{{ b[-3:] }}{{ c[-3:] }}{{ e[-3:] }}{{ a[-2:] }}",
    "{%- for m in tree %}\n    {{- m.v }}\n{%- endfor %}\n", "{%- set ns = namespace(first=true) -%}\n{%- for i in l -%}\n{%- if ns.first -%}F{%- set ns.first = false -%}{%- endif -%}\n{{ i }}\n{%- endfor -%}",
    "{% for x in l if (x is odd) %}{{ x }}{% endfor %}", "{% for x in l if x > 1 if true else false %}{{ x }}{% endfor %}", "{% for x in l recursive %}{{ x }}{% endfor %}",
    "{{ loop }}{% for i in [1] %}{{ loop.index }}{% endfor %}{{ loop }}", "{{ 'a' if missing is defined else 'b' }}", "{{ (1, 2)|map('string')|join }}", "{{ [1,2,3]|map('multiply')|list }}",
    "{% set x = 1 if t %}{{ x }}", "{% set x = missing %}{{ x is defined }}{{ x }}", "{% set x = none %}{{ x }}", "{% for x in [missing] %}{{ x is defined }}{% endfor %}",
    "{% block a %}x{% endblock %}" if False else "{% endblock %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
]
