"""What is written between a prompt and an answer, on pairs whose right joint a reader of the language knows."""

from __future__ import annotations

import pytest

from baft.engine.joint import joint

TOGETHER = [
    ("法国的首都是", "巴黎"),
    ("法国的首都是", "Paris"),
    ("这本书出版于", "1997年"),
    ("法国的首都是哪里？", "巴黎"),
    ("法国的首都是哪里?", "巴黎"),
    ("他写了《", "红楼梦"),
    ("日本の首都は", "東京"),
    ("フランスの首都は、", "パリ"),
    ("ｸﾛｰﾄﾞﾓﾈは", "ﾌﾗﾝｽ"),
    ("เมืองหลวงของฝรั่งเศสคือ", "ปารีส"),
    ("ນະຄອນຫຼວງແມ່ນ", "ວຽງຈັນ"),
    ("រាជធានីគឺ\u200b", "ភ្នំពេញ"),
    ("မြို့တော်မှာ", "နေပြည်တော်"),
    ("བོད་ཀྱི་རྒྱལ་ས་ནི་", "ལྷ་ས"),
    ("The capital of France is ", "Paris"),
    ("New\u00a0", "York"),
    ("Answer:\n", "Paris"),
    ("The author is", " a poet"),
    ('The book is called "', "Dune"),
    ("Der Roman heißt „", "Faust"),
    ("Le roman s'appelle «", "Nana"),
    ("The city (", "Rome"),
    ("Jean-", "Paul"),
    ("He lived 1914–", "1918"),
    ("and/", "or"),
    ("The capital of l'", "Aquila"),
    ("la capitale de l’", "Italie"),
    ("It costs $", "5"),
    ("It costs US$", "5"),
    ("It costs (C$", "1,000"),
    ("It costs “$", ".50"),
    ("The module is snake_", "case"),
    ("The method is foo__", "init"),
    ("x=", "5"),
    ("Her name is @", "ada"),
    ("Paris", ", the capital"),
    ("Paris", ","),
    ("Rome", "'s walls"),
    ("Rome", "’s walls"),
    ("Rome", "'s, of course"),
    ("He", "'ll see"),
    ("They don", "'t know"),
    ("They don", "’t"),
    ("The answer is Paris", '." And'),
    ("The answer is Paris", "..."),
    ("The share is 50", "%"),
    ("The temperature is 20", "°C"),
    ("Pi is about 3", ".14"),
    ("Is it so", "?"),
    ("The city (Rome", ") is"),
    ("The book is called “Dune", "” and"),
]

APART = [
    ("The capital of France is", "Paris"),
    ("The capital of China is", "北京"),
    ("프랑스의 수도는", "파리"),
    ("프랑스의 수도는", "巴黎"),
    ("Thủ đô của Pháp là", "Paris"),
    ("Столица Франции –", "Париж"),
    ("עיר הבירה של צרפת היא", "פריז"),
    ("عاصمة فرنسا هي", "باريس"),
    ("फ़्रांस की राजधानी है", "पेरिस"),
    ("Q: Where is it? A:", "Rome"),
    ("Q: フランスの首都は? A:", "パリ"),
    ('He said "hello"', "and"),
    ("He called it 'Dune'", "and"),
    ("„Faust“", "ist"),
    ("The students'", "books"),
    ("The city (Rome)", "is"),
    ("he said -", "nothing"),
    ("It is paid in $", "dollars"),
    ("C#", "is"),
    ("The framework is", ".NET"),
    ("The album is", "...And Justice for All"),
    ("The album is", "…And Justice for All"),
    ("The song is", '"(I Can\'t Get No) Satisfaction"'),
    ("The film is", '"[REC]"'),
    ("La obra es", "“¡Ay!”"),
    ("The price is", '"$5"'),
    ("The city is", "'s-Hertogenbosch"),
    ("The city is", "’s-Gravenhage"),
    ("The physicist is", "'t Hooft"),
    ("The name of the man", "'t Hooft"),
    ("The letter is", "'s'"),
    ("Its capital is ____", "Paris"),
    ("Its capital is _", "Paris"),
    ("____", "Paris"),
    ("It costs US$", "dollars"),
    ("It costs 5$", "5"),
    ("The title is", '"Dune"'),
    ("Titeln är", "”Röda rummet”"),
    ("It was in the", "'90s"),
    ("The sign is", "% or so"),
    ("The temperature is", "-5"),
]


@pytest.mark.parametrize(("prompt", "answer"), TOGETHER)
def test_nothing_is_written_between(prompt: str, answer: str) -> None:
    assert joint(prompt, answer) == ""


@pytest.mark.parametrize(("prompt", "answer"), APART)
def test_a_space_is_written_between(prompt: str, answer: str) -> None:
    assert joint(prompt, answer) == " "
